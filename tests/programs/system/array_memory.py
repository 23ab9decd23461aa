import array
import io
import sys

numbers = array.array("d", (n / 2 for n in range(5)))
numbers.append(9)
print(numbers, numbers.itemsize, array.array("H", b"\x01\x00\x02\x00" if sys.byteorder == "little" else b"\0\1\0\2").tolist())
view = memoryview(bytearray(b"abcdef")).cast("B", (2, 3))
print(view.shape, view[1, 2], view.tolist())
buffer = io.BytesIO(b"0123456789")
view = buffer.getbuffer()
view[0] = ord("X")
del view
print(buffer.getvalue(), io.BufferedReader(io.BytesIO(b"abc")).peek(2))

# expect:
# array('d', [0.0, 0.5, 1.0, 1.5, 2.0, 9.0]) 8 [1, 2]
# (2, 3) 102 [[97, 98, 99], [100, 101, 102]]
# b'X123456789' b'abc'
