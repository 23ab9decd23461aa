import heapq

low, high, medians = [], [], []
for n in (5, 15, 1, 3, 8, 7):
    heapq.heappush(low, -heapq.heappushpop(high, n))
    if len(low) > len(high):
        heapq.heappush(high, -heapq.heappop(low))
    medians.append(high[0] if len(high) > len(low) else (high[0] - low[0]) / 2)
print(medians)
print(heapq.nlargest(3, [4, 1, 9, 7]), list(heapq.merge([1, 4], [2, 3])))

# expect:
# [5, 10.0, 5, 4.0, 5, 6.0]
# [9, 7, 4] [1, 2, 3, 4]
