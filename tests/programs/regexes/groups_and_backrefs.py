import re

print(re.sub(r"\b(\w+) \1\b", r"\1", "the the cat sat on on the mat"))
match = re.search(r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)", "on 2026-11-30 at noon")
print(match["year"], match.span("month"), match.groupdict())
print(re.sub(r"(\w+), (\w+)", r"\g<2> \1", "Lovelace, Ada"))

# expect:
# the cat sat on the mat
# 2026 (8, 10) {'year': '2026', 'month': '11', 'day': '30'}
# Ada Lovelace
