from math import acos, degrees, sqrt

class Vector:
    def __init__(self, *parts):
        self.parts = parts

    def __add__(self, other):
        return Vector(*(a + b for a, b in zip(self.parts, other.parts)))

    def __rmul__(self, factor):
        return Vector(*(factor * a for a in self.parts))

    def __matmul__(self, other):
        return sum(a * b for a, b in zip(self.parts, other.parts))

    def __abs__(self):
        return sqrt(self @ self)

    def __repr__(self):
        return f"Vector{self.parts}"

a, b = Vector(1, 2, 2), Vector(2, 0, 0)
print(a + b, 3 * a, a @ b, abs(a), round(degrees(acos(a @ b / (abs(a) * abs(b)))), 3))

# expect:
# Vector(3, 2, 2) Vector(3, 6, 6) 2 3.0 70.529
