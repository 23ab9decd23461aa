import numpy as np

a = np.array([[4.0, 1, 2], [1, 3, 0], [2, 0, 5]])
b = np.array([1.0, 2, 3])
x = np.linalg.solve(a, b)
print(np.allclose(a @ x, b), np.round(np.linalg.det(a), 6), np.linalg.matrix_rank(a))
values, vectors = np.linalg.eigh(a)
print(np.allclose(vectors @ np.diag(values) @ vectors.T, a), bool((values > 0).all()))
u, s, v = np.linalg.svd(np.arange(12.0).reshape(3, 4))
print(u.shape, int((s > 1e-9).sum()), v.shape)
print(np.arange(12).reshape(3, 4)[1:, ::2].tolist(), np.where([True, False, True], 1, 0).tolist())

# expect:
# True 43.0 3
# True True
# (3, 3) 2 (4, 4)
# [[4, 6], [8, 10]] [1, 0, 1]
