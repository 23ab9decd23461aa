"""The watchdog of cgroup v2, on a simulated group: files as the kernel writes them.

The kernel would kill the whole container; the runner must end the largest run before that. A real
node with cgroup v2 has not been tried.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runner_client import (
    UNTIL_GO,
    Runner,
    children_of,
    start_runner,
    text,
    wait_until,
)

LIMIT = 256 << 20
HOLD = "import time\nx = bytearray({size})\nopen('{name}', 'w').close()\ntime.sleep({seconds})\n"


class Group:
    """A directory that looks like a container's cgroup v2."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        for name, content in {
            "cgroup.controllers": "cpu io memory pids\n",
            "memory.max": f"{LIMIT}\n",
            "memory.peak": "0\n",
            "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
            "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
            "io.stat": "",
        }.items():
            (root / name).write_text(content)
        self.use(20 << 20)

    def use(self, current: int, cache: int = 0) -> None:
        """Say that so much is used, of which so much is page cache."""
        stat = f"anon {current - cache}\nfile {cache}\ninactive_file {cache}\nactive_file 0\n"
        self.replace("memory.stat", stat)
        self.replace("memory.current", f"{current}\n")

    def replace(self, name: str, content: str) -> None:
        """In one step, as the kernel's files are read whole."""
        (self.root / "new").write_text(content)
        (self.root / "new").rename(self.root / name)


@pytest.fixture
def group(base: Path) -> Group:
    return Group(base / "cgroup")


@pytest.fixture
def runner(binary: Path, base: Path, group: Group) -> Iterator[Runner]:
    flags = ("--cgroup-root", str(group.root), "--max-concurrent", "2")
    with start_runner(binary, base, *flags) as started:
        yield started


def hold(runner: Runner, name: str, size: int, seconds: float = 600) -> None:
    runner.put(name, code=HOLD.format(size=size, name=name, seconds=seconds) + "print('whole')")
    wait_until((runner.workspace / name).exists, name)


def test_memory_near_the_limit_ends_the_largest_run_and_spares_the_other(
    runner: Runner, group: Group
) -> None:
    code = "x = bytearray(1 << 20)\nopen('small', 'w').close()\n" + UNTIL_GO + "print('whole')"
    runner.put("small", code=code)
    wait_until((runner.workspace / "small").exists, "small")
    hold(runner, "large", 50 << 20)
    group.use(LIMIT * 96 // 100)
    doc = runner.finish("large")
    group.use(20 << 20)
    assert (doc["result"]["outcome"], doc["result"]["signal"]) == ("OOMKilled", "SIGKILL")
    assert f"of its {LIMIT} bytes" in doc["result"]["message"]
    assert doc["usage"]["peakMemoryBytes"] > 50 << 20
    runner.go()
    assert text(runner.finish("small")["output"]["stdout"]) == "whole\n"


def test_memory_below_the_threshold_ends_nothing(runner: Runner, group: Group) -> None:
    group.use(LIMIT * 94 // 100)
    hold(runner, "a", 1 << 20, seconds=0.5)
    assert runner.finish("a")["result"]["outcome"] == "Exited"


def test_page_cache_does_not_count(runner: Runner, group: Group) -> None:
    group.use(LIMIT, cache=LIMIT // 2)
    hold(runner, "a", 1 << 20, seconds=0.5)
    assert runner.finish("a")["result"]["outcome"] == "Exited"


def test_kill_by_the_kernel_is_seen_in_memory_events(runner: Runner, group: Group) -> None:
    """A kubelet may be told to let the kernel kill single processes on v2, too."""
    hold(runner, "a", 1 << 20)
    group.replace("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n")
    pid = next(
        pid
        for pid in children_of(runner.process.pid)
        if b".soulbox-main.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(pid, signal.SIGKILL)
    assert runner.finish("a")["result"]["outcome"] == "OOMKilled"


def test_limit_of_the_flag_counts_before_the_groups(binary: Path, base: Path, group: Group) -> None:
    flags = ("--cgroup-root", str(group.root), "--memory-limit-bytes", str(64 << 20))
    with start_runner(binary, base, *flags) as runner:
        hold(runner, "a", 1 << 20)
        group.use(62 << 20)
        assert runner.finish("a")["result"]["outcome"] == "OOMKilled"


def test_stats_are_those_of_the_group(runner: Runner, group: Group) -> None:
    group.use(30 << 20)
    figures = runner.call("GET", "/v1/stats").json
    assert figures["cgroupVersion"] == 2
    assert figures["cpuSecondsTotal"] == 1.5
    assert figures["memoryBytes"] == 30 << 20
    assert figures["memoryLimitBytes"] == LIMIT
    assert figures["oomKills"] == 0
    (group.root / "memory.peak").unlink()  # before Linux 5.19
    assert "memoryPeakBytes" not in runner.call("GET", "/v1/stats").json
