"""Disk and memory: A12 to A19, A23, and more ways to hold what is in no directory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.attack_pod import PRELUDE, attack, start_pod, still_works
from tests.support.runner_client import Runner, text, wait_until

LIMIT = 20 << 20
MEMORY_V1 = Path("/sys/fs/cgroup/memory")

# A file of 60 MB without a name is f; the ways to keep it follow.
MAPPED = """
def mapped(f):  # not by Python's mmap, which keeps a descriptor of its own
    assert libc.mmap(None, 4096, 1, 1, f.fileno(), 0) != -1
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mmap.restype = ctypes.c_long
"""
UNNAMED = f"""{MAPPED}
import subprocess, threading
f = open('big', 'w+b', buffering=0)
os.unlink('big')
for _ in range(60): f.write(bytes(1 << 20))
"""
TOO_MUCH = "are allowed"
CANNOT = "cannot be measured"

FILLS: dict[str, tuple[str, str]] = {
    "A16 visible files": (
        "for i in range(60): open(f'f{i}', 'wb').write(bytes(1 << 20))", TOO_MUCH),
    "A16 in the private TMPDIR": (
        "for i in range(60): open(f'{os.environ[\"TMPDIR\"]}/f{i}', 'wb').write(bytes(1 << 20))",
        TOO_MUCH),
    "A17 an open file without a name": (UNNAMED, TOO_MUCH),
    "A17 O_TMPFILE": (
        "fd = os.open('.', os.O_TMPFILE | os.O_RDWR)\n"
        "for _ in range(60): os.write(fd, bytes(1 << 20))", TOO_MUCH),
    "A18 in a process whose program cannot be read": (
        # However little it holds, or a look before it is hidden would end the run.
        "import subprocess\nf = open('little', 'wb')\nos.unlink('little')\n"
        "subprocess.run('cp /bin/sleep s; chmod 111 s', shell=True)\n"
        "os.set_inheritable(f.fileno(), True)\n"
        "subprocess.Popen(['./s', '600'], close_fds=False); f.close()", "cannot be looked into"),
    "A18 not dumpable": (
        UNNAMED + "assert libc.prctl(4, 0, 0, 0, 0) == -1", TOO_MUCH),
    "A19 in a mapping": (
        UNNAMED + "mapped(f); f.close()", CANNOT),
    "A19 in a mapping of what takes blocks and was never written": (
        MAPPED + "f = open('big', 'w+b'); os.posix_fallocate(f.fileno(), 0, 60 << 20)\n"
        "mapped(f); os.unlink('big'); f.close()", CANNOT),
    "A19 on its way through a socket": (
        UNNAMED + "a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [f.fileno()]); f.close()",
        CANNOT),
    "A19 in a thread's own table": (
        UNNAMED + "def alone():\n  assert call(272, 0x400) == 'done'\n  time.sleep(600)\n"
        "threading.Thread(target=alone).start(); time.sleep(0.5); f.close()", TOO_MUCH),
    "A19 in a process without its first thread": (
        UNNAMED + "if os.fork() == 0:\n  threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "  libc.syscall(60, 0)\nf.close()", TOO_MUCH),
    "A19 behind more descriptors than are looked at": (
        "for _ in range(24):\n  if os.fork() == 0:\n"
        "    for _ in range(1000): os.open('/dev/null', 0)\n    time.sleep(600)\n"
        "time.sleep(1)\n" + UNNAMED + "if os.fork() == 0: time.sleep(600)\nf.close()", TOO_MUCH),
    "A19 passed around": (
        UNNAMED + "ends = [socket.socketpair() for _ in range(12)]\n"
        "for i in range(12):\n  if os.fork() == 0:\n    f.close()\n    while True:\n"
        "      _, fds, _, _ = socket.recv_fds(ends[i][1], 1, 1)\n"
        "      socket.send_fds(ends[(i + 1) % 12][0], [b'x'], fds); os.close(fds[0])\n"
        "socket.send_fds(ends[0][0], [b'x'], [f.fileno()]); f.close()", ""),
    "A23 files without content": (
        "for i in range(9000): os.close(os.open(f'e{i}', os.O_CREAT))", TOO_MUCH),
    "A23 links without content": (
        "for i in range(9000): os.symlink('x', f'l{i}')", TOO_MUCH),
}  # fmt: skip


@pytest.fixture(scope="module")
def pod_with_limit(binary: Path) -> Iterator[Runner]:
    with start_pod(binary, f"--disk-limit-bytes={LIMIT}") as runner:
        yield runner


@pytest.mark.parametrize("name", FILLS)
def test_run_that_takes_too_much_disk_is_ended(pod_with_limit: Runner, name: str) -> None:
    code, words = FILLS[name]
    uid = f"fill-{list(FILLS).index(name)}"
    code = PRELUDE + code + "\nprint('taken', flush=True)\ntime.sleep(600)"
    doc = pod_with_limit.run(uid, code, timeoutSeconds=50)
    result = doc["result"]
    assert result["outcome"] == "DiskLimit", (result, text(doc["output"]["stderr"]))
    assert words in result["message"]
    cleared = pod_with_limit.run(f"{uid}-clear", "rm -rf *", command=["sh"])
    assert cleared["result"]["outcome"] == "Exited"


HONEST = {
    "holes": "open('sparse', 'wb').truncate(8 << 30); print(os.stat('sparse').st_blocks)",
    "a hole in memory": "os.truncate(os.memfd_create('x'), 8 << 30)",
    "much written, little kept": "for _ in range(40): open('x', 'wb').write(bytes(4 << 20))",
    "a small mapping without a name": (
        MAPPED + "f = open('m', 'w+b'); f.write(bytes(8192)); f.flush()\n"
        "mapped(f); os.unlink('m'); f.close()"
    ),
    "a setuid program of the image": "import subprocess; subprocess.run(['su', '--version'])",
}


@pytest.mark.parametrize("name", HONEST)
def test_run_that_takes_little_disk_is_let_be(pod_with_limit: Runner, name: str) -> None:
    code = PRELUDE + HONEST[name] + "\ntime.sleep(3)\nprint('let be')"
    uid = f"honest-{list(HONEST).index(name)}"
    doc = pod_with_limit.run(uid, code, limits={"fileSizeBytes": 1 << 40})
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}, doc
    pod_with_limit.run(f"{uid}-clear", "rm -rf *", command=["sh"])


def test_stops_for_a_look_are_not_seen_by_programs_that_were_stopped(
    pod_with_limit: Runner,
) -> None:
    """One that the program stopped itself is not let go on."""
    lines = attack(pod_with_limit, "stopped", """
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(9)
os.waitpid(child, os.WUNTRACED)
open('x', 'wb').write(bytes(19 << 20)); f = open('y', 'wb'); f.write(bytes(900_000)); f.flush()
time.sleep(4)
print(os.waitpid(child, os.WNOHANG | os.WCONTINUED))
os.kill(child, 9)
""")  # fmt: skip
    assert lines == ["(0, 0)"]
    pod_with_limit.run("stopped-clear", "rm -rf *", command=["sh"])


def test_a12_no_program_chooses_that_the_kernel_takes_the_runner_first(pod: Runner) -> None:
    lines = attack(pod, "a12", """
