"""The runner as real PID 1 of a PID namespace, as in a pod.

Everything that could reach beyond the namespace, such as kill(-1), is done only by programs inside
it. Where namespaces are not permitted these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_SECONDS
from tests.support.runner_client import (
    UNTIL_GO,
    Runner,
    children_of,
    has_child,
    start_runner,
    text,
    wait_until,
)

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child=SIGKILL")
IN_NAMESPACE = (*UNSHARE, "--mount-proc")


SIGNALS = [
    "TERM", "INT", "HUP", "QUIT", "ABRT", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS", "PIPE",
    "USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "XFSZ", "IO", "PWR", "STKFLT", "TSTP",
    "TTIN", "TTOU", "STOP", "CONT", "CHLD", "URG", "WINCH", "KILL", "RTMIN", "RTMAX",
]  # fmt: skip


def namespaces_work() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*IN_NAMESPACE, "true"], check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(
    not namespaces_work(), reason="making a PID namespace is not permitted here"
)


@contextmanager
def start_pid1(binary: Path, base: Path, *flags: str) -> Iterator[tuple[Runner, int]]:
    """A runner that is PID 1, and its pid as seen from here."""
    with start_runner(binary, base, *flags, prefix=IN_NAMESPACE) as runner:
        [line] = [line for line in runner.log if '"listening"' in line]
        assert '"pid1":true' in line
        yield runner, pid_outside(runner)


def pid_outside(runner: Runner) -> int:
    """The pid of the runner as seen from here: the only direct child of unshare."""
    pid = children_of(runner.process.pid)[0]
    assert b"\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return pid


@pytest.fixture
def pid1(binary: Path, base: Path) -> Iterator[Runner]:
    """Without Landlock, which would keep a program's signals from the runner."""
    with start_pid1(binary, base, "--landlock=false") as (runner, _):
        yield runner


@pytest.mark.parametrize("name", SIGNALS)
def test_signal_from_a_program_does_nothing(pid1: Runner, name: str) -> None:
    code = f"import os, signal\nfor _ in range(3): os.kill(1, signal.SIG{name})\nprint('sent')"
    doc = pid1.run("a", code)
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}
    assert text(doc["output"]["stdout"]) == "sent\n"
    assert pid1.run("b", "print('next')")["result"]["outcome"] == "Exited"
    assert pid1.process.poll() is None


def test_kill_all_ends_only_its_own_run(pid1: Runner) -> None:
    for uid in ("a", "b", "c"):
        doc = pid1.run(uid, "import os, time; os.kill(-1, 9); time.sleep(600)")
        # kill(-1) spares its sender, but takes the launcher, and with it the run.
        assert (doc["result"]["outcome"], doc["result"]["signal"]) == ("Signaled", "SIGKILL")
    assert text(pid1.run("d", "print('next')")["output"]["stdout"]) == "next\n"


def test_kill_all_with_landlock_does_not_even_reach_the_launcher(binary: Path, base: Path) -> None:
    with start_pid1(binary, base) as (runner, _):
        code = (
            "import os\ntry: os.kill(1, 0); print('reached')\nexcept PermissionError: print('no')"
        )
        if text(runner.run("probe", code)["output"]["stdout"]) != "no\n":
            pytest.skip("the kernel has no Landlock scope for signals (Linux 6.12)")
        doc = runner.run("a", "import os\ntry: os.kill(-1, 9)\nfinally: print('still here')")
        assert "still here" in text(doc["output"]["stdout"])
        assert doc["result"]["outcome"] == "Exited"


def test_orphans_are_collected(pid1: Runner) -> None:
    orphans = (
        "import os\nfor _ in range(50):\n  if os.fork() == 0:\n    if os.fork(): os._exit(0)\n"
    )
    orphans += "    os._exit(0)\nos.kill(os.getppid(), 9)\nimport time; time.sleep(600)"
    doc = pid1.run("a", orphans)
    assert doc["result"]["outcome"] == "Signaled"
    doc = pid1.run("b", "import os; print(*[p for p in os.listdir('/proc') if p.isdigit()])")
    # PID 1, launcher, program: no zombie and nobody else.
    assert len(text(doc["output"]["stdout"]).split()) == 3


def test_namespace_is_empty_after_each_run(pid1: Runner) -> None:
    daemon = (
        "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0: time.sleep(600)\n"
    )
    listing = "import os; print(*[p for p in os.listdir('/proc') if p.isdigit()])"
    for i in range(5):
        pid1.run(f"a{i}", daemon)
        doc = pid1.run(f"b{i}", listing)
        assert len(text(doc["output"]["stdout"]).split()) == 3


def test_process_entered_from_outside_ends_with_the_run(binary: Path, base: Path) -> None:
    with start_pid1(binary, base) as (runner, pid):
        runner.put("a", code=UNTIL_GO)
        entered = subprocess.Popen(["nsenter", "-t", str(pid), "-p", "sleep", "600"])
        try:
            wait_until(lambda: has_child(entered.pid, "sleep"), "the process from outside")
            runner.go()
            assert runner.finish("a")["result"]["outcome"] == "Exited"
            # nsenter forks and ends itself the way its child ended.
            assert entered.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL
        finally:
            entered.kill()
            entered.wait()


def test_process_entered_from_outside_stays_while_another_run_is_active(
    binary: Path, base: Path
) -> None:
    with start_pid1(binary, base, "--max-concurrent", "2") as (runner, pid):
        runner.put("long", code=UNTIL_GO + "print('unharmed')")
        entered = subprocess.Popen(["nsenter", "-t", str(pid), "-p", "sleep", "600"])
        try:
            wait_until(lambda: has_child(entered.pid, "sleep"), "the process from outside")
            runner.run("short", "print(1)")
            assert entered.poll() is None
            runner.go()
            assert text(runner.finish("long")["output"]["stdout"]) == "unharmed\n"
            assert entered.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL
        finally:
            entered.kill()
            entered.wait()


def test_term_from_outside_drains(binary: Path, base: Path) -> None:
    with start_pid1(binary, base) as (runner, pid):
        runner.put("a", code="import time; time.sleep(600)", wait="200ms")
        os.kill(pid, signal.SIGTERM)
        assert runner.finish("a")["result"]["outcome"] == "Cancelled"
        reply = runner.put("b", code="1")
        assert (reply.status, reply.code) == (503, "Draining")
        assert runner.release("a").status == 204
        assert runner.process.wait(timeout=PATIENCE_SECONDS) == 0


def test_proc_of_another_namespace_turns_kill_all_off(binary: Path, base: Path) -> None:
    """PID 1, but /proc shows the machine: its numbers mean other processes."""
    with start_runner(binary, base, prefix=UNSHARE) as runner:
        [line] = [line for line in runner.log if '"listening"' in line]
        assert '"pid1":false' in line
        assert runner.run("a", "print(1)")["result"]["outcome"] == "Exited"


def test_ordinary_process_never_has_kill_all(runner: Runner) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        assert any('"pid1":false' in line for line in runner.log)
        for i in range(3):
            runner.run(f"a{i}", "import os; os.kill(os.getppid(), 9)")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_threads_of_pid1_stay_few(pid1: Runner) -> None:
    for i in range(20):
        pid1.run(f"a{i}", "print(1)")
    pid = pid_outside(pid1)
    assert len(os.listdir(f"/proc/{pid}/task")) <= 16
    wait_until(lambda: len(children_of(pid)) <= 1, "only the waiting launcher")
