class Sums:
    def __init__(self, items):
        self.n = len(items)
        self.tree = [0] * self.n + list(items)
        for i in range(self.n - 1, 0, -1):
            self.tree[i] = self.tree[2 * i] + self.tree[2 * i + 1]

    def set(self, i, value):
        i += self.n
        self.tree[i] = value
        while i > 1:
            i //= 2
            self.tree[i] = self.tree[2 * i] + self.tree[2 * i + 1]

    def total(self, left, right):
        left, right, out = left + self.n, right + self.n, 0
        while left < right:
            if left % 2:
                out, left = out + self.tree[left], left + 1
            if right % 2:
                right -= 1
                out += self.tree[right]
            left, right = left // 2, right // 2
        return out

sums = Sums(range(10))
print(sums.total(2, 7))
sums.set(4, 100)
print(sums.total(2, 7), sums.total(0, 10))

# expect:
# 20
# 116 141
