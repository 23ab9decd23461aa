import os
import sys

read, write = os.pipe()
saved = os.dup(1)
sys.stdout.flush()
os.dup2(write, 1)
print("captured", flush=True)
os.system("echo by the shell")
os.dup2(saved, 1)
os.close(write)
with os.fdopen(read) as pipe:
    print(pipe.read().splitlines())
one, two = os.pipe2(os.O_NONBLOCK)
try:
    os.read(one, 1)
except BlockingIOError:
    print("would block")
print(os.writev(two, [b"ab", b"cd"]), os.readv(one, [bytearray(2), bytearray(2)]))

# expect:
# ['captured', 'by the shell']
# would block
# 4 4
