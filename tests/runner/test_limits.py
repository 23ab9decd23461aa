"""Limits: processes, descriptors, file size, disk and memory.

RLIMIT_NPROC binds no root, so those tests start the runner under a uid that nobody has. The
memory test makes a memory cgroup for its runner and removes it again.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.runner_client import (
    HIGH_UID,
    UNTIL_GO,
    Runner,
    children_of,
    start_runner,
    text,
    wait_until,
)

MEMORY_V1 = Path("/sys/fs/cgroup/memory")
SETPRIV = ("setpriv", f"--reuid={HIGH_UID}", f"--regid={HIGH_UID}", "--clear-groups")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root, to become another uid, and setpriv",
)


@pytest.fixture
def unprivileged(binary: Path, base: Path) -> Iterator[Runner]:
    """A runner under a uid of its own, without capabilities, as in a pod."""
    with start_runner(binary, base, prefix=SETPRIV) as runner:
        yield runner


def processes_of(uid: int) -> int:
    count = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                count += os.stat(f"/proc/{entry}").st_uid == uid
            except OSError:
                continue
    return count


@needs_root
def test_fork_bomb_stays_within_its_limit_and_leaves_nothing(unprivileged: Runner) -> None:
    code = """
import os
made = 0
while True:
    try:
        if os.fork() == 0:
            while True:
                try:
                    os.fork()
                except OSError:
                    pass
        made += 1
    except OSError:
        pass
"""
    unprivileged.put("bomb", code=code, timeoutSeconds=3, limits={"processes": 50})
    most = 0
    while unprivileged.get("bomb", wait="50ms").json["state"] != "Finished":
        most = max(most, len(children_of(unprivileged.process.pid)))
    doc = unprivileged.finish("bomb")
    assert doc["result"]["outcome"] == "TimedOut"
    assert 20 < most <= 50 + 24  # what the runner and its launcher have as threads is added
    wait_until(lambda: len(children_of(unprivileged.process.pid)) <= 2, "no process of it left")
    assert unprivileged.run("next", "print(1)")["result"]["outcome"] == "Exited"


@needs_root
def test_process_limit_leaves_the_program_about_as_many_as_asked(unprivileged: Runner) -> None:
    code = """
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        made += 1
except BlockingIOError:
    print(made)
"""
    doc = unprivileged.run("a", code, limits={"processes": 40})
    assert 39 <= int(text(doc["output"]["stdout"])) <= 39 + 24


def test_resource_limits_are_the_requests(runner: Runner) -> None:
    code = """
import resource as r
for name in ("CORE", "NOFILE", "FSIZE"):
    print(*r.getrlimit(getattr(r, "RLIMIT_" + name)))
"""
    limits = {"openFiles": 100, "fileSizeBytes": 4096}
    doc = runner.run("a", code, limits=limits)
    core, core_most, files, files_most, size, size_most = text(doc["output"]["stdout"]).split()
    assert (core, core_most, files, size, size_most) == ("0", "0", "100", "4096", "4096")
    assert int(files_most) > 100, "a program may raise the limit of open files"


def test_file_beyond_its_size_is_an_error_of_the_program(runner: Runner) -> None:
    code = "f = open('big', 'wb', buffering=0)\nf.write(b'x' * 4096)\nf.write(b'x')"
    doc = runner.run("a", code, limits={"fileSizeBytes": 4096})
    assert doc["result"] == {"outcome": "Exited", "exitCode": 1}
    assert "File too large" in text(doc["output"]["stderr"])


def test_signal_of_the_file_size_limit_is_named(runner: Runner) -> None:
    code = "ulimit -c; trap - XFSZ; exec head -c 10000 /dev/zero > big"
    doc = runner.run("a", code, command=["bash"], limits={"fileSizeBytes": 4096})
    assert doc["result"]["outcome"] == "Signaled"
    assert doc["result"]["signal"] == "SIGXFSZ"


FILL = """
import time
with open({name}, 'wb') as f:
    for _ in range(100):
        f.write(b'x' * 1_000_000)
        f.flush()
        time.sleep(0.03)
