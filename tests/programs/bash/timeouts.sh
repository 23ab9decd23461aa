timeout 0.05 sleep 600; echo $?
timeout 20 echo "in time"; echo $?
timeout -s KILL 0.05 sleep 600 2>/dev/null; echo $?
SECONDS=0; sleep 0.01; ((SECONDS < 60)) && echo "seconds count"
read -r -t 0.02 nothing < <(sleep 0.5); [ -z "$nothing" ] && echo "read gave up"

# expect:
# 124
# in time
# 0
# 137
# seconds count
# read gave up
