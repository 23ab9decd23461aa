import threading

caught = []
threading.excepthook = lambda args: caught.append((args.exc_type.__name__, str(args.exc_value)))

def fail():
    raise RuntimeError("in a thread")

thread = threading.Thread(target=fail)
thread.start()
thread.join()
print(caught, thread.is_alive())

# expect:
# [('RuntimeError', 'in a thread')] False
