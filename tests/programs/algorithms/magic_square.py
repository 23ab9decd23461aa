def magic(n):
    square = [[0] * n for _ in range(n)]
    r, c = 0, n // 2
    for value in range(1, n * n + 1):
        square[r][c] = value
        nr, nc = (r - 1) % n, (c + 1) % n
        r, c = (r + 1, c) if square[nr][nc] else (nr, nc)
    return square

square = magic(5)
for row in square:
    print(*(f"{x:2}" for x in row))
print({sum(row) for row in square} | {sum(column) for column in zip(*square)})

# expect:
# 17 24  1  8 15
# 23  5  7 14 16
#  4  6 13 20 22
# 10 12 19 21  3
# 11 18 25  2  9
# {65}
