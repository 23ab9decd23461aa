"""Everything at once: what a hostile program tries in one run. Not a test; e2e runs it.

It prints what was refused and by which word, leaves what it can, and ends in a fork bomb.
"""

import ctypes
import errno
import os
import resource
import socket

libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *args: object) -> str:
    done = libc.syscall(ctypes.c_long(number), *args)
    return "DONE" if done >= 0 else errno.errorcode[ctypes.get_errno()]


def attempt(what, *args):  # type: ignore[no-untyped-def]
    try:
        what(*args)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "DONE"


for pid in (1, os.getppid()):
    for number in (9, 11, 15, 19):
        print("kill", pid, attempt(os.kill, pid, number))
    print("sigqueue", pid, call(129, pid, 11, (ctypes.c_int * 32)(11, 0, -1)))
    print("prlimit", pid, attempt(resource.prlimit, pid, resource.RLIMIT_CPU, (1, 1)))
    print("nofile", pid, attempt(resource.prlimit, pid, resource.RLIMIT_NOFILE, (0, 0)))
    print("nice", pid, attempt(os.setpriority, os.PRIO_PROCESS, pid, 19))
    print("ptrace", pid, call(101, 0x4206, pid, 0, 0))
    print("mem", pid, attempt(open, f"/proc/{pid}/mem", "r+b"))
print("oom", attempt(open, "/proc/self/oom_score_adj", "w"))
print("fifo", attempt(os.mkfifo, "/run/soulbox/next.1.json.tmp"))
print("termination", attempt(open, "/run/soulbox/termination", "w"))
print("devlog", attempt(open, "/dev/termination-log", "w"))
print("io_uring", call(425, 8, ctypes.create_string_buffer(512)))
print("vsock", attempt(socket.socket, 40, socket.SOCK_STREAM))
print("unshare", call(272, 0x10000000), "bpf", call(321, 0, 0, 0), "key", call(250, 0, -3, 0))
print("undumpable", "DONE" if libc.prctl(4, 0, 0, 0, 0) == 0 else "EPERM")
for left in ("/dev/shm/left", "/tmp/left"):
    with open(left, "wb") as file:
        file.write(bytes(8 << 20))
print("shmget", "left" if libc.shmget(0, 8 << 20, 0o1600) >= 0 else "no", flush=True)
while True:
    attempt(os.fork)
