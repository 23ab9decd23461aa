class Countdown:
    def __init__(self, start):
        self.start = start

    def __iter__(self):
        return iter(range(self.start, 0, -1))

    def __reversed__(self):
        return iter(range(1, self.start + 1))

    def __contains__(self, n):
        return 0 < n <= self.start

    def __len__(self):
        return self.start

down = Countdown(3)
print(list(down), list(reversed(down)), 2 in down, len(down), max(down), sorted(down), dict(zip(down, "abc")))
lines = iter(["a", "b", "END", "c"])
print(list(iter(lambda: next(lines), "END")))

# expect:
# [3, 2, 1] [1, 2, 3] True 3 3 [1, 2, 3] {3: 'a', 2: 'b', 1: 'c'}
# ['a', 'b']
