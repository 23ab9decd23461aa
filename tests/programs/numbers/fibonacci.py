from functools import cache

@cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def fast(n):
    if n == 0:
        return 0, 1
    a, b = fast(n // 2)
    c, d = a * (2 * b - a), a * a + b * b
    return (d, c + d) if n % 2 else (c, d)

print([fib(n) for n in range(12)], fib(90))
print(fast(300)[0], fast(90)[0] == fib(90))

# expect:
# [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89] 2880067194370816120
# 222232244629420445529739893461909967206666939096499764990979600 True
