"""Start, shutdown, one-shot, and what a new runner process finds of the old one."""

from __future__ import annotations

import base64
import json
import signal
import time
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_SECONDS
from tests.support.runner_client import Runner, children_of, start_runner, text, wait_until

SLEEP = "import time; print('begun', flush=True); time.sleep(600)"


def test_shutdown_without_anything_to_keep_ends_at_once(runner: Runner) -> None:
    assert runner.call("POST", "/v1/shutdown").status == 202
    assert runner.process.wait(timeout=PATIENCE_SECONDS) == 0


def test_shutdown_cancels_what_runs_and_waits_for_its_release(binary: Path, base: Path) -> None:
    # It is not this timeout that ends it.
    with start_runner(binary, base, "--drain-timeout", "1h") as runner:
        runner.put("a", code=SLEEP)
        wait_until(lambda: runner.stored("a", "stdout") == b"begun\n", "output")
        assert runner.call("POST", "/v1/shutdown").status == 202
        reply = runner.put("b", code="1")
        assert (reply.status, reply.code) == (503, "Draining")
        doc = runner.finish("a")
        assert doc["result"]["outcome"] == "Cancelled"
        assert text(doc["output"]["stdout"]) == "begun\n"
        assert runner.release("a").status == 204
        assert runner.process.wait(timeout=PATIENCE_SECONDS) == 0


def test_shutdown_without_release_ends_within_five_seconds(runner: Runner) -> None:
    runner.run("a", "print(1)")
    begin = time.monotonic()
    runner.call("POST", "/v1/shutdown")
    assert runner.get("a").json["state"] == "Finished"
    assert runner.process.wait(timeout=PATIENCE_SECONDS) == 0
    assert time.monotonic() - begin > 4
    record = json.loads((runner.base / "state" / "a.1.json").read_text())
    assert record["document"]["result"]["outcome"] == "Exited"


def test_program_that_ignores_term_does_not_outlive_the_shutdown(runner: Runner) -> None:
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    runner.put("a", code=ignore + SLEEP)
    wait_until(lambda: runner.stored("a", "stdout") == b"begun\n", "output")
    below = children_of(runner.process.pid)
    runner.call("POST", "/v1/shutdown")
    doc = runner.finish("a")
    assert (doc["result"]["outcome"], doc["result"]["signal"]) == ("Cancelled", "SIGKILL")
    assert runner.process.wait(timeout=PATIENCE_SECONDS) == 0
    wait_until(lambda: not any(Path(f"/proc/{p}").exists() for p in below), "none left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_an_ordinary_process(runner: Runner, number: int) -> None:
    runner.run("a", "print(1)")
    runner.process.send_signal(number)
    assert runner.get("a").json["state"] == "Finished"
    runner.release("a")
    assert runner.process.wait(timeout=PATIENCE_SECONDS) == 0


def test_one_shot_ends_on_release(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--one-shot") as runner:
        doc = runner.run("a", "print(1)")
        assert runner.get("a").json == doc
        reply = runner.put("b", code="1")
        assert (reply.status, reply.code) == (503, "Draining")
        assert runner.put("a", code="print(1)").status == 200
        assert runner.release("a").status == 204
        assert runner.process.wait(timeout=PATIENCE_SECONDS) == 0


def test_one_shot_that_is_not_released_lingers_and_ends(binary: Path, base: Path) -> None:
    with start_runner(binary, base, "--one-shot", "--one-shot-linger", "700ms") as runner:
        runner.run("a", "print(1)")
        begin = time.monotonic()
        assert runner.process.wait(timeout=PATIENCE_SECONDS) == 0
        assert time.monotonic() - begin > 0.4


def test_finished_execution_survives_the_runners_death(binary: Path, base: Path) -> None:
    code = "import os, sys; os.write(1, b'o' * 100_000); os.write(2, b'e' * 10); sys.exit(7)"
    with start_runner(binary, base) as first:
        before = first.run("a", code, outputLimitBytes=50_000, captureFiles=["*.txt"])
        first.run("b", "print('b')")
        first.release("b")
        first.process.kill()
        first.process.wait()
    with start_runner(binary, base, signer=first.signer) as second:
        after = second.get("a").json
        assert after == before
        assert len(base64.b64decode(after["output"]["stdout"]["tail"])) == 32768
        assert second.stored("a", "stdout") == b"o" * 50_000
        assert second.put("a", code=code, outputLimitBytes=50_000, captureFiles=["*.txt"]).json == (
            before
        )
        assert second.put("a", code="other").code == "Conflict"
        assert second.get("b").code == "Released"
        assert second.release("a").status == 204
        assert second.release("a").status == 204
    with start_runner(binary, base, signer=first.signer) as third:
        assert third.get("a").code == "Released"
        assert third.call("GET", "/v1/executions").json["executions"] == []


def test_running_execution_is_finished_and_not_run_again(binary: Path, base: Path) -> None:
    code = "open('ran', 'a').write('x')\n" + SLEEP
    with start_runner(binary, base) as first:
        first.put("a", code=code)
        wait_until(lambda: first.stored("a", "stdout") == b"begun\n", "output")
        first.process.kill()
        first.process.wait()
    with start_runner(binary, base, signer=first.signer) as second:
        reply = second.put("a", code=code, wait="5s")
        assert reply.status == 200
        doc = reply.json
        assert doc["state"] == "Finished"
        assert doc["result"]["outcome"] == "Signaled"
        assert "runner ended" in doc["result"]["message"]
        assert text(doc["output"]["stdout"]) == "begun\n"
        assert (base / "workspace" / "ran").read_text() == "x"


def test_journal_writes_cut_off_by_a_crash_are_cleaned_up(binary: Path, base: Path) -> None:
    with start_runner(binary, base) as first:
        before = first.run("a", "print(1)")
        first.process.kill()
        first.process.wait()
    (base / "state" / "a.1.json.tmp").write_text('{"bodySha')
    with (base / "state" / "tombstones").open("ab") as tombstones:
        tombstones.write(b"half")
    with start_runner(binary, base, signer=first.signer) as second:
        assert second.get("a").json == before
        assert second.release("a").status == 204
    assert (base / "state" / "tombstones").stat().st_size == 16
    assert [p.name for p in (base / "state").iterdir()] == ["tombstones"]


def test_journal_record_that_cannot_be_read_ends_the_start(binary: Path, base: Path) -> None:
    (base / "state").mkdir()
    (base / "state" / "a.1.json").write_text("{")
    with pytest.raises(AssertionError, match="journal record"), start_runner(binary, base):
        pass


def test_full_journal_refuses_new_work_and_keeps_the_old(binary: Path, base: Path) -> None:
    with start_runner(binary, base) as runner:
        runner.run("a", "print(1)")
        state = base / "state"
        state.chmod(0o500)
        # Root may write all the same: take the directory away instead.
        state.rename(base / "away")
        reply = runner.put("b", code="1")
        assert (reply.status, reply.code) == (503, "JournalFailed")
        reply = runner.release("a")
        assert reply.status in (204, 503)
        (base / "away").rename(state)
        assert runner.put("b", code="print(2)", wait="5s").status == 201


def test_listening_is_the_first_thing(binary: Path, base: Path) -> None:
    """No program can have taken the port: nothing runs before it is bound."""
    with start_runner(binary, base) as runner:
        assert '"msg":"listening"' in runner.log[0]
