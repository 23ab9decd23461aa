def divisors(n):
    small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})

print(divisors(360))
print([n for n in range(2, 10_000) if sum(divisors(n)[:-1]) == n])

# expect:
# [1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 18, 20, 24, 30, 36, 40, 45, 60, 72, 90, 120, 180, 360]
# [6, 28, 496, 8128]
