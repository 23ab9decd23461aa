import random

def quick(items):
    if len(items) < 2:
        return items
    pivot = items[len(items) // 2]
    return (quick([x for x in items if x < pivot]) + [x for x in items if x == pivot]
            + quick([x for x in items if x > pivot]))

def merge(items):
    if len(items) < 2:
        return items
    left, right = merge(items[: len(items) // 2]), merge(items[len(items) // 2 :])
    out = []
    while left and right:
        out.append((left if left[0] <= right[0] else right).pop(0))
    return out + left + right

def heap(items):
    import heapq
    items = list(items)
    heapq.heapify(items)
    return [heapq.heappop(items) for _ in range(len(items))]

data = random.Random(5).choices(range(100), k=200)
for sort in (quick, merge, heap):
    print(sort.__name__, sort(data) == sorted(data))

# expect:
# quick True
# merge True
# heap True
