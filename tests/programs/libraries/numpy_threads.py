from concurrent.futures import ThreadPoolExecutor

import numpy as np

rng = np.random.default_rng(7)
matrices = [rng.random((200, 200)) for _ in range(8)]
with ThreadPoolExecutor(4) as pool:
    inverses = list(pool.map(np.linalg.inv, matrices))
print(all(np.allclose(m @ i, np.eye(200)) for m, i in zip(matrices, inverses)))
with ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(int, [np.arange(100_000).sum()] * 4)))

# expect:
# True
# 19999800000
