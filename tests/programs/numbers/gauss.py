from fractions import Fraction as F

def solve(rows):
    n = len(rows)
    m = [[F(x) for x in row] for row in rows]
    for i in range(n):
        pivot = next(r for r in range(i, n) if m[r][i])
        m[i], m[pivot] = m[pivot], m[i]
        m[i] = [x / m[i][i] for x in m[i]]
        for r in range(n):
            if r != i:
                m[r] = [a - m[r][i] * b for a, b in zip(m[r], m[i])]
    return [str(row[-1]) for row in m]

print(solve([[2, 1, -1, 8], [-3, -1, 2, -11], [-2, 1, 2, -3]]))
print(solve([[1, 2, 1], [3, 4, 1]]))

# expect:
# ['2', '3', '-1']
# ['-1', '1']
