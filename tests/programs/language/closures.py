def counter():
    count = 0
    def step(by=1):
        nonlocal count
        count += by
        return count
    return step

a, b = counter(), counter()
print(a(), a(5), b())
print([f(10) for f in [lambda x, n=n: x + n for n in range(3)]])
compose = lambda *fs: lambda x: x if not fs else fs[0](compose(*fs[1:])(x))
print(compose(str, abs, lambda n: n - 10)(3))

# expect:
# 1 6 1
# [10, 11, 12]
# 7
