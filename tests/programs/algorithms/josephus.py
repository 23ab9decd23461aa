from collections import deque

def survivor(n, k):
    circle, order = deque(range(1, n + 1)), []
    while circle:
        circle.rotate(-(k - 1))
        order.append(circle.popleft())
    return order

print(survivor(7, 3), survivor(41, 3)[-1])

# expect:
# [3, 6, 2, 7, 5, 1, 4] 31
