def steps(n):
    count = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        count += 1
    return count

print([steps(n) for n in (1, 6, 7, 27)])
print(max(range(1, 10_000), key=steps))

# expect:
# [0, 8, 16, 111]
# 6171
