(exec 3<>/dev/tcp/127.0.0.1/1) 2>/dev/null && echo open || echo refused
exec 2>/dev/null
for port in 1 2; do (: < "/dev/tcp/127.0.0.1/$port") && echo "$port open" || echo "$port closed"; done

# expect:
# refused
# 1 closed
# 2 closed
