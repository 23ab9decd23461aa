import heapq
import random

rng = random.Random(11)
arrivals = sorted(rng.randrange(100) for _ in range(20))
clerks, waits = [0, 0], []
for moment in arrivals:
    free = heapq.heappop(clerks)
    begin = max(free, moment)
    waits.append(begin - moment)
    heapq.heappush(clerks, begin + 7)
print(len(waits), min(waits), max(waits) >= 0, sum(w > 0 for w in waits) <= 20)

# expect:
# 20 0 True True
