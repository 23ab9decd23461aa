import atexit
import sys

atexit.register(print, "first registered, last run")
@atexit.register
def second():
    print("second")
atexit.register(lambda: print("lambda"))
atexit.unregister(second)
sys.stdout.write("main\n")
sys.exit(0)

# expect:
# main
# lambda
# first registered, last run
