"""Background processes, with real ones: found again, never mistaken, always ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hack.cluster import processes
from hack.cluster.config import ClusterError

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(60)",
]


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "records"
    yield folder
    for record in processes.recorded(folder):
        processes.stop(record, folder, first_signal=signal.SIGKILL)


def start(records: Path, command: list[str] = SLEEPER, fingerprint: str = "") -> processes.Record:
    log = records.parent / "log"
    log.unlink(missing_ok=True)
    record = processes.ensure("sleeper", command, log=log, records=records, fingerprint=fingerprint)
    processes.wait_until("first line", lambda: "up" in log.read_text(), seconds=10, needs=[record])
    return record


def test_ensure_again_keeps_the_running_process(records: Path) -> None:
    first = start(records)

    again = processes.ensure("sleeper", SLEEPER, log=Path("/dev/null"), records=records)

    assert again == first


def test_keep_ends_what_would_be_started_anew_and_nothing_else(records: Path) -> None:
    assert processes.keep("sleeper", SLEEPER, records=records) is None
    first = start(records)
    assert processes.keep("sleeper", SLEEPER, records=records) == first
    assert processes.is_alive(first)
    assert processes.keep("sleeper", SLEEPER, fingerprint="new code", records=records) is None
    assert not processes.is_alive(first)


def test_ensure_with_another_fingerprint_restarts_it(records: Path) -> None:
    first = start(records)

    second = start(records, fingerprint="new code")

    assert second.pid != first.pid
    assert not processes.is_alive(first)
    assert processes.is_alive(second)


def test_ensure_after_a_kill_starts_it_again(records: Path) -> None:
    first = start(records)
    os.kill(first.pid, signal.SIGKILL)
    processes.wait_until("its end", lambda: not processes.is_alive(first), seconds=5)

    assert processes.find("sleeper", records) is None
    assert processes.is_alive(start(records))


def test_a_reused_pid_is_not_ours_and_not_signalled(records: Path) -> None:
    ours = start(records)
    earlier = replace(ours, name="earlier", start_ticks=ours.start_ticks - 1)

    assert not processes.is_alive(earlier)
    processes.stop(earlier, records)
    assert processes.is_alive(ours)


def test_a_record_of_an_earlier_boot_is_not_alive(records: Path) -> None:
    record = start(records)

    assert not processes.is_alive(replace(record, boot_id="another"))


def test_a_half_written_record_counts_as_none(records: Path) -> None:
    records.mkdir()
    (records / "sleeper.json").write_text('{"name": "sleeper", "pid"')

    assert processes.find("sleeper", records) is None
    assert processes.recorded(records) == []


def test_stop_kills_what_ignores_sigterm_and_forgets_it(records: Path) -> None:
    record = start(records, STUBBORN)

    processes.stop(record, records, grace_seconds=0.2)

    assert not processes.is_alive(record)
    assert processes.recorded(records) == []


def test_a_zombie_counts_as_gone() -> None:
    child = subprocess.Popen(["true"])
    deadline = time.monotonic() + 5
    while processes.start_ticks(child.pid) is not None:
        assert time.monotonic() < deadline
    assert Path(f"/proc/{child.pid}").exists()  # not collected yet
    child.wait()


def test_waiting_names_the_process_that_ended_and_the_end_of_its_log(records: Path) -> None:
    record = processes.ensure(
        "broken", ["sh", "-c", "echo port taken; sleep 0.1"], log=records.parent / "log",
        records=records,
    )  # fmt: skip

    with pytest.raises(ClusterError, match="broken ended while waiting for an answer") as caught:
        processes.wait_until("an answer", lambda: False, seconds=10, needs=[record])
    assert "port taken" in str(caught.value)


def test_a_server_gets_no_proxy_from_the_shell(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    log = records.parent / "environment"

    record = processes.ensure(
        "env",
        [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"],
        log=log,
        env={"WANTED": "1"},
        records=records,
    )
    processes.wait_until("its end", lambda: not processes.is_alive(record), seconds=10)

    seen = json.loads(log.read_text())
    assert seen["WANTED"] == "1"
    assert "HTTPS_PROXY" not in seen


def test_strays_are_killed_only_by_program_and_folder(tmp_path: Path) -> None:
    there = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    elsewhere = subprocess.Popen(["sleep", "60"], cwd="/")
    reader = subprocess.Popen(["tail", "-f", "/dev/null", str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        processes.kill_strays(("sleep",), (tmp_path,))

        assert there.wait(timeout=5) == -signal.SIGKILL
        assert elsewhere.poll() is None
        assert reader.poll() is None
    finally:
        for process in (there, elsewhere, reader):
            process.kill()
            process.wait()
