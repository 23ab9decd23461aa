true; echo $?
false; echo $?
bash -c 'exit 7'; echo $?
bash -c 'kill -9 $$' 2>/dev/null; echo $?
no-such-command-at-all 2>/dev/null; echo $?
bash -c 'cd /; /etc' 2>/dev/null; echo $?
! true; echo $?
(exit 3) && echo yes || echo "no $?"

# expect:
# 0
# 1
# 7
# 137
# 127
# 126
# 1
# no 3
