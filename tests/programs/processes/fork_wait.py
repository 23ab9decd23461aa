import os
import sys

read, write = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(read)
    os.write(write, f"child of {os.getppid()}".encode())
    os._exit(7)
os.close(write)
print(os.read(read, 100).decode() == f"child of {os.getpid()}")
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status), os.WIFEXITED(status))
sys.stdout.flush()
children = []
for n in range(5):
    child = os.fork()
    if child == 0:
        os._exit(n)
    children.append(child)
print(sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))

# expect:
# True
# 7 True
# [0, 1, 2, 3, 4]
