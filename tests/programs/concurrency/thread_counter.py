import threading

count, lock = 0, threading.Lock()

def add(times):
    global count
    for _ in range(times):
        with lock:
            count += 1

threads = [threading.Thread(target=add, args=(5000,), name=f"t{n}") for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(count, threading.active_count(), threading.main_thread().name)

# expect:
# 40000 1 MainThread
