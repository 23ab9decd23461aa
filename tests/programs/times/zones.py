from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

noon = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)
for name in ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"):
    print(name, noon.astimezone(ZoneInfo(name)).isoformat())
before = datetime(2026, 3, 29, 1, 30, tzinfo=ZoneInfo("Europe/Berlin"))
after = (before.astimezone(timezone.utc) + timedelta(hours=1)).astimezone(before.tzinfo)
print(after, after.utcoffset(), datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=before.tzinfo).tzname())

# expect:
# Europe/Berlin 2026-07-01T14:00:00+02:00
# America/New_York 2026-07-01T08:00:00-04:00
# Asia/Kolkata 2026-07-01T17:30:00+05:30
# UTC 2026-07-01T12:00:00+00:00
# 2026-03-29 03:30:00+02:00 2:00:00 CET
