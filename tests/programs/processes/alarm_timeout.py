import signal
import time

class TooSlow(Exception):
    pass

def ring(*_):
    raise TooSlow

signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.02)
try:
    time.sleep(600)
except TooSlow:
    print("interrupted")
print(signal.getitimer(signal.ITIMER_REAL), signal.alarm(100), signal.alarm(0) > 90)

# expect:
# interrupted
# (0.0, 0.0) 0 True
