import sched
import time

now = [0.0]
done = []
scheduler = sched.scheduler(lambda: now[0], lambda delay: now.__setitem__(0, now[0] + delay))
scheduler.enter(5, 1, done.append, ("late",))
scheduler.enter(1, 2, done.append, ("second",))
scheduler.enter(1, 1, done.append, ("first",))
cancelled = scheduler.enter(3, 1, done.append, ("never",))
scheduler.cancel(cancelled)
scheduler.run()
print(done, now[0], callable(time.time))

# expect:
# ['first', 'second', 'late'] 5.0 True
