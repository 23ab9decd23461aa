import threading

slots = threading.BoundedSemaphore(2)
inside, most, lock = 0, 0, threading.RLock()

def enter():
    global inside, most
    with slots:
        with lock, lock:
            inside += 1
            most = max(most, inside)
        with lock:
            inside -= 1

threads = [threading.Thread(target=enter) for _ in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(inside, 1 <= most <= 2)
try:
    slots.release()
except ValueError as error:
    print(error)

# expect:
# 0 True
# Semaphore released too many times
