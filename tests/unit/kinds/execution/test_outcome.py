"""From what runner and pod say to a state, a reason and words that say what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soulbox.kinds.execution.decide.outcome import (
    ending_of_pod,
    ending_of_run,
    ending_without_result,
)
from soulbox.kinds.execution.decide.seen import Callee, SeenExecution
from soulbox.model.runs import RunDocument
from soulbox.model.specs import ExecutionSpec
from soulbox.model.states import RunOutcome, SandboxState
from soulbox.pure.pods.view import EndCause
from tests.support.seen import (
    make_dispatched,
    make_ended_pod,
    make_finished,
    make_run,
    make_sandbox_seen,
    make_stream,
)

TRACEBACK = b"""Traceback (most recent call last):
  File "/workspace/main.py", line 1, in <module>
    raise ValueError(text)
ValueError: one
two
"""
LONG_STDERR = make_stream(b"head\n tail \n\n", size_bytes=10_000)

RUNS: dict[str, tuple[RunDocument, str, str, str]] = {
    "exit code 0": (make_finished(), "Completed", "Completed", "exit code 0"),
    "exit code 1 with words": (
        make_finished(exit_code=1, stderr=b"one\ntwo\n\n"),
        "Failed",
        "NonZeroExit",
        "exit code 1: two",
    ),
    "exit code 1 with a traceback": (
        make_finished(exit_code=1, stderr=TRACEBACK + b"a note of the exception\n"),
        "Failed",
        "NonZeroExit",
        "The program ended with exit code 1: ValueError: one",
    ),
    "exit code 3 after a traceback": (
        make_finished(exit_code=3, stderr=TRACEBACK),
        "Failed",
        "NonZeroExit",
        "The program ended with exit code 3: two",
    ),
    "exit code 255 without words": (
        make_finished(exit_code=255),
        "Failed",
        "NonZeroExit",
        "exit code 255; it wrote nothing to stderr.",
    ),
    "exit code 1, stderr not known": (
        replace(make_finished(exit_code=1), stderr=None),
        "Failed",
        "NonZeroExit",
        "it wrote nothing to stderr.",
    ),
    "exit code 1, last words beyond the gap": (
        replace(make_finished(exit_code=1), stderr=LONG_STDERR),
        "Failed",
        "NonZeroExit",
        "exit code 1: tail",
    ),
    "exit code 1, last words that are not text": (
        make_finished(exit_code=1, stderr=b"\xff\xfe"),
        "Failed",
        "NonZeroExit",
        "exit code 1: ��",
    ),
    "a signal": (
        make_finished(RunOutcome.SIGNALED, signal="SIGSEGV"),
        "Failed",
        "Signaled",
        "ended by signal SIGSEGV",
    ),
    "a signal without a name": (
        make_finished(RunOutcome.SIGNALED),
        "Failed",
        "Signaled",
        "signal unknown",
    ),
    "time over": (
        make_finished(RunOutcome.TIMED_OUT),
        "Timeout",
        "TimedOut",
        "Raise spec.timeoutSeconds",
    ),
    "out of memory": (
        make_finished(RunOutcome.OOM_KILLED),
        "Failed",
        "OOMKilled",
        "its limit of 256Mi. Give the Sandbox more (spec.resources.memory)",
    ),
    "out of disk": (
        make_finished(RunOutcome.DISK_LIMIT),
        "Failed",
        "DiskLimit",
        "for the disk limit of 1Gi on /workspace and /tmp (where TMPDIR is): together they grew "
        "over it. Write less, or give the Sandbox more (spec.resources.disk).",
    ),
    "A40 nested so deep that its disk cannot be measured": (
        make_finished(RunOutcome.DISK_LIMIT, message="directories are nested too deep"),
        "Failed",
        "DiskLimit",
        "(where TMPDIR is): directories are nested too deep. Write less",
    ),
    "no interpreter": (
        make_finished(RunOutcome.START_FAILED, message="python3: not found"),
        "Failed",
        "StartFailed",
        "could not be started: python3: not found",
    ),
    "no interpreter and no words": (
        make_finished(RunOutcome.START_FAILED),
        "Failed",
        "StartFailed",
        "no details",
    ),
    "no result": (replace(make_finished(), result=None), "Failed", "Lost", "without a result"),
}


@pytest.mark.parametrize("name", RUNS)
def test_run_ends_as(name: str) -> None:
    run, want_state, want_reason, want_message = RUNS[name]
    ending = ending_of_run(make_dispatched(), run)
    assert (ending.state.value, ending.reason.value) == (want_state, want_reason)
    assert want_message in ending.message
    assert ending.run is run


def test_every_outcome_of_a_runner_has_its_ending() -> None:
    told = {run.result.outcome for run, *_ in RUNS.values() if run.result is not None}
    assert told | {RunOutcome.CANCELLED} == set(RunOutcome)


def test_exited_without_an_exit_code_counts_as_success() -> None:
    # The wire schema refuses it; here it must not crash.
    run = make_finished()
    assert run.result is not None
    run = replace(run, result=replace(run.result, exit_code=None))
    assert ending_of_run(make_dispatched(), run).reason == "Completed"


def test_time_limit_that_was_asked_for_is_named() -> None:
    spec = ExecutionSpec(sandbox_name="box", code="1", timeout_seconds=7)
    ending = ending_of_run(make_dispatched(spec=spec), make_finished(RunOutcome.TIMED_OUT))
    assert "timeoutSeconds (7 s)" in ending.message


def test_memory_limit_that_is_not_known_is_not_named() -> None:
    run = make_finished(RunOutcome.OOM_KILLED)
    assert "its limit." in ending_of_run(make_dispatched(terms=None), run).message


OUT_OF_MEMORY = {
    "exit code 0": make_finished(),
    "another exit code": make_finished(exit_code=137, stderr=b"Killed"),
    "a signal": make_finished(RunOutcome.SIGNALED, signal="SIGTERM"),
    "its time limit": make_finished(RunOutcome.TIMED_OUT),
}


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_memory_kill_of_a_child_is_told_whatever_the_end(name: str) -> None:
    run = OUT_OF_MEMORY[name]
    assert run.result is not None
    assert "memory" not in ending_of_run(make_dispatched(), run).message
    killed = replace(run, result=replace(run.result, oom_kills=1))
    message = ending_of_run(make_dispatched(), killed).message
    assert message.endswith(
        ". Meanwhile the kernel killed a process of its sandbox, which had reached its memory"
        " limit of 256Mi."
    )
    killed = replace(run, result=replace(run.result, oom_kills=3))
    message = ending_of_run(make_dispatched(terms=None), killed).message
    assert message.endswith(
        "killed 3 processes of its sandbox, which had reached its memory limit."
    )


LEFT_AT_WORK = (
    make_finished(),
    make_finished(exit_code=2, stderr=b"x"),
    make_finished(RunOutcome.SIGNALED, signal="SIGTERM"),
)


@pytest.mark.parametrize("run", LEFT_AT_WORK)
def test_work_that_was_cut_short_at_the_end_is_told(run: RunDocument) -> None:
    assert run.result is not None
    assert "still at work" not in ending_of_run(make_dispatched(), run).message
    cut = replace(run, result=replace(run.result, left_at_work=True))
    message = ending_of_run(make_dispatched(), cut).message
    assert ". Processes that it left behind were still at work, and were killed" in message
    assert message.endswith("Let the program wait for them.")


HINTS = {
    "a thread too many": ("1", "RuntimeError: can't start new thread", "128 processes and threads"),
    "a fork too many": ("1", "x.sh: fork: retry: Resource temporarily unavailable", "(max.pids of"),
    "a command with a carriage return": ("ls\r\n", "x: line 2: $'\\r': command not found", "CRLF"),
    "a block with carriage returns": ("if a\r\n", "x: syntax error: unexpected end of file", "LF"),
}


@pytest.mark.parametrize("name", HINTS)
def test_limit_or_line_ends_behind_an_error_are_named(name: str) -> None:
    code, stderr, want = HINTS[name]
    seen = make_dispatched(spec=ExecutionSpec(sandbox_name="box", code=code))
    message = ending_of_run(seen, make_finished(exit_code=1, stderr=stderr.encode())).message
    assert f": {stderr}. " in message
    assert want in message


UNHINTED = {
    "a block that is not closed": ("if a\n", "x: syntax error: unexpected end of file"),
    "a file that is not there": ("open('x')\r\n", "FileNotFoundError: x not found"),
    "a socket without data": ("1", "BlockingIOError: [Errno 11] Resource temporarily unavailable"),
}


@pytest.mark.parametrize("name", UNHINTED)
def test_error_of_the_program_itself_gets_no_hint(name: str) -> None:
    code, stderr = UNHINTED[name]
    seen = make_dispatched(spec=ExecutionSpec(sandbox_name="box", code=code))
    message = ending_of_run(seen, make_finished(exit_code=1, stderr=stderr.encode())).message
    assert message == f"The program ended with exit code 1: {stderr}"


CANCELLED: dict[str, tuple[SeenExecution, str, str, str]] = {
    "spec.cancel": (
        make_dispatched(spec=ExecutionSpec(sandbox_name="box", code="1", cancel=True)),
        "Cancelled",
        "Cancelled",
        "was cancelled (spec.cancel)",
    ),
    "deletion": (make_dispatched(deleting=True), "Cancelled", "Cancelled", "was deleted"),
    "its namespace's deletion": (
        make_dispatched(namespace_ending=True, sandbox=make_sandbox_seen(deleting=True)),
        "Cancelled",
        "Cancelled",
        "The Execution's namespace was deleted while its code ran",
    ),
    "its sandbox's deletion": (
        make_dispatched(sandbox=make_sandbox_seen(deleting=True, message="going")),
        "Failed",
        "SandboxTerminated",
        "Its Sandbox was deleted while the code ran; its output until then is kept.",
    ),
    "its sandbox's lifetime": (
        make_dispatched(sandbox=make_sandbox_seen(state=SandboxState.TERMINATED)),
        "Failed",
        "SandboxTerminated",
        "Its Sandbox ended",
    ),
    "its pod's eviction": (
        make_dispatched(pod=make_ended_pod(end_cause=EndCause.EVICTED)),
        "Failed",
        "Evicted",
        "Its pod was evicted",
    ),
    "nobody it knows of": (make_dispatched(), "Failed", "Lost", "Its pod was deleted"),
}


@pytest.mark.parametrize("name", CANCELLED)
def test_run_that_was_killed_by(name: str) -> None:
    seen, want_state, want_reason, want_message = CANCELLED[name]
    ending = ending_of_run(seen, make_finished(RunOutcome.CANCELLED))
    assert (ending.state.value, ending.reason.value) == (want_state, want_reason)
    assert want_message in ending.message


PODS = {
    # cause: (reason when code may have run, reason when none has, words)
    EndCause.FINISHED: ("Lost", "StartFailed", "Its pod ended"),
    EndCause.OOM_KILLED: ("OOMKilled", "OOMKilled", "ran out of memory"),
    EndCause.EVICTED: ("Evicted", "Evicted", "was evicted"),
    EndCause.DEADLINE: (
        "SandboxTerminated",
        "SandboxTerminated",
        "the most lifetime that its class allowed",
    ),
    EndCause.NODE_LOST: ("NodeLost", "NodeLost", "Its node was lost"),
    EndCause.DELETED: ("Lost", "StartFailed", "Its pod was deleted"),
    EndCause.UNKNOWN: ("Lost", "StartFailed", "Its pod ended"),
}


@pytest.mark.parametrize("cause", list(EndCause))
def test_pod_that_ended_ends_the_execution(cause: EndCause) -> None:
    want_started, want_unstarted, want_message = PODS[cause]
    pod = make_ended_pod(end_cause=cause, end_message="exit code 137")

    after = ending_of_pod(pod, started=True)
    assert after.reason == want_started
    assert f"{want_message} (exit code 137). Its result, if any" in after.message

    before = ending_of_pod(pod, started=False)
    assert before.reason == want_unstarted
    assert before.message.endswith("None of its code ran.")


@pytest.mark.parametrize("pod", [None, make_ended_pod(end_cause=None)])
def test_pod_that_left_no_cause_was_deleted(pod: object) -> None:
    ending = ending_of_pod(pod, started=True)  # type: ignore[arg-type]
    assert ending.reason == "Lost"
    assert ending.message.startswith("Its pod was deleted. ")


def test_end_without_a_result_keeps_the_newest_document() -> None:
    run = make_run()
    assert ending_without_result(make_dispatched(run=run), None).run is run


def test_what_a_call_lacks_is_raised_at_its_function() -> None:
    call = Callee(function_uid="f", name="resize", version="1", revision="resize-1")
    seen = make_dispatched(call=call)
    found = ending_of_run(seen, make_finished(outcome=RunOutcome.OOM_KILLED, exit_code=None))
    assert "Give the Function more (spec.resources.memory)" in found.message
    found = ending_of_run(seen, make_finished(outcome=RunOutcome.TIMED_OUT, exit_code=None))
    assert "Raise spec.timeoutSeconds of the call or of its Function" in found.message
