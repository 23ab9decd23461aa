from bisect import bisect_left, insort

def search(items, wanted):
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(items) and items[low] == wanted else -1

items = list(range(0, 100, 3))
print([search(items, n) for n in (0, 51, 52, 99)], bisect_left(items, 52))
insort(items, 52)
print(items[16:20])

# expect:
# [0, 17, -1, 33] 18
# [48, 51, 52, 54]
