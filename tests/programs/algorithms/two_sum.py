def two_sum(numbers, target):
    seen = {}
    for i, n in enumerate(numbers):
        if target - n in seen:
            return seen[target - n], i
        seen[n] = i

def three_sum(numbers):
    numbers = sorted(numbers)
    found = set()
    for i, a in enumerate(numbers):
        low, high = i + 1, len(numbers) - 1
        while low < high:
            total = a + numbers[low] + numbers[high]
            if total == 0:
                found.add((a, numbers[low], numbers[high]))
            low, high = (low + 1, high) if total <= 0 else (low, high - 1)
    return sorted(found)

print(two_sum([2, 7, 11, 15], 26), three_sum([-1, 0, 1, 2, -1, -4]))

# expect:
# (2, 3) [(-1, -1, 2), (-1, 0, 1)]
