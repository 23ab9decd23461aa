def root(f, df, x):
    for _ in range(50):
        step = f(x) / df(x)
        x -= step
        if abs(step) < 1e-12:
            return x
    raise ArithmeticError("no convergence")

print(round(root(lambda x: x**3 - 2 * x - 5, lambda x: 3 * x**2 - 2, 2.0), 9))
print(round(root(lambda x: x * x - 2, lambda x: 2 * x, 1.0), 9))

# expect:
# 2.094551482
# 1.414213562
