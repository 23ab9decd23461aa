log='10:00 INFO start
10:01 ERROR disk full
10:02 WARN slow
10:03 ERROR no route
10:04 INFO stop'
grep -c ERROR <<< "$log"
grep -n 'disk\|route' <<< "$log"
grep -v -E 'INFO|WARN' <<< "$log" | cut -d' ' -f3-
grep -A 1 WARN <<< "$log" | tail -n 1
grep -o '[A-Z]\{4,\}' <<< "$log" | sort | uniq -c | awk '{print $2, $1}'
grep -q FATAL <<< "$log" || echo "none fatal"

# expect:
# 2
# 2:10:01 ERROR disk full
# 4:10:03 ERROR no route
# disk full
# no route
# 10:03 ERROR no route
# ERROR 2
# INFO 2
# WARN 1
# none fatal
