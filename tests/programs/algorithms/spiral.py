def spiral(matrix):
    out = []
    while matrix:
        out += matrix[0]
        matrix = [list(row) for row in zip(*matrix[1:])][::-1]
    return out

print(spiral([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]))
print([list(row) for row in zip(*[[1, 2], [3, 4]][::-1])])

# expect:
# [1, 2, 3, 4, 8, 12, 11, 10, 9, 5, 6, 7]
# [[3, 1], [4, 2]]
