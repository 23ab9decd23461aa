date -u -d @0 '+%F %T'
date -u -d '2024-02-28 + 2 days' +%F
echo $((($(date -u -d 2026-12-25 +%s) - $(date -u -d 2026-11-30 +%s)) / 86400))
TZ=Asia/Tokyo date -d '2026-01-01T00:00:00Z' '+%H:%M %z'
date -u -d '2026-03-01 - 1 day' +%A

# expect:
# 1970-01-01 00:00:00
# 2024-03-01
# 25
# 09:00 +0900
# Saturday
