GRID = ("530070000600195000098000060800060003400803001700020006060000280000419005000080079")

def solve(grid):
    i = grid.find("0")
    if i < 0:
        return grid
    row, column = divmod(i, 9)
    box = row // 3 * 27 + column // 3 * 3
    used = set(grid[row * 9 : row * 9 + 9] + grid[column::9])
    used |= {grid[box + r * 9 + c] for r in range(3) for c in range(3)}
    for digit in "123456789":
        if digit not in used:
            solved = solve(grid[:i] + digit + grid[i + 1 :])
            if solved:
                return solved
    return None

solved = solve(GRID)
for row in range(9):
    print(solved[row * 9 : row * 9 + 9])

# expect:
# 534678912
# 672195348
# 198342567
# 859761423
# 426853791
# 713924856
# 961537284
# 287419635
# 345286179
