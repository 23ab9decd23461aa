from itertools import combinations, permutations, product

def permute(items):
    if len(items) <= 1:
        yield tuple(items)
        return
    for i, item in enumerate(items):
        for rest in permute(items[:i] + items[i + 1 :]):
            yield (item, *rest)

print(list(permute([1, 2, 3])) == list(permutations([1, 2, 3])))
print(["".join(c) for c in combinations("abcd", 2)], len(list(product("01", repeat=5))))

# expect:
# True
# ['ab', 'ac', 'ad', 'bc', 'bd', 'cd'] 32
