import ctypes
import ctypes.util

libc = ctypes.CDLL(None, use_errno=True)
libc.strlen.restype = ctypes.c_size_t
print(libc.strlen(b"hello"), libc.abs(-5), libc.toupper(ord("a")))
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
def compare(a, b):
    return a[0] - b[0]
numbers = (ctypes.c_int * 5)(5, 3, 9, 1, 7)
libc.qsort(numbers, len(numbers), ctypes.sizeof(ctypes.c_int), compare)
print(list(numbers))
class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int16), ("y", ctypes.c_double)]
print(ctypes.sizeof(Point), Point(1, 2.5).y, ctypes.string_at(ctypes.create_string_buffer(b"abc")))
print(libc.open(b"/no/such", 0), ctypes.get_errno())

# expect:
# 5 5 65
# [1, 3, 5, 7, 9]
# 16 2.5 b'abc'
# -1 2
