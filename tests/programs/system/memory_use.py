import resource

blocks = [bytes(2**20) for _ in range(40)]
print(len(blocks), sum(map(len, blocks)) // 2**20)
del blocks
table = {n: str(n) for n in range(200_000)}
print(len(table), table[199_999], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 40_000)

# expect:
# 40 40
# 200000 199999 True
