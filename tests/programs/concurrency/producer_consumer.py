import queue
import threading

work, done = queue.Queue(maxsize=5), []

def consume():
    while (item := work.get()) is not None:
        done.append(item * item)
        work.task_done()
    work.task_done()

threads = [threading.Thread(target=consume) for _ in range(3)]
for thread in threads:
    thread.start()
for n in range(50):
    work.put(n)
for _ in threads:
    work.put(None)
work.join()
for thread in threads:
    thread.join()
print(len(done), sum(done), work.empty())
try:
    work.get_nowait()
except queue.Empty:
    print("empty")

# expect:
# 50 40425 True
# empty
