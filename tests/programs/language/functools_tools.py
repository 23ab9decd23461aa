from functools import cached_property, lru_cache, partial, reduce, singledispatch, total_ordering

@singledispatch
def show(value):
    return f"other {value}"

@show.register
def _(value: int):
    return f"int {value}"

@show.register(list)
def _(value):
    return "list of " + ", ".join(map(show, value))

print(show([1, "a"]), reduce(lambda a, b: a * b, range(1, 6)), partial(int, base=2)("101"))

@total_ordering
class Grade:
    def __init__(self, letter):
        self.letter = letter
    def __eq__(self, other):
        return self.letter == other.letter
    def __lt__(self, other):
        return self.letter > other.letter
    @cached_property
    def words(self):
        print("computed")
        return self.letter * 2

a = Grade("A")
print(a >= Grade("B"), a.words, a.words)

@lru_cache
def slow(n):
    return n
[slow(n % 3) for n in range(10)]
print(slow.cache_info())

# expect:
# list of int 1, other a 120 5
# computed
# True AA AA
# CacheInfo(hits=7, misses=3, maxsize=128, currsize=3)
