import multiprocessing as mp

def worker(inbox, outbox):
    for item in iter(inbox.get, None):
        outbox.put(item**2)

if __name__ == "__main__":
    inbox, outbox = mp.Queue(), mp.Queue()
    workers = [mp.Process(target=worker, args=(inbox, outbox)) for _ in range(2)]
    for process in workers:
        process.start()
    for n in range(8):
        inbox.put(n)
    for _ in workers:
        inbox.put(None)
    print(sorted(outbox.get(timeout=60) for _ in range(8)))
    for process in workers:
        process.join()
    print([process.exitcode for process in workers])

# expect:
# [0, 1, 4, 9, 16, 25, 36, 49]
# [0, 0]
