export GREETING=hi
bash -c 'echo "$GREETING ${NOT_EXPORTED:-unset}"'
NOT_EXPORTED=x
ONE=1 bash -c 'echo "$ONE"'
env -i WORD=only bash -c 'echo "$WORD ${GREETING:-gone}"'
(GREETING=changed; echo "$GREETING"); echo "$GREETING"
[ "$HOME" = "$PWD" ] && [ -w "$TMPDIR" ] && echo "home and tmp"

# expect:
# hi unset
# 1
# only gone
# changed
# hi
# home and tmp
