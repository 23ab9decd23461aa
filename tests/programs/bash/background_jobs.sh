work() { sleep "0.0$1"; echo "$1" >> "$out"; return "$1"; }
out=$(mktemp)
for n in 3 1 2; do work $n & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid"; codes+=" $?"; done
echo "codes:$codes"
sort "$out"
rm "$out"
sleep 600 &
kill %1
wait $! 2>/dev/null
echo $?

# expect:
# codes: 3 1 2
# 1
# 2
# 3
# 143
