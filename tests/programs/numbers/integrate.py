import math

def simpson(f, a, b, n=100):
    h = (b - a) / n
    total = f(a) + f(b) + sum((4 if i % 2 else 2) * f(a + i * h) for i in range(1, n))
    return total * h / 3

print(round(simpson(math.sin, 0, math.pi), 6))
print(round(simpson(lambda x: x**3, 0, 2), 6))

# expect:
# 2.0
# 4.0
