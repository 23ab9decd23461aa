"""How runs end, and that nothing of them stays."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.runner_client import (
    UNTIL_GO,
    Runner,
    children_of,
    start_runner,
    text,
    wait_until,
)

SLEEP = "import time; print('begun', flush=True); time.sleep(600)"
# Detaches as daemons do: new session, parent gone, streams closed; then writes its pid and sleeps.
DAEMON = """
import os, sys, time
def daemon(name):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in (0, 1, 2):
                os.close(fd)
            with open(name + '.tmp', 'w') as f:
                f.write(str(os.getpid()))
            os.rename(name + '.tmp', name)
            time.sleep(600)
        os._exit(0)
daemon('daemon')
while not os.path.exists('daemon'):
    time.sleep(0.001)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def launcher_of(runner: Runner) -> int:
    """The launcher of the one run: the one that has a child."""
    for pid in children_of(runner.process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if command.startswith(b"soulbox-runner\0launch") and children_of(pid):
            return pid
    raise AssertionError("no launcher with a program")


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code_is_passed_on(runner: Runner, code: int) -> None:
    doc = runner.run("a", f"import sys; sys.exit({code})")
    assert doc["result"] == {"outcome": "Exited", "exitCode": code}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("SIGSEGV", 11),
        ("SIGABRT", 6),
        ("SIGKILL", 9),
        ("SIGTERM", 15),
        ("SIGUSR1", 10),
        ("SIGRTMIN", 34),
        ("SIGRTMIN+30", 64),
    ],
)
def test_signal_is_named(runner: Runner, name: str, number: int) -> None:
    doc = runner.run("a", f"import os; os.kill(os.getpid(), {number})")
    assert doc["result"]["outcome"] == "Signaled"
    assert doc["result"]["signal"] == name
    assert "exitCode" not in doc["result"]


def test_command_that_does_not_exist_fails_to_start(runner: Runner) -> None:
    doc = runner.run("a", "", command=["python9"])
    assert doc["result"]["outcome"] == "StartFailed"
    assert 'command "python9" was not found in PATH' in doc["result"]["message"]
    assert "startTime" not in doc
    assert "output" not in doc


@pytest.mark.parametrize(
    ("command", "want"),
    [
        (["/nowhere/python3"], "no such file"),
        (["/etc/passwd"], "permission denied"),
        (["/etc"], "permission denied"),
    ],
)
def test_command_that_cannot_be_executed_says_why(
    runner: Runner, command: list[str], want: str
) -> None:
    doc = runner.run("a", "", command=command)
    assert doc["result"]["outcome"] == "StartFailed"
    assert want in doc["result"]["message"]


def test_argument_beyond_the_kernels_bound_says_so(runner: Runner) -> None:
    doc = runner.run("a", "", args=["x" * 200_000])
    assert doc["result"]["outcome"] == "StartFailed"
    assert "too large" in doc["result"]["message"]


def test_message_of_any_length_is_cut(runner: Runner) -> None:
    doc = runner.run("a", "", command=["/" + "é" * 5000])
    assert doc["result"]["outcome"] == "StartFailed"
    assert 500 < len(doc["result"]["message"].encode()) < 1100


def test_timeout_ends_the_run_and_keeps_its_output(runner: Runner) -> None:
    # A shell: it has begun long before that.
    doc = runner.run("a", "echo begun; sleep 600", command=["sh"], timeoutSeconds=1)
    assert doc["result"]["outcome"] == "TimedOut"
    assert doc["result"]["signal"] == "SIGTERM"
    assert 1000 <= doc["durationMilliseconds"] < 600_000
    assert text(doc["output"]["stdout"]) == "begun\n"


def test_timeout_of_a_program_that_ignores_term_kills_it_a_second_later(runner: Runner) -> None:
    doc = runner.run("a", "trap '' TERM; sleep 600", command=["sh"], timeoutSeconds=1)
    assert (doc["result"]["outcome"], doc["result"]["signal"]) == ("TimedOut", "SIGKILL")
    assert 2000 <= doc["durationMilliseconds"] < 600_000


def test_timeout_answered_with_an_orderly_exit_is_a_timeout(runner: Runner) -> None:
    code = "trap 'echo orderly; exit 0' TERM; while :; do sleep 0.05; done"
    doc = runner.run("a", code, command=["sh"], timeoutSeconds=1)
    assert text(doc["output"]["stdout"]) == "orderly\n"
    assert doc["result"]["outcome"] == "TimedOut"
    assert "exitCode" not in doc["result"]


def test_timeout_reaches_children_and_grandchildren(runner: Runner) -> None:
    code = "sh -c 'sleep 600 & sleep 600' & echo $! > pid; sleep 600"
    doc = runner.run("a", code, command=["bash"], timeoutSeconds=1)
    assert doc["result"]["outcome"] == "TimedOut"
    assert not is_alive(int((runner.workspace / "pid").read_text()))


