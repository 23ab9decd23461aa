import os
import time

for zone in ("UTC", "America/Sao_Paulo", "Asia/Tokyo"):
    os.environ["TZ"] = zone
    time.tzset()
    print(zone, time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(1_700_000_000)))

# expect:
# UTC 2023-11-14 22:13 UTC
# America/Sao_Paulo 2023-11-14 19:13 -03
# Asia/Tokyo 2023-11-15 07:13 JST
