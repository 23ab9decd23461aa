def best(numbers):
    top = now = numbers[0]
    for n in numbers[1:]:
        now = max(n, now + n)
        top = max(top, now)
    return top

print(best([-2, 1, -3, 4, -1, 2, 1, -5, 4]), best([-3, -1, -2]))

# expect:
# 6 -1
