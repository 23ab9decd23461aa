import threading

ready, items = threading.Condition(), []

def wait_for_three():
    with ready:
        ready.wait_for(lambda: len(items) == 3)
        items.append("seen")

waiter = threading.Thread(target=wait_for_three)
waiter.start()
for n in range(3):
    with ready:
        items.append(n)
        ready.notify_all()
waiter.join()
print(items)
event, barrier = threading.Event(), threading.Barrier(3)
order = []
def meet(n):
    barrier.wait()
    event.wait()
    order.append(n)
threads = [threading.Thread(target=meet, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
event.set()
for thread in threads:
    thread.join()
print(sorted(order), barrier.n_waiting)

# expect:
# [0, 1, 2, 'seen']
# [0, 1, 2] 0
