import re

units = {"km": 1000, "m": 1, "cm": 0.01}

def metres(match):
    return f"{float(match[1]) * units[match[2]]:g} m"

print(re.sub(r"([\d.]+) ?(km|cm)\b", metres, "It is 1.5 km, then 50cm and 3 m"))
print(re.subn(r"a", "b", "banana", count=2))

# expect:
# It is 1500 m, then 0.5 m and 3 m
# ('bbnbna', 2)
