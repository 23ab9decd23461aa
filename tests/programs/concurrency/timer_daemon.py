import threading
import time

fired = threading.Event()
timer = threading.Timer(0.01, fired.set)
timer.start()
print(fired.wait(20))
never = threading.Timer(60, print, ("never",))
never.start()
never.cancel()
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print("main ends")

# expect:
# True
# main ends
