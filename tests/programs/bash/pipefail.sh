set -o pipefail
if ! false | true; then echo "the pipe failed"; fi
set -e
(echo before; false; echo never) || echo "with ||, set -e is off"
x=$(set +e; false; echo kept)
echo "$x"

# expect:
# the pipe failed
# before
# never
# kept
