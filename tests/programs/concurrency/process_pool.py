from concurrent.futures import ProcessPoolExecutor
import math
import multiprocessing
import os

def is_prime(n):
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))

def die(_):
    os._exit(7)

if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        numbers = [112272535095293, 112582705942171, 115280095190773, 1000000]
        print(dict(zip(numbers, pool.map(is_prime, [n % 10**9 for n in numbers]))))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as pool:
        print(pool.submit(pow, 2, 10).result())
        try:
            pool.submit(die, 0).result()
        except Exception as error:
            print(type(error).__name__)

# expect:
# {112272535095293: True, 112582705942171: False, 115280095190773: False, 1000000: False}
# 1024
# BrokenProcessPool
