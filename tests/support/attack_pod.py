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
