"""The status of an Execution: its members, its bounds, and what it tells after the end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from soulbox.kinds.execution.decide.fit import bare_status, shrink_status
from soulbox.kinds.execution.decide.outcome import ending_of_run
from soulbox.kinds.execution.decide.output import INLINE_BYTES, MINIMAL_BYTES, encoded_bytes
from soulbox.kinds.execution.decide.seen import SeenExecution
from soulbox.kinds.execution.decide.status import (
    Ending,
    cancelled_by_deletion,
    final_status,
    running_status,
    streams_to_save,
)
from soulbox.model.runs import RunDocument
from soulbox.model.states import ExecutionReason, ExecutionState, RunOutcome
from soulbox.model.text import printable, storable
from tests.support.fix_clock import NOW, at
from tests.support.seen import (
    POD_UID,
    make_dispatched,
    make_finished,
    make_pod,
    make_run,
    make_seen,
    make_stream,
    make_terms,
    make_usage,
)

TRACEBACK = b'Traceback (most recent call last):\n  File "main.py", line 1\nValueError: bad\n'


def status_of(run: RunDocument, seen: SeenExecution | None = None) -> dict[str, Any]:
    """The final status of that run."""
    seen = seen or make_dispatched()
    return final_status(seen, ending_of_run(seen, run), at(1))


def test_everything_about_a_program_that_ended_well() -> None:
    assert status_of(make_finished()) | {"conditions": None} == {
        "state": "Completed",
        "reason": "Completed",
        "message": "The program ended with exit code 0.",
        "observedGeneration": 1,
        "conditions": None,
        "queuedTime": "2026-01-02T03:04:05.000Z",
        "startTime": "2026-01-02T03:04:05.000Z",
        "completionTime": "2026-01-02T03:04:05.024Z",
        "durationMilliseconds": 24,
        "attempt": 1,
        "exitCode": 0,
        "output": {
            "stdout": "42\n",
            "stdoutBytes": 3,
            "stdoutTruncated": False,
            "stdoutSha256": "084c799cd551dd1d8d5c5f9a5d593b2e931f5e36122ee5c793c1d08a19839cc0",
            "stderr": "",
            "stderrBytes": 0,
            "stderrTruncated": False,
            "stderrSha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        },
        "usage": {
            "cpuTimeMilliseconds": 12,
            "peakMemoryBytes": 9_000_000,
            "diskReadBytes": 0,
            "diskWriteBytes": 4096,
            "networkRxBytes": 0,
            "networkTxBytes": 0,
            "shared": False,
        },
        # 0.024 s x max(0.25 vCPU, 0.25 GiB / 2), at 0.00002 a unit
        "billing": {
            "computeUnits": "0.0060000000",
            "costUsd": "0.0000001200",
            "tier": "free",
            "pricePlan": "p1",
        },
        "receipt": {
            "networkProfile": "none",
            "podUID": POD_UID,
            "imageID": "soulbox/python@sha256:abc",
            "node": "node-1",
            "limits": {"cpu": "250m", "memory": "256Mi", "disk": "1Gi", "pids": 128},
            "command": ["python3"],
            "runnerVersion": "0.1.0",
        },
        "className": "python",
        "language": "python",
        "timeoutSeconds": 300,
        "outputLimitBytes": 10 * 2**20,
    }


CONDITIONS = {
    ExecutionState.COMPLETED: (
        make_finished(),
        {"Finished": "True", "Succeeded": "True", "Ready": "True"},
    ),
    ExecutionState.FAILED: (
        make_finished(exit_code=1),
        {"Finished": "True", "Succeeded": "False", "Ready": "False", "Stalled": "True"},
    ),
    ExecutionState.TIMEOUT: (
        make_finished(RunOutcome.TIMED_OUT),
        {"Finished": "True", "Succeeded": "False", "Ready": "False", "Stalled": "True"},
    ),
}


@pytest.mark.parametrize("state", CONDITIONS)
def test_conditions_of_a_final_state(state: ExecutionState) -> None:
    run, want_conditions = CONDITIONS[state]
    status = status_of(run)
    assert status["state"] == state
    assert {one["type"]: one["status"] for one in status["conditions"]} == want_conditions
    assert {one["reason"] for one in status["conditions"]} == {status["reason"]}


@pytest.mark.parametrize("state", CONDITIONS)
def test_what_happened_is_told_by_the_condition_that_tools_quote(state: ExecutionState) -> None:
    status = status_of(CONDITIONS[state][0])
    told = {one["type"] for one in status["conditions"] if one["message"] == status["message"]}
    assert told == {"Ready" if state is ExecutionState.COMPLETED else "Stalled"}
    assert {one["message"] for one in status["conditions"]} == {"", status["message"]}


HOSTILE = "\x1b[31mEVIL\x1b[0m \x1b]0;title\x07 \x00\x7f\x9b\u202eexe.\ufffe\U000e0041 \u00e9"
WRITTEN_OUT = (
    r"\x1b[31mEVIL\x1b[0m \x1b]0;title\x07 \x00\x7f\x9b\u202eexe.\ufffe\U000e0041 " "\u00e9"
)
HOSTILE_RUNS = {
    "the last line of stderr": make_finished(exit_code=1, stderr=f"x\n{HOSTILE} z\n".encode()),
    "an exception": make_finished(
        exit_code=1, stderr=f"{TRACEBACK.decode().replace('bad', HOSTILE)}".encode()
    ),
    "what the runner says": make_finished(RunOutcome.START_FAILED, message=HOSTILE),
}


def texts(document: Any) -> list[str]:
    """Every text in a document."""
    if isinstance(document, str):
        return [document]
    inner = document.values() if isinstance(document, dict) else document
    return (
        [text for one in inner for text in texts(one)] if isinstance(document, dict | list) else []
    )


@pytest.mark.parametrize("name", HOSTILE_RUNS)
def test_status_holds_nothing_that_a_terminal_obeys_or_yaml_cannot_hold(name: str) -> None:
    seen = make_dispatched(runner_version=HOSTILE)
    ending = ending_of_run(seen, HOSTILE_RUNS[name])
    status = final_status(seen, ending, at(1))
    assert r"\x1b[31mEVIL" in status["message"] + status["error"]["message"]
    output = status.pop("output", {})
    for text in texts(status):
        assert text == printable(text)
    for text in texts(output):
        assert text == storable(text)


def test_error_that_a_terminal_obeys_is_written_out() -> None:
    error = status_of(HOSTILE_RUNS["an exception"])["error"]
    assert error["message"] == WRITTEN_OUT
    assert WRITTEN_OUT in error["stackTrace"]


LIMITED = {
    "nothing": (0, ""),
    "a part of the head": (10, "secretsecr"),
    "as much as there is": (60, "secret" * 10),
    "more than there is": (61, "secret" * 10),
}


@pytest.mark.parametrize("name", LIMITED)
def test_status_holds_no_more_of_a_stream_than_is_kept(name: str) -> None:
    limit, want = LIMITED[name]
    seen = make_dispatched(terms=make_terms(output_limit_bytes=limit))
    run = make_finished(stdout=b"secret" * 10, stderr=b"secret" * 10, exit_code=1)
    status = status_of(run, seen)
    output = status["output"]
    assert (output["stdout"], output["stderr"]) == (want, want)
    assert (output["stdoutBytes"], output["stdoutTruncated"]) == (60, limit < 60)
    if limit == 0:
        assert "secret" not in str(status), "nothing of it is wanted kept"


RUNNING = "The program is running."


def test_conditions_that_say_so_already_are_left_as_they_are() -> None:
    old = [
        {"type": kind, "status": status, "reason": "Running", "message": message}
        for kind, status, message in (
            ("Finished", "False", ""),
            ("Succeeded", "Unknown", ""),
            ("Ready", "Unknown", ""),
            ("Reconciling", "True", RUNNING),
        )
    ]
    seen = make_dispatched(status={"conditions": old})
    assert running_status(seen, make_run(), NOW)["conditions"] is old


ERRORS: dict[str, tuple[RunDocument, str, str, str]] = {
    "a traceback": (
        make_finished(exit_code=1, stderr=TRACEBACK),
        "ValueError",
        "bad",
        TRACEBACK.decode().rstrip(),
    ),
    "no traceback: stderr's last line": (
        make_finished(exit_code=2, stderr=b"usage: x\nbad flag\n"),
        "NonZeroExit",
        "bad flag",
        "",
    ),
    "nothing on stderr: the message": (
        make_finished(exit_code=2),
        "NonZeroExit",
        "The program ended with exit code 2; it wrote nothing to stderr.",
        "",
    ),
    "a signal: stderr's last line": (
        make_finished(RunOutcome.SIGNALED, signal="SIGABRT", stderr=b"glibc: free()\n"),
        "Signaled",
        "glibc: free()",
        "",
    ),
    "time over: our words, whatever stderr says": (
        make_finished(RunOutcome.TIMED_OUT, stderr=TRACEBACK),
        "TimedOut",
        "The program ran longer",
        "",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_of(name: str) -> None:
    run, want_type, want_message, want_trace = ERRORS[name]
    error = status_of(run)["error"]
    assert error["type"] == want_type
    assert error["message"].startswith(want_message)
    assert error["stackTrace"] == want_trace


def test_program_that_ended_well_has_no_error() -> None:
    assert "error" not in status_of(make_finished(stderr=TRACEBACK))


def test_signal_stands_instead_of_an_exit_code() -> None:
    status = status_of(make_finished(RunOutcome.SIGNALED, signal="SIGSEGV"))
    assert status["signal"] == "SIGSEGV"
    assert "exitCode" not in status


def test_figures_that_are_not_known_are_left_out() -> None:
    usage = make_usage(cpu_time_milliseconds=None, network_rx_bytes=None, shared=True)
    status = status_of(replace(make_finished(), usage=usage))
    assert "cpuTimeMilliseconds" not in status["usage"]
    assert "networkRxBytes" not in status["usage"]
    assert status["usage"]["shared"] is True
    assert "usage" not in status_of(replace(make_finished(), usage=None))


@pytest.mark.parametrize(
    "changes",
    [{"price_plan": None}, {"terms": None}],
    ids=["no price plan", "no limits"],
)
def test_share_of_the_bill_is_absent_where_it_is_not_known(changes: dict[str, Any]) -> None:
    assert "billing" not in status_of(make_finished(), make_dispatched(**changes))


def test_run_without_a_duration_has_no_bill() -> None:
    run = replace(make_finished(), duration_milliseconds=None)
    status = status_of(run)
    assert "billing" not in status
    assert "durationMilliseconds" not in status


def test_run_that_did_not_start_has_neither_output_nor_a_start() -> None:
    run = replace(make_finished(RunOutcome.START_FAILED), start_time=None, stdout=None, stderr=None)
    status = status_of(run)
    assert "startTime" not in status
    assert "output" not in status


def test_stream_that_is_not_told_is_empty() -> None:
    output = status_of(replace(make_finished(), stdout=None))["output"]
    assert (output["stdout"], output["stdoutBytes"], output["stdoutTruncated"]) == ("", 0, False)
    assert "stdoutSha256" not in output


def test_loss_keeps_the_start_that_was_written() -> None:
    seen = make_dispatched(status={"startTime": "2026-01-02T03:04:00.000Z"})
    lost = Ending(state=ExecutionState.FAILED, reason=ExecutionReason.LOST, message="gone")
    status = final_status(seen, lost, at(3))
    assert status["startTime"] == "2026-01-02T03:04:00.000Z"
    assert status["completionTime"] == "2026-01-02T03:04:08.000Z"
    assert status["output"]["stdoutTruncated"] is True


def test_receipt_says_only_what_is_known() -> None:
    seen = make_dispatched(pod=None, terms=None, runner_version=None)
    assert status_of(make_finished(), seen)["receipt"] == {
        "networkProfile": "none",
        "podUID": POD_UID,
    }
    gvisor = make_dispatched(pod=make_pod(runtime_class="gvisor"))
    assert status_of(make_finished(), gvisor)["receipt"]["runtimeClass"] == "gvisor"


TRUNCATED = {
    "all of it": (make_stream(b"42\n"), False),
    "a gap": (make_stream(b"ab", size_bytes=1000), True),
    "too much for a status": (make_stream(b"x" * 40_000), True),
    "not text, all of it shown": (make_stream(b"\xff"), False),
    "text that looks like our mark, all of it shown": (make_stream("[… no".encode()), False),
    "not text, and looks like our mark, all of it shown": (
        make_stream(b"\xff" + "[… no".encode()),
        False,
    ),
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncated_means_that_something_is_not_shown(name: str) -> None:
    stream, want_truncated = TRUNCATED[name]
    output = status_of(replace(make_finished(), stdout=stream))["output"]
    assert output["stdoutTruncated"] is want_truncated
    assert encoded_bytes(output["stdout"]) <= INLINE_BYTES


SAVED = {
    "everything inline": (make_finished(stdout=b"42\n", stderr=b"warn\n"), ()),
    "nothing written": (make_finished(stdout=b""), ()),
    "stdout is no text": (make_finished(stdout=b"\xff"), ("stdout",)),
    "stderr is long": (make_finished(stderr=b"x" * 40_000), ("stderr",)),
    "both have gaps": (
        replace(
            make_finished(),
            stdout=make_stream(b"ab", size_bytes=1000),
            stderr=make_stream(b"ab", size_bytes=1000),
        ),
        ("stdout", "stderr"),
    ),
    "no streams told": (replace(make_finished(), stdout=None, stderr=None), ()),
}


@pytest.mark.parametrize("name", SAVED)
def test_streams_that_are_saved_apart(name: str) -> None:
    run, want_streams = SAVED[name]
    assert streams_to_save(status_of(run), run) == want_streams


def test_status_without_output_has_everything_saved() -> None:
    assert streams_to_save({}, make_finished(stdout=b"42\n")) == ("stdout",)


def test_status_that_is_too_large_keeps_its_end_and_a_kibibyte_of_each_stream() -> None:
    status = status_of(
        make_finished(exit_code=1, stdout=b"o" * 30_000, stderr=b"e" * 20_000 + TRACEBACK)
    )
    small = shrink_status(status)
    for stream in ("stdout", "stderr"):
        assert encoded_bytes(small["output"][stream]) <= MINIMAL_BYTES
        assert small["output"][f"{stream}Truncated"] is True
        assert small["output"][f"{stream}Sha256"] == status["output"][f"{stream}Sha256"]
    for name in ("state", "reason", "completionTime", "exitCode", "conditions"):
        assert small[name] == status[name]
    assert len(small["error"]["stackTrace"]) <= MINIMAL_BYTES


def test_status_for_which_there_is_no_room_keeps_what_happened_and_when() -> None:
    status = status_of(make_finished(exit_code=1, stdout=b"o" * 30_000, stderr=TRACEBACK))
    bare = bare_status(status)
    assert len(json.dumps(bare)) < 2048
    for name in ("state", "reason", "startTime", "completionTime", "attempt", "exitCode"):
        assert bare[name] == status[name], name
    sizes = ("stdoutBytes", "stderrBytes")
    assert [bare["output"][name] for name in sizes] == [30_000, len(TRACEBACK)]
    assert (bare["output"]["stdout"], bare["output"]["stdoutTruncated"]) == ("", True)


def test_result_for_which_there_is_no_room_is_told_with_its_size() -> None:
    status = status_of(make_finished())
    status["result"] = {"text": "ä" * 30_000, "none": None}
    bare = bare_status(status)
    assert "result" not in bare
    assert bare["resultOmittedBytes"] == 60_023
    want = "no room in the object for the result of 60,023 bytes: it is in PostgreSQL"
    assert want in bare["message"]
    assert len([one for one in bare["conditions"] if want in one["message"]]) == 1
    assert len(json.dumps(bare)) < 2048
    assert "resultOmittedBytes" not in bare_status(status_of(make_finished()))


def test_status_that_is_small_already_is_not_cut() -> None:
    for run in (make_finished(), make_finished(exit_code=1, stderr=TRACEBACK)):
        status = status_of(run)
        assert shrink_status(status) == status


def test_status_without_output_and_error_shrinks_too() -> None:
    status = final_status(
        make_seen(),
        Ending(
            state=ExecutionState.CANCELLED, reason=ExecutionReason.CANCELLED, message="x" * 5000
        ),
        NOW,
    )
    small = shrink_status(status)
    assert len(small["message"]) == MINIMAL_BYTES
    assert "output" not in small
    assert "error" not in shrink_status({"state": "Completed"})


UNFINISHED: dict[str, dict[str, Any]] = {
    "never looked at": {},
    "status null": {"status": None},
    "queued": {"status": {"state": "Queued", "message": "waiting"}},
    "running": {"status": {"state": "Running", "startTime": "2026-01-02T03:04:05.000Z"}},
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_unfinished_execution_that_was_deleted_is_recorded_as_cancelled(name: str) -> None:
    manifest = {"metadata": {"uid": "u"}, **UNFINISHED[name]}
    recorded = cancelled_by_deletion(manifest, NOW)
    assert recorded["metadata"] == manifest["metadata"]
    assert recorded["status"]["state"] == "Cancelled"
    assert recorded["status"]["reason"] == "Cancelled"
    assert recorded["status"]["completionTime"] == "2026-01-02T03:04:05.000Z"


def test_finished_execution_that_was_deleted_is_recorded_as_it_ended() -> None:
    manifest = {"status": {"state": "Failed", "reason": "Lost"}}
    assert cancelled_by_deletion(manifest, NOW) is manifest


def test_receipt_says_the_profile_of_its_pod() -> None:
    seen = make_dispatched(pod=make_pod(network_profile="web-1234"))
    status = final_status(seen, ending_of_run(seen, make_finished()), NOW)
    assert status["receipt"]["networkProfile"] == "web-1234"
