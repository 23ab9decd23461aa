from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, as_completed, wait

def work(n):
    if n == 13:
        raise ValueError("unlucky")
    return n * n

with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(work, range(10))))
    futures = {pool.submit(work, n): n for n in (2, 13, 5)}
    for future in sorted(as_completed(futures), key=futures.get):
        print(futures[future], future.exception() or future.result())
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    print(len(done) >= 1)

# expect:
# [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
# 2 4
# 5 25
# 13 unlucky
# True
