import multiprocessing as mp

def work(shared, names, lock):
    with lock:
        shared["n"] += 1
        names.append("x")

if __name__ == "__main__":
    with mp.Manager() as manager:
        shared, names, lock = manager.dict(n=0), manager.list(), manager.Lock()
        processes = [mp.Process(target=work, args=(shared, names, lock)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print(dict(shared), list(names))

# expect:
# {'n': 3} ['x', 'x', 'x']
