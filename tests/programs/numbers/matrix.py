def multiply(a, b):
    columns = list(zip(*b))
    return [[sum(x * y for x, y in zip(row, column)) for column in columns] for row in a]

def determinant(m):
    if len(m) == 1:
        return m[0][0]
    return sum((-1) ** j * m[0][j] * determinant([row[:j] + row[j + 1:] for row in m[1:]])
               for j in range(len(m)))

a, b = [[1, 2], [3, 4]], [[5, 6], [7, 8]]
print(multiply(a, b), [list(row) for row in zip(*a)])
print(determinant([[2, 0, 1], [1, 3, 2], [1, 1, 1]]))

# expect:
# [[19, 22], [43, 50]] [[1, 3], [2, 4]]
# 0
