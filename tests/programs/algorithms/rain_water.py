def trapped(heights):
    left, right, low, total = 0, len(heights) - 1, 0, 0
    while left < right:
        if heights[left] < heights[right]:
            low, left = max(low, heights[left]), left + 1
            total += max(0, low - heights[left])
        else:
            low, right = max(low, heights[right]), right - 1
            total += max(0, low - heights[right])
    return total

print(trapped([0, 1, 0, 2, 1, 0, 1, 3, 2, 1, 2, 1]))

# expect:
# 6
