INF = float("inf")
d = [[0, 3, INF, 7], [8, 0, 2, INF], [5, INF, 0, 1], [2, INF, INF, 0]]
for k in range(4):
    for i in range(4):
        for j in range(4):
            d[i][j] = min(d[i][j], d[i][k] + d[k][j])
for row in d:
    print(row)

# expect:
# [0, 3, 5, 6]
# [5, 0, 2, 3]
# [3, 6, 0, 1]
# [2, 5, 7, 0]