for path in ('/proc/self/oom_score_adj', '/proc/thread-self/oom_score_adj', '/proc/self/oom_adj',
             f'/proc/{os.getpid()}/task/{os.getpid()}/oom_score_adj'):
    print(attempt(open, path, 'w'))
print(open('/proc/self/oom_score_adj').read().strip())
""")  # fmt: skip
    assert lines == ["EACCES"] * 4 + ["1000"], "Landlock: nothing below /proc is written"


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    group = MEMORY_V1 / f"soulbox-test-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        yield group
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "empty memory group")
        group.rmdir()


BOMBS = {
    "A13 in the program": "x = [b'x' * (1 << 20) for _ in range(4096)]",
    "A14 in memory files of no process": (
        "for _ in range(6):\n  f = os.memfd_create('x')\n"
        "  for _ in range(64): os.write(f, b'x' * (1 << 20))"
    ),
    "A14 in /dev/shm": "f = open('/dev/shm/x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))",
    "A14 in sockets": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (900, 900))\npairs = []\n"
        "for _ in range(400):\n"
        "  pairs.append(socket.socketpair()); pairs[-1][0].setsockopt(1, 7, 1 << 20)\n"
        "  pairs[-1][0].setblocking(False)\n  try:\n"
        "    while True: pairs[-1][0].send(bytes(1 << 16))\n  except BlockingIOError: pass"
    ),
    "A14 in buffers of TCP, which cgroup v1 charges to nobody": (
        "server = socket.create_server(('127.0.0.1', 0))\nheld = []\nfor _ in range(150):\n"
        "  held.append((socket.create_connection(server.getsockname()), server.accept()[0]))\n"
        "  held[-1][0].setblocking(False)\n  try:\n"
        "    while True: held[-1][0].send(bytes(1 << 16))\n  except BlockingIOError: pass"
    ),
    "A14 in datagrams that nobody reads": (
        "held, out = [], socket.socket(2, 2)\nout.setblocking(False)\nfor _ in range(1000):\n"
        "  held.append(socket.socket(2, 2)); held[-1].bind(('127.0.0.1', 0))\n"
        "  for _ in range(10): out.sendto(bytes(60000), held[-1].getsockname())"
    ),
    "A14 in tables of pages": (
        "libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3\\\n"
        "  + [ctypes.c_long]\nlibc.mmap.restype = ctypes.c_void_p\n"
        "for _ in range(100):\n  at = libc.mmap(None, 1 << 30, 3, 0x4022, -1, 0)\n"
        "  for off in range(0, 1 << 30, 1 << 21): ctypes.c_char.from_address(at + off).value"
    ),
    "A14 in what epoll watches": (
        "import select\nwatched = [os.eventfd(0) for _ in range(900)]\nheld = []\n"
        "for _ in range(2000):\n  held.append(select.epoll())\n"
        "  for one in watched: held[-1].register(one, 0)\n"
        "  if len(held) > 90:\n"
        "    if os.fork() == 0: time.sleep(600)\n"
        "    for one in held: one.close()\n    held = []"
    ),
    "A14 in shared memory of System V": (
        "libc.shmat.restype = ctypes.c_void_p\n"
        "for _ in range(8):\n  i = libc.shmget(0, 32 << 20, 0o1600)\n"
        "  ctypes.memset(libc.shmat(i, None, 0), 1, 32 << 20)"
    ),
}


@pytest.mark.skipif(
    not MEMORY_V1.joinpath("memory.limit_in_bytes").exists(), reason="needs cgroup v1 with memory"
)
@pytest.mark.parametrize("name", BOMBS)
def test_memory_bomb_ends_the_run_and_not_the_runner(binary: Path, name: str) -> None:
    with memory_group(128 << 20) as group:
        # The runner is the first that the kernel would take, as in a pod of the Burstable class.
        before = f"echo $$ > {group}/cgroup.procs\necho 990 > /proc/self/oom_score_adj\n"
        with start_pod(binary, before=before) as runner:
            doc = runner.run("bomb", PRELUDE + BOMBS[name] + "\ntime.sleep(600)", timeoutSeconds=30)
            assert doc["result"]["outcome"] == "OOMKilled", doc["result"]
            still_works(runner, "after")
