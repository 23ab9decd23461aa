from collections import Counter

def step(cells):
    near = Counter((r + dr, c + dc) for r, c in cells for dr in (-1, 0, 1) for dc in (-1, 0, 1) if (dr, dc) != (0, 0))
    return {cell for cell, n in near.items() if n == 3 or n == 2 and cell in cells}

glider = {(0, 1), (1, 2), (2, 0), (2, 1), (2, 2)}
cells = glider
for _ in range(4):
    cells = step(cells)
print(cells == {(r + 1, c + 1) for r, c in glider})
for r in range(4):
    print("".join("#" if (r, c) in cells else "." for c in range(4)))

# expect:
# True
# ....
# ..#.
# ...#
# .###
