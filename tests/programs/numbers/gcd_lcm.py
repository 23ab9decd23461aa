import math

def gcd(a, b):
    while b:
        a, b = b, a % b
    return a

print(gcd(1071, 462), math.gcd(12, 18, 27), math.lcm(4, 6, 10))

def extended(a, b):
    if b == 0:
        return a, 1, 0
    g, x, y = extended(b, a % b)
    return g, y, x - a // b * y

g, x, y = extended(240, 46)
print(g, x, y, 240 * x + 46 * y, pow(3, -1, 11))

# expect:
# 21 3 60
# 2 -9 47 2 4
