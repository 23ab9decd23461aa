import multiprocessing as mp

import numpy as np

def column_sums(block):
    return block.sum(axis=0)

if __name__ == "__main__":
    data = np.arange(1_000_000).reshape(1000, 1000)
    for how in ("fork", "spawn"):
        with mp.get_context(how).Pool(2) as pool:
            total = sum(pool.map(column_sums, np.array_split(data, 4)))
        print(how, np.array_equal(total, data.sum(axis=0)), total.shape)

# expect:
# fork True (1000,)
# spawn True (1000,)
