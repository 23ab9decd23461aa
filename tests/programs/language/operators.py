class Poly:
    def __init__(self, *coefficients):
        self.c = coefficients

    def __call__(self, x):
        out = 0
        for c in self.c:
            out = out * x + c
        return out

    def __mul__(self, other):
        out = [0] * (len(self.c) + len(other.c) - 1)
        for i, a in enumerate(self.c):
            for j, b in enumerate(other.c):
                out[i + j] += a * b
        return Poly(*out)

    def __getitem__(self, i):
        return self.c[i]

    def __eq__(self, other):
        return self.c == other.c

    def __hash__(self):
        return hash(self.c)

    def __bool__(self):
        return any(self.c)

    def __str__(self):
        return " + ".join(f"{c}x^{len(self.c) - 1 - i}" for i, c in enumerate(self.c) if c)

p = Poly(1, 1) * Poly(1, -1)
print(p, p(3), p == Poly(1, 0, -1), bool(Poly(0)), list(p), len({p, Poly(1, 0, -1)}))

# expect:
# 1x^2 + -1x^0 8 True False [1, 0, -1] 1
