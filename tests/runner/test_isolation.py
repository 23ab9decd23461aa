"""What a program can and cannot reach of the runner and of other runs.

All under one uid, as in a pod: the runner, its launchers and the programs are equals to the kernel.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runner_client import (
    HIGH_UID,
    POD_UID,
    UNTIL_GO,
    Runner,
    start_runner,
    text,
    wait_until,
)

SETPRIV = ("setpriv", f"--reuid={HIGH_UID}", f"--regid={HIGH_UID}", "--clear-groups")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root, to become another uid, and setpriv",
)


@pytest.fixture
def runner(binary: Path, base: Path) -> Iterator[Runner]:
    with start_runner(binary, base, prefix=SETPRIV, env={"SOULBOX_OWN": "secret"}) as started:
        yield started


# Directories as in a pod: the program can make nothing beside them. On a tmpfs of its own in a
# mount namespace of its own, for all that is temporary here is open to everyone.
CLOSED = Path("/mnt")
IN_CLOSED = (
    "unshare", "--mount", "sh", "-ec",
    f"""mount -t tmpfs -o mode=755 tmpfs {CLOSED}
    mkdir {CLOSED}/workspace {CLOSED}/state {CLOSED}/output {CLOSED}/tmp
    ln -s state {CLOSED}/aside
    chown -h {HIGH_UID}:{HIGH_UID} {CLOSED}/*
    exec "$@" """, "sh", *SETPRIV,
)  # fmt: skip


def test_environment_of_the_runner_is_not_passed_on(runner: Runner) -> None:
    code = "import os; del os.environ['SOULBOX_RESULT']; print(dict(os.environ))"
    out = text(runner.run("a", code)["output"]["stdout"])
    for secret in ("SOULBOX_OWN", "SOULBOX", POD_UID, runner.signer.key_id, "GOGC", "GOMAXPROCS"):
        assert secret not in out


def test_program_has_three_descriptors_and_no_other(runner: Runner) -> None:
    code = "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd')))"
    out = text(runner.run("a", code)["output"]["stdout"])
    assert out == "[0, 1, 2, 3]\n"  # 3 is the directory being listed


def test_program_is_the_leader_of_a_session_of_its_own(runner: Runner) -> None:
    code = "import os; print(os.getsid(0) == os.getpid() == os.getpgrp())"
    assert text(runner.run("a", code)["output"]["stdout"]) == "True\n"


def test_program_gains_no_privileges(runner: Runner) -> None:
    code = "print(*[l for l in open('/proc/self/status') if l.startswith('NoNewPrivs')])"
    assert text(runner.run("a", code)["output"]["stdout"]).split() == ["NoNewPrivs:", "1"]


PEEK = """
import ctypes, os
def attempt(what, *args):
    try:
        what(*args)
        return 'yes'
    except OSError as error:
        return error.strerror
libc = ctypes.CDLL(None, use_errno=True)
def trace(pid):
    if libc.ptrace(16, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def of(pid):
    return int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])
launcher = os.getppid()
server = of(launcher)
for pid in (launcher, server):
    of_pid = f'/proc/{pid}/'
    print(attempt(trace, pid), attempt(open, of_pid + 'environ'),
          attempt(open, of_pid + 'mem', 'r+b'), attempt(os.readlink, of_pid + 'fd/3'), sep=';')
"""


@pytest.mark.parametrize("landlock", ["true", "false"])
def test_runner_and_launcher_cannot_be_looked_into(binary: Path, base: Path, landlock: str) -> None:
    with start_runner(binary, base, f"--landlock={landlock}", prefix=SETPRIV) as runner:
        out = text(runner.run("a", PEEK)["output"]["stdout"]).splitlines()
        denied = "Operation not permitted;Permission denied;Permission denied;Permission denied"
        assert out == [denied, denied]


FIND_WAITING = """
waiting = []
while not waiting:
    for entry in os.listdir('/proc'):
        try:
            is_one = open(f'/proc/{entry}/cmdline').read() == 'soulbox-runner\\0launch\\0'
            if is_one and of(entry) == server and int(entry) != launcher:
                waiting.append(int(entry))
        except OSError:
            pass
"""


@pytest.mark.parametrize("landlock", ["true", "false"])
def test_launcher_that_waits_for_the_next_run_cannot_be_looked_into(
    binary: Path, base: Path, landlock: str
) -> None:
    """Without Landlock a launcher is open for its first millisecond, until it has closed itself.

    Nothing but a run at the same time could use that, and such runs trust each other.
    """
    flags = (f"--landlock={landlock}", "--max-concurrent", "2")
    with start_runner(binary, base, *flags, prefix=SETPRIV) as runner:
        loop = "for pid in (launcher, server):"
        code = PEEK.replace(loop, FIND_WAITING + "for pid in waiting:")
        runner.put("first", code="import os\nwhile not os.path.exists('both'): pass")
        runner.run("second", "open('both', 'w')")
        runner.finish("first")  # now two launchers wait
        out = text(runner.run("a", code)["output"]["stdout"]).splitlines()
        assert [line.split(";")[0] for line in out] == ["Operation not permitted"]
        assert "yes" not in out[0]


def landlock_version() -> int:

    return int(ctypes.CDLL(None).syscall(444, 0, 0, 1))


@pytest.mark.skipif(landlock_version() < 3, reason="the kernel has no Landlock of version 3")
def test_landlock_hides_the_runners_directories(binary: Path) -> None:
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        pytest.skip("making a mount namespace is not permitted here")
    with start_runner(binary, CLOSED, prefix=IN_CLOSED) as runner:
        runner.run("old", "print('earlier output')")
        state, output = CLOSED / "state", CLOSED / "output"
        attempts = [
            f"open({str(output / 'old.1/stdout')!r})",
            f"open({str(output / 'old.1/stdout')!r}, 'w')",
            f"os.remove({str(output / 'old.1/stdout')!r})",
            f"os.rename({str(output / 'old.1')!r}, {str(output / 'x')!r})",
            f"open({str(state / 'old.1.json')!r})",
            f"open({str(state / 'new')!r}, 'w')",
            f"open({str(CLOSED / 'aside/old.1.json')!r})",
            f"open({str(CLOSED / 'aside/new')!r}, 'w')",
            f"os.mkdir({str(state / 'new')!r})",
            f"os.symlink('x', {str(state / 'link')!r})",
            f"os.truncate({str(output / 'old.1/stdout')!r}, 0)",
        ]
        code = "import os\n"
        for attempt in attempts:
            code += f"try:\n  {attempt}; print('reached')\nexcept OSError as e: print(e.errno)\n"
        # And takes nothing else away.
        code += "import tempfile\nopen('w', 'w').write('x'); os.rename('w', 'v'); os.mkdir('d')\n"
        code += "os.rename('v', 'd/v')\ntempfile.mkdtemp()\nopen('/dev/null', 'w').write('x')\n"
        code += "open('/etc/passwd').read(); print('fine')\n"
        doc = runner.run("a", code)
        out = text(doc["output"]["stdout"]).split()
        assert out == ["13"] * len(attempts) + ["fine"], text(doc["output"]["stderr"])
        assert runner.stored("old", "stdout") == b"earlier output\n"


def test_landlock_takes_nothing_away_where_it_cannot_hide(runner: Runner) -> None:
    """In a directory that programs may write to, as here, hiding would close all of it."""
    code = f"open({str(runner.base / 'beside')!r}, 'w').write('x'); print('fine')"
    assert text(runner.run("a", code)["output"]["stdout"]) == "fine\n"


@pytest.mark.skipif(landlock_version() < 6, reason="Landlock keeps signals in from Linux 6.12 on")
def test_landlock_keeps_signals_within_the_run(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--max-concurrent", "2", prefix=SETPRIV) as runner:
        runner.put("other", code="import os, time; open('pid', 'w').write(str(os.getpid()));"
                   "os.rename('pid', 'ready')\n" + UNTIL_GO + "print('unharmed')")  # fmt: skip
        wait_until((runner.workspace / "ready").exists, "the other run")
        code = """
import os, subprocess
child = subprocess.Popen(['sleep', '600'])
child.kill()
print(child.wait())
for pid in (int(open('ready').read()), os.getppid()):
    try:
        os.kill(pid, 9)
    except PermissionError:
        print('kept in')
"""
        doc = runner.run("a", code)
        assert text(doc["output"]["stdout"]).splitlines() == ["-9", "kept in", "kept in"]
        runner.go()
        assert text(runner.finish("other")["output"]["stdout"]) == "unharmed\n"


def test_program_is_taken_first_when_memory_runs_out(runner: Runner) -> None:
    code = "print(open('/proc/self/oom_score_adj').read().strip())"
    assert text(runner.run("a", code)["output"]["stdout"]) == "1000\n"
    own = Path(f"/proc/{runner.process.pid}/oom_score_adj").read_text()
    assert int(own) < 1000
