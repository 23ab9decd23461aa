import sys

sys.setrecursionlimit(20_000)

def ackermann(m, n):
    if m == 0:
        return n + 1
    return ackermann(m - 1, 1 if n == 0 else ackermann(m, n - 1))

print(ackermann(2, 3), ackermann(3, 4))
def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)
print(deep(15_000))

# expect:
# 9 125
# 15000
