"""Signals, processes and the end of a run: A01 to A06, A09, A10, A15, A43."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.attack_pod import (
    PRELUDE,
    attack,
    launchers_outside,
    pid_outside,
    start_pod,
    still_works,
)
from tests.support.runner_client import HIGH_UID, Runner, children_of, text, wait_until

PIDS_V1 = Path("/sys/fs/cgroup/pids")
FAULTS = ["SIGILL", "SIGTRAP", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS"]


def test_a01_no_signal_reaches_the_runner_or_its_launcher(pod: Runner) -> None:
    lines = attack(pod, "a01", """
words = set()
for pid in (1, launcher):
    for number in range(65):
        words.add(attempt(os.kill, pid, number))
        words.add(call(234, pid, pid, number) if number else 'EPERM')
        words.add(attempt(signal.pidfd_send_signal, os.pidfd_open(pid), number))
print(*words)
""")  # fmt: skip
    assert lines == ["EPERM"], "Landlock's signal scope refuses"
    still_works(pod, "a01-after")


def test_a02_plain_signals_do_nothing_without_landlock(pod_without_landlock: Runner) -> None:
    lines = attack(pod_without_landlock, "a02", """
for number in set(range(1, 65)) - {19}:
    os.kill(1, number)
    call(234, 1, 1, number)
print('sent')
""")  # fmt: skip
    assert lines == ["sent"]
    still_works(pod_without_landlock, "a02-after")


def test_a03_queued_faults_do_nothing_even_without_the_filter(
    pod_without_seccomp: Runner,
) -> None:
    """The runner's own handlers are the second wall: here the signals do arrive."""
    lines = attack(pod_without_seccomp, "a03", f"""
import fcntl, struct
for name in {FAULTS}:
    number = getattr(signal, name)
    for code in (-1, -2, -3, -5, -60):
        info = struct.pack('iii', number, 0, code).ljust(128, b'\\0')
        for _ in range(20):
            assert call(129, 1, number, info) == 'done'
    # A descriptor whose owner is PID 1 and whose signal is the fault.
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, 1)
    fcntl.fcntl(reader, 10, number)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writer, b'x')
print('sent')
""")  # fmt: skip
    assert lines == ["sent"]
    still_works(pod_without_seccomp, "a03-after")


def test_a04_kill_everything_reaches_nobody(pod: Runner) -> None:
    # kill(2) with -1 tells of nobody whom it may not signal; the launcher lives to tell the end.
    assert attack(pod, "a04", "print(attempt(os.kill, -1, 9), flush=True)") == ["done"]
    still_works(pod, "a04-after")


LOOK = """
words = set()
for pid in (1, launcher):
    for name in ('environ', 'mem', 'maps', 'io', 'auxv', 'syscall', 'stack', 'map_files', 'fd'):
        path = f'/proc/{pid}/{name}'
        what = os.listdir if name in ('map_files', 'fd') else lambda p: open(p, 'rb').read(1)
        words.add(attempt(what, path))
    for name in ('cwd', 'root', 'exe', 'ns/pid', 'fd/3'):
        words.add(attempt(os.readlink, f'/proc/{pid}/{name}'))
    for name in ('mem', 'oom_score_adj', 'coredump_filter', 'clear_refs', 'autogroup', 'comm'):
        words.add(attempt(open, f'/proc/{pid}/{name}', 'w'))
print(*sorted(words))
"""


@pytest.mark.parametrize("name", ["pod", "pod_without_landlock"])
def test_a05_nothing_of_the_runner_can_be_looked_into(
    request: pytest.FixtureRequest, name: str
) -> None:
    runner: Runner = request.getfixturevalue(name)
    [line] = attack(runner, "a05", LOOK)
    assert set(line.split()) <= {"EACCES", "EPERM"}, "not dumpable: the files are root's"


