def edits(a, b):
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        rows.append([i])
        for j, y in enumerate(b, 1):
            rows[i].append(min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (x != y)))
    i, j, script = len(a), len(b), []
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]):
            script.append("keep" if a[i - 1] == b[j - 1] else f"{a[i - 1]}>{b[j - 1]}")
            i, j = i - 1, j - 1
        elif i and rows[i][j] == rows[i - 1][j] + 1:
            script.append(f"-{a[i - 1]}")
            i -= 1
        else:
            script.append(f"+{b[j - 1]}")
            j -= 1
    return script[::-1]

print(edits("kitten", "sitting"))

# expect:
# ['k>s', 'keep', 'keep', 'keep', 'e>i', 'keep', '+g']
