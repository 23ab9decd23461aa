handler() { echo "term"; kill $!; exit 5; }
ready=$(mktemp -u)
( trap handler TERM; sleep 600 & : > "$ready"; wait ) &
pid=$!
until [ -e "$ready" ]; do sleep 0.01; done
rm "$ready"
kill -TERM $pid
wait $pid; echo "status $?"
kill -0 $pid 2>/dev/null || echo gone

# expect:
# term
# status 5
# gone