@pytest.mark.parametrize("walls", [(), ("--landlock=false",)])
def test_a06_a_launcher_is_not_traced_in_its_first_moment(
    binary: Path, walls: tuple[str, ...]
) -> None:
    with start_pod(binary, "--max-concurrent=2", *walls) as runner:
        runner.put("spy", code=PRELUDE + """
tried, words, end = 0, set(), time.monotonic() + 60
while not os.path.exists('enough') and time.monotonic() < end:
    base = max(int(p) for p in os.listdir('/proc') if p.isdigit())
    for pid in range(base, base + 4):
        word = call(101, 0x4206, pid, 0, 0)
        tried += 1
        words.add(word)
print(tried > 100, *sorted(words))
""")  # fmt: skip
        for i in range(40):
            # Each kills its launcher, where it can, so that a new one is started.
            runner.run(f"new{i}", "import os; os.kill(os.getppid(), 9)" if walls else "")
        (pid_root(runner) / "mnt/workspace/enough").touch()
        lines = text(runner.finish("spy")["output"]["stdout"]).splitlines()
        assert lines == ["True EPERM"], "the filter refuses before the kernel looks"


def pid_root(runner: Runner) -> Path:
    return Path(f"/proc/{pid_outside(runner)}/root")


def test_a09_a_process_that_hides_from_the_kill_is_found(pod: Runner) -> None:
    """A43: double forks, own sessions, stopped, traced, without its first thread, a new name."""
    attack(pod, "a43", """
import threading
def daemon(what):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            what()
            time.sleep(600)
        os._exit(0)
daemon(lambda: None)
daemon(lambda: os.kill(os.getpid(), signal.SIGSTOP))
daemon(lambda: libc.prctl(36, 1, 0, 0, 0))
daemon(lambda: libc.prctl(15, b'kworker/0:0', 0, 0, 0))
daemon(lambda: (libc.ptrace(0, 0, 0, 0), os.kill(os.getpid(), signal.SIGSTOP)))
def leaderless():
    threading.Thread(target=time.sleep, args=(600,)).start()
    libc.syscall(60, 0)
daemon(leaderless)
def leapfrog():
    for _ in range(10_000):
        if os.fork():
            os._exit(0)
daemon(leapfrog)
time.sleep(0.2)
""")  # fmt: skip
    still_works(pod, "a43-after")
    wait_until(lambda: len(children_of(pid_outside(pod))) <= 2, "only launchers are left")


def test_a09_a_run_that_asks_its_launcher_to_trace_it_still_ends(pod: Runner) -> None:
    """The launcher's wait tells of a traced child that stops as of one that ended."""
    code = PRELUDE + "libc.ptrace(0, 0, 0, 0)\nprint('x', flush=True)\n"
    code += "os.kill(os.getpid(), signal.SIGSTOP)\nprint('went on')"
    doc = pod.run("traceme", code, timeoutSeconds=1)
    assert doc["result"]["outcome"] == "TimedOut"
    still_works(pod, "traceme-after")


def test_a10_a_launcher_whose_limits_were_changed_is_not_used_again(binary: Path) -> None:
    with start_pod(binary) as runner:
        runner.run("first", "")
        [launcher] = launchers_outside(runner)
        # From outside: for a program the filter refuses it, see test_calls_refused.
        equal = ["setpriv", f"--reuid={HIGH_UID}", f"--regid={HIGH_UID}", "--clear-groups"]
        change = [*equal, "prlimit", "--pid", str(launcher), "--nofile=50:50"]
        subprocess.run(change, check=True)
        lines = attack(runner, "next", "print(*resource.getrlimit(resource.RLIMIT_NOFILE)[:1])")
        assert lines == ["1024"]
        [other] = launchers_outside(runner)
        assert other != launcher