time.sleep(600)
"""


def test_run_that_fills_the_workspace_ends_with_disk_limit(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--disk-limit-bytes", "5000000") as runner:
        doc = runner.run("a", FILL.format(name="'big'"))
        assert doc["result"]["outcome"] == "DiskLimit"
        assert "and 5000000 are allowed" in doc["result"]["message"]
        # One that only cleans up is let be, though the disk is as full when it begins.
        doc = runner.run("b", "import os, time; time.sleep(1.5); os.remove('big')")
        assert doc["result"] == {"outcome": "Exited", "exitCode": 0}


@pytest.mark.parametrize(
    "name",
    ["os.environ['TMPDIR'] + '/big'", "'hidden/big'"],
    ids=["private TMPDIR", "unreadable directory"],
)
def test_disk_limit_counts_what_is_put_out_of_sight(binary: Path, base: Path, name: str) -> None:
    with start_runner(binary, base, "--disk-limit-bytes", "5000000", prefix=SETPRIV) as runner:
        before = "import os\nos.mkdir('hidden')\nos.chmod('hidden', 0o300)\n"
        doc = runner.run("a", before + FILL.format(name=name))
        assert doc["result"]["outcome"] == "DiskLimit"


def test_disk_limit_counts_files_without_a_name(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--disk-limit-bytes", "5000000") as runner:
        code = "import os, time\nf = open('big', 'wb')\nos.remove('big')\n"
        code += "f.write(b'x' * 20_000_000)\nf.flush()\ntime.sleep(600)"
        assert runner.run("a", code)["result"]["outcome"] == "DiskLimit"


def test_disk_limit_ends_the_run_that_writes_and_not_the_other(binary: Path, base: Path) -> None:
    base_on_disk = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    try:
        flags = ("--disk-limit-bytes", "5000000", "--max-concurrent", "2")
        with start_runner(binary, base_on_disk, *flags) as runner:
            runner.put("quiet", code=UNTIL_GO + "print('unharmed')")
            doc = runner.run("loud", FILL.format(name="'big'"))
            assert doc["result"]["outcome"] == "DiskLimit"
            runner.go()
            quiet = runner.finish("quiet")
            assert text(quiet["output"]["stdout"]) == "unharmed\n", quiet["result"]
    finally:
        shutil.rmtree(base_on_disk, ignore_errors=True)


def test_directories_nested_without_end_end_their_run_and_not_a_later_one(
    binary: Path, base: Path
) -> None:
    """A40."""
    with start_runner(binary, base, "--disk-limit-bytes", "50000000") as runner:
        code = "import os, time\nfor _ in range(400): os.mkdir('d'); os.chdir('d')\ntime.sleep(600)"
        doc = runner.run("a", code)
        assert doc["result"]["outcome"] == "DiskLimit"
        assert "nested more than 256 levels deep; remove it" in doc["result"]["message"]
        # It is not to blame for what lies there, until it fills the disk beside it.
        doc = runner.run("b", "import time; time.sleep(2.5)")
        assert doc["result"] == {"outcome": "Exited", "exitCode": 0}
        doc = runner.run("c", FILL.format(name="'big'"))
        assert doc["result"]["outcome"] == "DiskLimit"
        assert "and 50000000 are allowed" in doc["result"]["message"]
        runner.run("d", "rm big", command=["sh"])
        below = "for _ in range(400): os.chdir('d')\n"
        doc = runner.run("e", "import os\n" + below + FILL.format(name="'big'"))
        assert doc["result"]["outcome"] == "DiskLimit"
        assert "since the run began" in doc["result"]["message"]


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """A cgroup v1 memory group with a limit."""
    group = MEMORY_V1 / f"soulbox-test-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        yield group
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "empty memory group")
        group.rmdir()


needs_memory_v1 = pytest.mark.skipif(
    os.geteuid() != 0 or not (MEMORY_V1 / "memory.limit_in_bytes").exists(),
    reason="needs root and cgroup v1 with the memory controller",
)
HOG = "x = []\nwhile True: x.append(b'x' * 1_000_000)"


@contextmanager
def limited_memory(binary: Path, base: Path) -> Iterator[Runner]:
    """A runner in a memory group of 64 MiB."""
    with memory_group(64 << 20) as group:
        join = ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
        with start_runner(binary, base, prefix=join) as runner:
            yield runner


@needs_memory_v1
def test_memory_hog_is_oom_killed_and_the_runner_lives(binary: Path, base: Path) -> None:
    with limited_memory(binary, base) as runner:
        doc = runner.run("hog", HOG)
        assert (doc["result"]["outcome"], doc["result"]["signal"]) == ("OOMKilled", "SIGKILL")
        assert 20 << 20 < doc["usage"]["peakMemoryBytes"] < 80 << 20
        assert runner.run("next", "print(1)")["result"]["outcome"] == "Exited"
        assert runner.call("GET", "/v1/stats").json["memoryLimitBytes"] == 64 << 20


@needs_memory_v1
def test_kill_by_the_program_itself_is_not_called_oom(binary: Path, base: Path) -> None:
    with limited_memory(binary, base) as runner:
        doc = runner.run("a", "import os; os.kill(os.getpid(), 9)")
        assert doc["result"]["outcome"] == "Signaled"


@needs_memory_v1
def test_many_small_processes_out_of_memory_do_not_take_the_runner(
    binary: Path, base: Path
) -> None:
    """Each child is smaller than the runner; the kernel must take one of them all the same."""
    with limited_memory(binary, base) as runner:
        code = """
import os, time
for _ in range(100):
    if os.fork() == 0:
        x = bytearray(os.urandom(1 << 20))
        time.sleep(600)
time.sleep(600)
"""
        doc = runner.run("a", code, limits={"processes": 200})
        assert doc["result"]["outcome"] == "OOMKilled"
        assert runner.run("next", "print(1)")["result"]["outcome"] == "Exited"


@needs_memory_v1
def test_memory_in_files_and_in_no_process_ends_the_run(binary: Path, base: Path) -> None:
    """The kernel would take the largest process: the runner."""
    with limited_memory(binary, base) as runner:
        # Not faster than a watchdog on a busy machine looks.
        code = "import os, time\nfor _ in range(8):\n  f = os.memfd_create('x')\n"
        code += (
            "  for _ in range(16): os.write(f, bytes(1 << 20)); time.sleep(0.05)\ntime.sleep(600)"
        )
        doc = runner.run("a", code)
        assert doc["result"]["outcome"] == "OOMKilled"
        assert runner.run("next", "print(1)")["result"]["outcome"] == "Exited"
