"""The real runner as in a pod, without a cluster: PID 1 of its own namespaces, an ordinary user.

Its directories are like a pod's: a program can make nothing beside them, so that Landlock can hide
the runner's. Everything temporary is in mounts of its own. No container runtime's seccomp filter is
there: what is refused here, the runner or the kernel refuses.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.runner_client import HIGH_UID, Runner, children_of, start_runner, text

# Where the pod's directories are, in a mount namespace of its own.
PLACE = Path("/mnt")

SETUP = f"""
mount -t proc proc /proc
if [ -n "$DISK" ]; then mount --bind "$DISK" {PLACE}; else mount -t tmpfs -o mode=755 t {PLACE}; fi
mkdir -p {PLACE}/workspace {PLACE}/state {PLACE}/output {PLACE}/tmp
chown "$ID:$ID" {PLACE}/*
mount -t tmpfs -o mode=1777,size=256m shm /dev/shm
mkdir -p /dev/mqueue
mount -t mqueue mqueue /dev/mqueue
chmod 1777 /dev/mqueue
exec setpriv --reuid="$ID" --regid="$ID" --clear-groups --no-new-privs "$@"
"""

UNSHARE = ("unshare", "--mount", "--pid", "--ipc", "--fork")

# What every attack begins with. call() makes a system call and tells what came of it.
PRELUDE = """
import ctypes, errno, os, resource, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(nr, *args):
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(nr), *args)
    return 'done' if done >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(what, *args, **more):
    try:
        what(*args, **more)
        return 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
launcher = os.getppid()
"""


def reason_to_skip() -> str | None:
    """Why attacks cannot be tried here; None: they can."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None or shutil.which("unshare") is None:
        return "needs root, setpriv and unshare"
    probe = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True)
    return None if probe.returncode == 0 else "making namespaces is not permitted here"


@contextmanager
def start_pod(
    binary: Path, *flags: str, uid: int = HIGH_UID, disk: Path | None = None, before: str = ""
) -> Iterator[Runner]:
    """A pod; `disk` is a directory for its volumes instead of a tmpfs.

    `before` is shell that runs as root in its namespaces before the runner.
    """
    prefix = (*UNSHARE, "sh", "-ec", before + SETUP, "sh")
    env = {"ID": str(uid), "DISK": str(disk or ""), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with start_runner(binary, PLACE, *flags, prefix=prefix, env=env) as runner:
        [line] = [line for line in runner.log if '"listening"' in line]
        assert '"pid1":true' in line
        inside = pid_outside(runner)
        try:
            yield runner
        finally:
            # Not with unshare: the kernel forgot --kill-child when the runner changed its user.
            if runner.process.poll() is None:
                os.kill(inside, signal.SIGKILL)


def pid_outside(runner: Runner) -> int:
    """The pid of a pod's runner as seen from here."""
    return children_of(runner.process.pid)[0]


def launchers_outside(runner: Runner) -> list[int]:
    """The pids of its launchers."""
    return [
        pid
        for pid in children_of(runner.process.pid)
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"soulbox-runner\0launch")
    ]


def attack(runner: Runner, uid: str, code: str, **request: object) -> list[str]:
    """Run an attack that ends by itself and give its lines."""
    doc = runner.run(uid, PRELUDE + code, **request)
    out, err = text(doc["output"]["stdout"]), text(doc["output"]["stderr"])
    assert doc["result"]["outcome"] == "Exited", (doc["result"], out, err)
    assert doc["result"]["exitCode"] == 0, (out, err)
    return out.splitlines()


# Before expressions whose words are wanted; call(), attempt() and these helpers are theirs to use.
TRIED = """
import fcntl, struct, threading
pipe, other = os.pipe()
sock = socket.socket()
one = struct.pack('i', 1)
info = struct.pack('iii', signal.SIGURG, 0, -1).ljust(128, b'\\0')
owner_ex = struct.pack('ii', 1, 1)
sched_attr = struct.pack('IIQiIQQQ', 48, 0, 0, 19, 0, 0, 0, 0)
ring = ctypes.create_string_buffer(512)
pair = ctypes.create_string_buffer(8)
limit_of_1 = struct.pack('qq', *resource.prlimit(1, resource.RLIMIT_CPU))
errno_action = struct.pack('I', 0x00050000)
def sleeper():
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    return pid
child, sibling = sleeper(), sleeper()
def prlimit(pid, what, limits):
    # The soft limit alone, and so high that the control's runner does not feel it.
    limits = (limits[0], resource.prlimit(pid, what)[1] if limits[1] == -1 else limits[1])
    resource.prlimit(pid, what, limits)
def sigqueue(pid, sig):
    if libc.sigqueue(pid, int(sig), ctypes.c_void_p(0)) != 0:
        raise OSError(ctypes.get_errno(), '')
def traced_child():
    pid = os.fork()
    if pid == 0:
        libc.ptrace(0, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSTOPPED(status)
    assert libc.ptrace(7, pid, 0, 0) == 0
    assert os.waitpid(pid, 0)[1] == 0
def alone(expression):  # in a process of its own: what it gains is not the next one's
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, tried(expression).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    return os.read(reader, 100).decode()
def tried(expression):
    try:
        value = eval(expression)
        return value if isinstance(value, str) else 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
    except ValueError:  # by Python, before the kernel is asked
        return 'ValueError'
"""


def words(runner: Runner, uid: str, expressions: list[str], more: str = "") -> list[str]:
    """What came of each expression: its text, else done, else the name of its errno."""
    code = (
        TRIED + more + f"for expression in {expressions!r}: print(tried(expression), flush=True)\n"
    )
    return attack(runner, uid, code + "os.kill(child, 9); os.kill(sibling, 9)\n")


def still_works(runner: Runner, uid: str) -> None:
    """The runner lives, the next run works, and nobody of an earlier one is left."""
    listing = "import os; print(len([p for p in os.listdir('/proc') if p.isdigit()]))"
    doc = runner.run(uid, listing)
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}, doc
    assert int(text(doc["output"]["stdout"])) <= 4, "PID 1, one or two launchers, the program"
    assert runner.process.poll() is None


def name_of(number: int) -> str:
    """EPERM for 1."""
    return errno.errorcode[number]
