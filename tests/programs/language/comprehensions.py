matrix = [[1, 2, 3], [4, 5, 6]]
print([x for row in matrix for x in row if x % 2], {x: x**2 for x in range(4)}, sorted({len(w) for w in "a bb cc ddd".split()}))
print([[row[i] for row in matrix] for i in range(3)], sum(x for x in range(101)))
print([y := 5, y**2], any((found := n) > 3 for n in [1, 5, 9]), found)
first, *middle, last = range(6)
print(first, middle, last, {**{"a": 1}, "b": 2} | {"c": 3}, [*"ab", *(1, 2)])

# expect:
# [1, 3, 5] {0: 0, 1: 1, 2: 4, 3: 9} [1, 2, 3]
# [[1, 4], [2, 5], [3, 6]] 5050
# [5, 25] True 5
# 0 [1, 2, 3, 4] 5 {'a': 1, 'b': 2, 'c': 3} ['a', 'b', 1, 2]
