def factors(n):
    found, d = [], 2
    while d * d <= n:
        while n % d == 0:
            found.append(d)
            n //= d
        d += 1
    return found + [n] * (n > 1)

def probably_prime(n):
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for a in (2, 3, 5, 7, 11, 13):
        x = pow(a, d, n)
        if x in (1, n - 1):
            continue
        if all((x := x * x % n) != n - 1 for _ in range(r - 1)):
            return False
    return True

print(factors(600851475143), factors(97), factors(2**10 * 3))
print(probably_prime(2**61 - 1), probably_prime(2**61 + 1))

# expect:
# [71, 839, 1471, 6857] [97] [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3]
# True False
