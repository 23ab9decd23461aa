def knapsack(items, room):
    best = [0] * (room + 1)
    for value, weight in items:
        for space in range(room, weight - 1, -1):
            best[space] = max(best[space], best[space - weight] + value)
    return best[room]

print(knapsack([(60, 10), (100, 20), (120, 30)], 50), knapsack([(1, 1)] * 5, 3))

# expect:
# 220 3