@contextmanager
def pids_group(limit: int) -> Iterator[tuple[Path, Path]]:
    """A group with a limit, as the kubelet makes for a pod, and one in it, as for a container."""
    outer = PIDS_V1 / f"soulbox-test-{secrets.token_hex(4)}"
    inner = outer / "container"
    inner.mkdir(parents=True)
    try:
        (outer / "pids.max").write_text(str(limit))
        yield outer, inner
    finally:
        wait_until(lambda: not (inner / "cgroup.procs").read_text(), "empty group")
        inner.rmdir()
        outer.rmdir()


needs_pids = pytest.mark.skipif(
    not PIDS_V1.joinpath("cgroup.procs").exists(), reason="needs cgroup v1 with pids"
)
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


@needs_pids
@pytest.mark.parametrize("where", ["the container's own limit", "the pod's, which cannot be seen"])
def test_a15_a_fork_bomb_takes_neither_the_runner_nor_its_neighbours(
    binary: Path, where: str
) -> None:
    with pids_group(90) as (_, inner):
        if where.startswith("the container"):
            (inner / "pids.max").write_text("80")
        join = f"echo $$ > {inner}/cgroup.procs\n"
        with start_pod(binary, "--max-concurrent=4", before=join, uid=HIGH_UID + 1) as runner:
            runner.put("bomb", code=BOMB, timeoutSeconds=4, limits={"processes": 128})
            wait_until(lambda: int((inner / "pids.current").read_text()) > 50, "the bomb went off")
            # Meanwhile another program starts, as soon as there is room.
            doc = runner.run("neighbour", "print('ran')")
            assert text(doc["output"]["stdout"]) == "ran\n", doc["result"]
            assert runner.finish("bomb")["result"]["outcome"] == "TimedOut"
            still_works(runner, "after")


def test_a15_descriptors_on_their_way_keep_no_other_run_from_starting_for_ever(
    binary: Path,
) -> None:
    """The kernel counts those in sockets by user, and refuses the runner's own from then on."""
    many = "ulimit -n 3000\n"  # the bound is what a process may have open
    with start_pod(binary, "--max-concurrent=2", before=many) as runner:
        runner.put("hold", code=PRELUDE + """
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
null, pairs, word = os.open('/dev/null', os.O_RDONLY), [], ''
while not word:
    pairs.append(socket.socketpair())
    pairs[-1][0].setblocking(False)
    try:
        while True: socket.send_fds(pairs[-1][0], [b'x'], [null] * 250)
    except BlockingIOError:
        continue
    except OSError as error:
        word = errno.errorcode[error.errno]
print(word, flush=True)
time.sleep(600)
""")  # fmt: skip
        target = "/v1/executions/hold/1/output/stdout?offset=0"
        wait_until(lambda: runner.call("GET", target).body == b"ETOOMANYREFS\n", "all of them")
        doc = runner.run("beside", "print(1)", timeoutSeconds=2)
        assert doc["result"]["outcome"] == "StartFailed"
        assert "on their way through sockets" in doc["result"]["message"]
        runner.put("patient", code="print('ran')", timeoutSeconds=600, wait="100ms")
        runner.cancel("hold")
        assert runner.finish("hold")["result"]["outcome"] == "Cancelled"
        assert text(runner.finish("patient")["output"]["stdout"]) == "ran\n"


def test_processes_of_an_administrator_are_no_survivors_of_a_run(binary: Path) -> None:
    """Entered as another user (kubectl debug): it cannot be killed, and ends no pod."""
    with start_pod(binary) as runner:
        runner.put("a", code="import time; time.sleep(0.5)", wait="100ms")
        enter = ["nsenter", "-t", str(pid_outside(runner)), "-p", "sleep", "600"]
        entered = subprocess.Popen(enter)
        try:
            assert runner.finish("a")["result"]["outcome"] == "Exited"
            doc = runner.run("b", "print('next')")
            assert doc["result"] == {"outcome": "Exited", "exitCode": 0}
            assert entered.poll() is None
        finally:
            for pid in children_of(entered.pid):
                os.kill(pid, 9)
            entered.kill()
            entered.wait()
        assert not any("could not be killed" in line for line in runner.log)
