ulimit -Sn 64; ulimit -Sn
ulimit -c
(ulimit -Sf 8; head -c 100000 /dev/zero > "$TMPDIR/limited" 2>/dev/null || echo "file size limit")
rm -f "$TMPDIR/limited"
[ "$(ulimit -Hu)" = unlimited ] || echo "processes are limited"
umask 027; umask; umask -S

# expect:
# 64
# 0
# file size limit
# processes are limited
# 0027
# u=rwx,g=rx,o=
