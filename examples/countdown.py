"""Counts down, a line a second: soulbox run examples/countdown.py -- 5"""

import sys
import time

count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
for left in range(count, 0, -1):
    print(f"{left} …", flush=True)
    time.sleep(1)
print("lift-off", file=sys.stderr)
sys.exit(3)