def test_double_forked_child_dies_with_its_run(runner: Runner) -> None:
    doc = runner.run("a", DAEMON)
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}
    assert not is_alive(int((runner.workspace / "daemon").read_text()))


def test_double_forked_child_that_ignores_all_signals_dies_with_its_run(runner: Runner) -> None:
    code = (
        "import signal\nfor s in range(1, 65):\n"
        "    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
    )
    doc = runner.run("a", code + DAEMON)
    assert doc["result"] == {"outcome": "Exited", "exitCode": 0}
    assert not is_alive(int((runner.workspace / "daemon").read_text()))


def test_cpu_of_a_double_forked_child_is_counted(runner: Runner) -> None:
    spin = "while time.process_time() < 0.3: pass\n            os.mkdir('spun')\n            "
    code = DAEMON.replace("time.sleep(600)", spin + "time.sleep(600)", 1)
    doc = runner.run("a", code + "while not os.path.exists('spun'): time.sleep(0.01)\n")
    assert doc["result"]["outcome"] == "Exited"
    assert doc["usage"]["cpuTimeMilliseconds"] >= 300


def test_stopped_program_is_ended_by_its_timeout(runner: Runner) -> None:
    doc = runner.run("a", "kill -STOP $$", command=["sh"], timeoutSeconds=1)
    assert (doc["result"]["outcome"], doc["result"]["signal"]) == ("TimedOut", "SIGKILL")


