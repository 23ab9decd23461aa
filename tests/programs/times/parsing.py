from datetime import datetime, timezone

print(datetime.strptime("30 Nov 2026 08:05", "%d %b %Y %H:%M"))
print(datetime.fromisoformat("2026-11-30T08:05:00+02:00").astimezone(timezone.utc).isoformat())
print(datetime(2026, 11, 30, 8, 5).strftime("%Y-%j %a %I:%M %p week %V"))
print(datetime.fromtimestamp(0, timezone.utc), datetime(2001, 9, 9, 1, 46, 40, tzinfo=timezone.utc).timestamp())
try:
    datetime.strptime("31/02/2026", "%d/%m/%Y")
except ValueError as error:
    print(error)

# expect:
# 2026-11-30 08:05:00
# 2026-11-30T06:05:00+00:00
# 2026-334 Mon 08:05 AM week 49
# 1970-01-01 00:00:00+00:00 1000000000.0
# day is out of range for month
