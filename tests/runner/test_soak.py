"""Many runs leave nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.runner_client import Runner, children_of, wait_until


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_thousand_runs_leave_no_process_descriptor_or_directory(runner: Runner) -> None:
    """One in ten leaves a daemon, a temporary directory and background children behind."""
    leave = "mktemp -d >/dev/null; (setsid sleep 600 &) ; sleep 600 & echo left"

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{runner.process.pid}/fd"))

    def one(number: int) -> None:
        code = leave if number % 10 == 0 else "echo plain"
        doc = runner.run(f"r{number}", code, command=["sh"])
        assert doc["result"] == {"outcome": "Exited", "exitCode": 0}
        assert runner.release(f"r{number}").status == 204

    for number in range(100):
        one(number)
    wait_until(lambda: len(children_of(runner.process.pid)) == 1, "the next launcher")
    before = descriptors(), runner.status_value("Threads"), runner.status_value("VmRSS")
    for number in range(100, 1000):
        one(number)
    wait_until(lambda: len(children_of(runner.process.pid)) == 1, "the next launcher")
    after = descriptors(), runner.status_value("Threads"), runner.status_value("VmRSS")
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 3
    assert after[2] <= before[2] + 2048, "kB"
    for name in ("workspace", "tmp", "output"):
        assert list((runner.base / name).iterdir()) == []
    assert [p.name for p in (runner.base / "state").iterdir()] == ["tombstones"]
    zombies = [
        entry
        for entry in os.listdir("/proc")
        if entry.isdigit() and is_zombie_of(entry, runner.process.pid)
    ]
    assert zombies == []


def is_zombie_of(entry: str, parent: int) -> bool:
    try:
        fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] == "Z" and int(fields[1]) == parent
