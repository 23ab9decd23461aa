from collections import deque

MAZE = ["S.#.....", ".##.###.", "......#.", ".####.#.", "......#E"]

def shortest():
    start = next((r, row.index("S")) for r, row in enumerate(MAZE) if "S" in row)
    queue, seen = deque([(start, 0)]), {start}
    while queue:
        (r, c), steps = queue.popleft()
        if MAZE[r][c] == "E":
            return steps
        for nr, nc in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
            if 0 <= nr < len(MAZE) and 0 <= nc < len(MAZE[0]) and MAZE[nr][nc] != "#" and (nr, nc) not in seen:
                seen.add((nr, nc))
                queue.append(((nr, nc), steps + 1))

print(shortest())

# expect:
# 15
