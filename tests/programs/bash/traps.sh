trap 'echo "exit with $?"' EXIT
trap 'echo "got USR1"' USR1
trap 'echo "error in line $LINENO"' ERR
kill -USR1 $$
false
trap - ERR
false
exit 0

# expect:
# got USR1
# error in line 5
# exit with 0
