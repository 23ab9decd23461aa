def islands(grid):
    cells = {(r, c) for r, row in enumerate(grid) for c, x in enumerate(row) if x == "1"}
    sizes = []
    while cells:
        stack, size = [cells.pop()], 0
        while stack:
            r, c = stack.pop()
            size += 1
            for cell in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if cell in cells:
                    cells.remove(cell)
                    stack.append(cell)
        sizes.append(size)
    return sorted(sizes)

print(islands(["11000", "11000", "00100", "00011"]))

# expect:
# [1, 2, 4]
