from itertools import chain, combinations

def subsets(items):
    return list(chain.from_iterable(combinations(items, n) for n in range(len(items) + 1)))

print(subsets("abc"))
print(len(subsets(range(10))))

# expect:
# [(), ('a',), ('b',), ('c',), ('a', 'b'), ('a', 'c'), ('b', 'c'), ('a', 'b', 'c')]
# 1024
