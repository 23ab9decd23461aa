import re
from datetime import timedelta

UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}

def parse(text):
    return timedelta(**{UNITS[unit]: int(n) for n, unit in re.findall(r"(\d+)([dhms])", text)})

def words(seconds):
    out = []
    for size, name in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        n, seconds = divmod(seconds, size)
        if n:
            out.append(f"{n}{name}")
    return "".join(out) or "0s"

for text in ("1d2h", "90m", "45s", "1h30m15s"):
    print(text, parse(text), words(int(parse(text).total_seconds())))

# expect:
# 1d2h 1 day, 2:00:00 1d2h
# 90m 1:30:00 1h30m
# 45s 0:00:45 45s
# 1h30m15s 1:30:15 1h30m15s
