from math import comb

rows = [[1]]
for _ in range(7):
    rows.append([1, *(a + b for a, b in zip(rows[-1], rows[-1][1:])), 1])
for row in rows:
    print(" ".join(map(str, row)).center(24).rstrip())
print(rows[7] == [comb(7, k) for k in range(8)])

# expect:
#            1
#           1 1
#          1 2 1
#         1 3 3 1
#        1 4 6 4 1
#      1 5 10 10 5 1
#     1 6 15 20 15 6 1
#   1 7 21 35 35 21 7 1
# True
