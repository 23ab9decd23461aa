from itertools import accumulate, chain, compress, count, cycle, dropwhile, groupby, islice, pairwise, starmap, takewhile, tee, zip_longest

print(list(accumulate([1, 2, 3, 4])), list(accumulate([3, 1, 4], max)), list(chain("ab", [1])))
print(list(compress("abcd", [1, 0, 1, 0])), list(islice(count(10, 5), 3)), list(islice(cycle("xy"), 5)))
print(list(dropwhile(str.islower, "abCd")), list(takewhile(str.islower, "abCd")), list(pairwise("abc")))
print([(k, len(list(g))) for k, g in groupby("aabbbc")], list(starmap(pow, [(2, 3), (3, 2)])))
a, b = tee(range(3))
print(list(a), list(b), list(zip_longest("ab", "c", fillvalue="-")))

# expect:
# [1, 3, 6, 10] [3, 3, 4] ['a', 'b', 1]
# ['a', 'c'] [10, 15, 20] ['x', 'y', 'x', 'y', 'x']
# ['C', 'd'] ['a', 'b'] [('a', 'b'), ('b', 'c')]
# [('a', 2), ('b', 3), ('c', 1)] [8, 9]
# [0, 1, 2] [0, 1, 2] [('a', 'c'), ('b', '-')]
