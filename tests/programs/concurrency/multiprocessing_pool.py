import multiprocessing as mp

def square(n):
    return n * n

def add(a, b):
    return a + b

if __name__ == "__main__":
    for how in ("fork", "spawn"):
        with mp.get_context(how).Pool(2) as pool:
            print(how, pool.map(square, range(6)), pool.starmap(add, [(1, 2), (3, 4)]))
            print(sorted(pool.imap_unordered(square, range(4))), pool.apply_async(square, (9,)).get(60))

# expect:
# fork [0, 1, 4, 9, 16, 25] [3, 7]
# [0, 1, 4, 9] 81
# spawn [0, 1, 4, 9, 16, 25] [3, 7]
# [0, 1, 4, 9] 81
