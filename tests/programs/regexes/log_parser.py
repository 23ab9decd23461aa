import re
from collections import Counter

LOG = """127.0.0.1 - - [10/Oct/2025:13:55:36 +0000] "GET /index.html HTTP/1.1" 200 2326
10.0.0.5 - bob [10/Oct/2025:13:55:40 +0000] "POST /login HTTP/1.1" 401 128
127.0.0.1 - - [10/Oct/2025:13:56:01 +0000] "GET /logo.png HTTP/1.1" 304 0"""
LINE = re.compile(r'(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<time>[^]]+)\] "(?P<verb>\w+) (?P<path>\S+)[^"]*" (?P<status>\d{3}) (?P<size>\d+)')
rows = [match.groupdict() for match in LINE.finditer(LOG)]
print(Counter(row["host"] for row in rows).most_common())
print([(row["verb"], row["path"], int(row["status"])) for row in rows])
print(sum(int(row["size"]) for row in rows))

# expect:
# [('127.0.0.1', 2), ('10.0.0.5', 1)]
# [('GET', '/index.html', 200), ('POST', '/login', 401), ('GET', '/logo.png', 304)]
# 2454
