bash -c 'set -u; echo "$undefined"' 2>/dev/null; echo "set -u: $?"
bash -c 'set -e; false; echo never'; echo "set -e: $?"
bash -c 'set -euo pipefail; x=$(false); echo never'; echo "assignment: $?"
bash -c 'set -e; if false; then :; fi; echo reached'
bash -c 'set -E; trap "echo trapped" ERR; f() { false; }; f; true'

# expect:
# set -u: 127
# set -e: 1
# assignment: 1
# reached
# trapped
# trapped
