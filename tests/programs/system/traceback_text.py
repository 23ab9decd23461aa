import sys
import traceback

def inner(n):
    return 1 // n

def outer():
    inner(0)

try:
    outer()
except ZeroDivisionError:
    kind, value, trace = sys.exc_info()
    print([frame.name for frame in traceback.extract_tb(trace)])
    print(traceback.format_exc().splitlines()[-1])
    print("".join(traceback.format_exception_only(value)).strip(), trace.tb_next.tb_frame.f_code.co_name)
sys.excepthook = lambda kind, value, trace: print("hook", kind.__name__, value)
sys.unraisablehook = lambda info: print("unraisable", info.exc_value)
class Bad:
    def __del__(self):
        raise ValueError("in del")
Bad()

# expect:
# ['<module>', 'outer', 'inner']
# ZeroDivisionError: integer division or modulo by zero
# ZeroDivisionError: integer division or modulo by zero outer
# unraisable in del