def test_program_that_kills_its_launcher_ends_its_run(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--landlock=false") as runner:
        doc = runner.run("a", DAEMON + "os.kill(os.getppid(), 9)\ntime.sleep(600)")
        assert (doc["result"]["outcome"], doc["result"]["signal"]) == ("Signaled", "SIGKILL")
        assert "launcher" in doc["result"]["message"]
        assert not is_alive(int((runner.workspace / "daemon").read_text()))
        assert doc["usage"]["cpuTimeMilliseconds"] > 0
        assert runner.run("b", "print('next')")["result"]["outcome"] == "Exited"


def test_program_that_stops_its_launcher_is_ended_by_its_timeout(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--landlock=false") as runner:
        code = (
            "import os, time\nlauncher = os.getppid()\n"
            "while True: os.kill(launcher, 19); time.sleep(0.001)"
        )
        doc = runner.run("a", code, timeoutSeconds=0.5)
        assert doc["result"]["outcome"] == "TimedOut"
        assert runner.run("b", "print('next')")["result"]["outcome"] == "Exited"


def test_launcher_killed_from_outside_ends_its_run(runner: Runner) -> None:
    runner.put("a", code=DAEMON + SLEEP)
    wait_until((runner.workspace / "daemon").exists, "daemon file")
    os.kill(launcher_of(runner), signal.SIGKILL)
    doc = runner.finish("a")
    assert (doc["result"]["outcome"], doc["result"]["signal"]) == ("Signaled", "SIGKILL")
    assert not is_alive(int((runner.workspace / "daemon").read_text()))


LAUNCHER = "import os; print(os.getppid())"


def launcher_told_by(doc: dict[str, Any]) -> int:
    return int(text(doc["output"]["stdout"]))


def test_launcher_takes_one_run_after_the_other(runner: Runner) -> None:
    first = launcher_told_by(runner.run("a", LAUNCHER))
    assert runner.run("b", "", command=["/nonexistent"])["result"]["outcome"] == "StartFailed"
    assert runner.run("c", DAEMON)["result"]["outcome"] == "Exited"
    assert not is_alive(int((runner.workspace / "daemon").read_text()))
    assert launcher_told_by(runner.run("d", LAUNCHER)) == first


def test_launcher_of_a_run_that_had_to_be_killed_is_replaced(runner: Runner) -> None:
    first = launcher_told_by(runner.run("a", LAUNCHER))
    assert runner.run("b", SLEEP, timeoutSeconds=0.2)["result"]["outcome"] == "TimedOut"
    second = launcher_told_by(runner.run("c", LAUNCHER))
    # Unless SIGTERM was enough.
    assert second == first or not is_alive(first)


def test_usage_is_that_of_the_one_run(runner: Runner) -> None:
    burn = "import time\nheld = b'x' * (64 << 20)\nwhile time.process_time() < 0.5: pass"
    greedy = runner.run("a", burn)["usage"]
    assert greedy["cpuTimeMilliseconds"] >= 500
    assert greedy["peakMemoryBytes"] >= 64 << 20
    modest = runner.run("b", LAUNCHER)["usage"]
    assert modest["cpuTimeMilliseconds"] < 500
    assert modest["peakMemoryBytes"] < 64 << 20


def test_limits_of_one_run_are_not_the_nexts(runner: Runner) -> None:
    show = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    limits = {"processes": 50, "fileSizeBytes": 1 << 20}
    for uid, files in (("a", 64), ("b", 512), ("c", 64)):
        doc = runner.run(uid, show, limits={**limits, "openFiles": files})
        assert text(doc["output"]["stdout"]) == f"{files}\n"


def test_launcher_that_waits_and_is_killed_is_replaced(runner: Runner) -> None:
    first = launcher_told_by(runner.run("a", LAUNCHER))
    os.kill(first, signal.SIGKILL)
    second = launcher_told_by(runner.run("b", LAUNCHER))
    assert second != first
    assert launcher_told_by(runner.run("c", LAUNCHER)) == second


def test_launcher_that_waits_and_is_stopped_goes_on(runner: Runner) -> None:
    first = launcher_told_by(runner.run("a", LAUNCHER))
    os.kill(first, signal.SIGSTOP)
    assert launcher_told_by(runner.run("b", LAUNCHER)) == first


def test_launchers_of_a_crowd_end_when_it_is_over(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--max-concurrent", "3") as runner:
        hold = "import os, time\nopen(str(os.getpid()), 'w')\n" + SLEEP
        for uid in ("a", "b", "c"):
            runner.put(uid, code=hold)
        wait_until(lambda: len(list(runner.workspace.glob("[0-9]*"))) == 3, "three programs")
        below = children_of(runner.process.pid)
        assert len(below) == 6, "a launcher and a program each"
        for uid in ("a", "b", "c"):
            runner.cancel(uid)
            assert runner.finish(uid)["result"]["outcome"] == "Cancelled"
        wait_until(lambda: len(children_of(runner.process.pid)) == 1, "one launcher that waits")


def test_runner_killed_takes_its_runs_along(binary: Path, base: Path) -> None:
    with start_runner(binary, base) as runner:
        runner.put("a", code=DAEMON + SLEEP)
        wait_until((runner.workspace / "daemon").exists, "daemon file")
        below = children_of(runner.process.pid)
        assert len(below) >= 3
        runner.process.kill()
        runner.process.wait()
        wait_until(lambda: not any(map(is_alive, below)), "all of the run gone")


def test_one_of_two_runs_ends_without_harm_to_the_other(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--max-concurrent", "2", "--landlock=false") as runner:
        runner.put("a", code=UNTIL_GO + "print('unharmed')")
        killed = runner.run("b", DAEMON + "os.kill(os.getppid(), 9)\ntime.sleep(600)")
        assert killed["result"]["outcome"] == "Signaled"
        assert not is_alive(int((runner.workspace / "daemon").read_text()))
        runner.go()
        assert text(runner.finish("a")["output"]["stdout"]) == "unharmed\n"


def test_nothing_of_a_run_stays_but_its_files(runner: Runner) -> None:
    code = "import tempfile, os; open('kept', 'w'); tempfile.mkdtemp(); print(os.environ['TMPDIR'])"
    doc = runner.run("a", code)
    assert sorted(p.name for p in runner.workspace.iterdir()) == ["kept"]
    assert list((runner.base / "tmp").iterdir()) == []
    assert text(doc["output"]["stdout"]).startswith(str(runner.base / "tmp"))


def test_private_tmpdir_made_unreadable_is_removed(runner: Runner) -> None:
    code = "import os; t = os.environ['TMPDIR']; os.makedirs(t + '/a/b'); os.chmod(t + '/a', 0)"
    runner.run("a", code)
    assert list((runner.base / "tmp").iterdir()) == []


def test_private_tmpdir_nested_very_deep_is_removed(runner: Runner) -> None:
    code = "import os; os.chdir(os.environ['TMPDIR'])\nfor _ in range(3000): os.mkdir('d'); "
    doc = runner.run("a", code + "os.chdir('d')")
    assert doc["result"]["outcome"] == "Exited"
    wait_until(lambda: list((runner.base / "tmp").iterdir()) == [], "empty tmp")


def test_cancel_before_the_start_never_starts_it(runner: Runner) -> None:
    """Cancel races the start; whichever wins, the run ends as Cancelled or had ended."""
    for i in range(20):
        runner.put(f"a{i}", code=SLEEP)
        runner.cancel(f"a{i}")
        doc = runner.finish(f"a{i}")
        assert doc["result"]["outcome"] == "Cancelled"
        assert "exitCode" not in doc["result"]


def test_duration_is_measured_from_the_programs_start(runner: Runner) -> None:
    begin = time.monotonic()
    doc = runner.run("a", "import time; time.sleep(0.3)")
    whole = (time.monotonic() - begin) * 1000
    assert 300 <= doc["durationMilliseconds"] <= whole
