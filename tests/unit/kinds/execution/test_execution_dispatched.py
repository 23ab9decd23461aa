"""After dispatch: following the run, and every way it can end."""

from __future__ import annotations

import pytest

from soulbox.kinds.execution.decide.actions import CancelRun, FollowRun
from soulbox.kinds.execution.decide.decision import decide_execution
from soulbox.kinds.execution.decide.seen import Dispatched, RunProblem, SeenExecution
from soulbox.model.specs import ExecutionSpec
from soulbox.model.states import ExecutionReason, RunOutcome, SandboxState
from soulbox.pure.actions import AddFinalizer, PostEvent, WriteStatus
from soulbox.pure.pods.view import EndCause
from tests.support.fix_clock import NOW, at
from tests.support.seen import (
    POD_UID,
    make_dispatched,
    make_ended_pod,
    make_finished,
    make_pod,
    make_run,
    make_sandbox_seen,
)

CANCEL = ExecutionSpec(sandbox_name="box", code="1", cancel=True)
ONE_SHOT = ExecutionSpec(class_name="python", code="1")
FOLLOW = FollowRun(pod_uid=POD_UID, attempt=1, may_start=True)
LISTEN = FollowRun(pod_uid=POD_UID, attempt=1, may_start=False)
CANCEL_RUN = CancelRun(pod_uid=POD_UID, attempt=1)


def test_dispatched_execution_of_which_nothing_is_heard_is_followed() -> None:
    decision = decide_execution(make_dispatched(), NOW)
    assert decision.actions == (FOLLOW,)
    assert decision.requeue_after_seconds == 360, "its 300 s and a minute of grace"


def test_follows_the_attempt_that_was_dispatched() -> None:
    seen = make_dispatched(dispatched=Dispatched(pod_uid=POD_UID, attempt=3))
    (follow,) = decide_execution(seen, NOW).actions
    assert follow == FollowRun(pod_uid=POD_UID, attempt=3, may_start=True)


def test_cancelled_before_its_runner_was_heard_is_never_started() -> None:
    assert decide_execution(make_dispatched(spec=CANCEL), NOW).actions == (LISTEN,)


def test_run_under_a_second_costs_no_status_write() -> None:
    seen = make_dispatched(run=make_run(start_time=NOW))
    decision = decide_execution(seen, at(0.4))
    assert decision.actions == (FOLLOW,)
    assert decision.requeue_after_seconds == pytest.approx(0.6)


def test_run_over_a_second_is_written_as_running_once() -> None:
    seen = make_dispatched(run=make_run(start_time=NOW))
    follow, write = decide_execution(seen, at(1.0)).actions
    assert follow == FOLLOW
    assert isinstance(write, WriteStatus)
    assert write.status["state"] == "Running"
    assert write.status["startTime"] == "2026-01-02T03:04:05.000Z"
    assert write.status["attempt"] == 1
    assert "reason" not in write.status

    again = decide_execution(
        make_dispatched(run=make_run(start_time=NOW), status=write.status), at(9.0)
    )
    assert again.actions == (FOLLOW,)


def test_run_that_was_accepted_and_has_not_started_is_followed() -> None:
    seen = make_dispatched(run=make_run(start_time=None))
    assert decide_execution(seen, at(9.0)).actions == (FOLLOW,)


ENDING = {
    "spec.cancel": make_dispatched(spec=CANCEL, run=make_run()),
    "its deletion": make_dispatched(deleting=True, run=make_run()),
    "its sandbox's deletion": make_dispatched(
        sandbox=make_sandbox_seen(deleting=True), run=make_run()
    ),
    "its sandbox's end": make_dispatched(
        sandbox=make_sandbox_seen(state=SandboxState.TERMINATED), run=make_run()
    ),
}


@pytest.mark.parametrize("seen", ENDING.values(), ids=ENDING.keys())
def test_running_program_is_cancelled_by(seen: SeenExecution) -> None:
    cancel, follow = decide_execution(seen, at(0.1)).actions
    assert cancel == CANCEL_RUN
    assert isinstance(follow, FollowRun)
    assert follow.may_start is not seen.cancel_wanted


# What the runner or the pod says -> what is written.
ENDS: dict[str, tuple[SeenExecution, str, str, str]] = {
    "exit code 0": (
        make_dispatched(run=make_finished()),
        "Completed",
        "Completed",
        "ended with exit code 0",
    ),
    "exit code 3": (
        make_dispatched(run=make_finished(exit_code=3, stderr=b"bad\n")),
        "Failed",
        "NonZeroExit",
        "exit code 3: bad",
    ),
    "time over": (
        make_dispatched(run=make_finished(RunOutcome.TIMED_OUT)),
        "Timeout",
        "TimedOut",
        "longer than its time limit",
    ),
    "cancelled and over": (
        make_dispatched(spec=CANCEL, run=make_finished(RunOutcome.CANCELLED)),
        "Cancelled",
        "Cancelled",
        "was cancelled (spec.cancel) while its code ran",
    ),
    "cancelled, yet it had finished first": (
        make_dispatched(spec=CANCEL, run=make_finished()),
        "Completed",
        "Completed",
        "exit code 0",
    ),
    "killed with its sandbox": (
        make_dispatched(
            sandbox=make_sandbox_seen(deleting=True), run=make_finished(RunOutcome.CANCELLED)
        ),
        "Failed",
        "SandboxTerminated",
        "Its Sandbox was deleted while the code ran; its output until then is kept.",
    ),
    "killed with its pod, which was evicted": (
        make_dispatched(
            pod=make_ended_pod(end_cause=EndCause.EVICTED, end_message="low on memory"),
            run=make_finished(RunOutcome.CANCELLED),
        ),
        "Failed",
        "Evicted",
        "Its pod was evicted (low on memory)",
    ),
    "killed with its pod, which never says why": (
        make_dispatched(
            run=make_finished(RunOutcome.CANCELLED, completion_time=at(-10)),
        ),
        "Failed",
        "Lost",
        "Its pod was deleted",
    ),
    "killed with its pod, which is gone": (
        make_dispatched(pod=None, run=make_finished(RunOutcome.CANCELLED)),
        "Failed",
        "Lost",
        "Its pod was deleted",
    ),
    "its pod ran out of memory": (
        make_dispatched(pod=make_ended_pod(end_cause=EndCause.OOM_KILLED)),
        "Failed",
        "OOMKilled",
        "Its pod ran out of memory",
    ),
    "its pod is gone without a word": (make_dispatched(pod=None), "Failed", "Lost", "deleted"),
    "its pod is another one by now": (
        make_dispatched(pod=make_pod(uid="another")),
        "Failed",
        "Lost",
        "deleted",
    ),
    "its node was lost": (
        make_dispatched(pod=make_ended_pod(end_cause=EndCause.NODE_LOST)),
        "Failed",
        "NodeLost",
        "Its node was lost",
    ),
    "its sandbox went, and its pod with it": (
        make_dispatched(sandbox=None, pod=None, sandbox_class=None),
        "Failed",
        "SandboxTerminated",
        "Its Sandbox was deleted while the code ran, and its result went with it.",
    ),
    "its namespace went, and its pod with it": (
        make_dispatched(sandbox=None, pod=None, namespace_ending=True),
        "Cancelled",
        "Cancelled",
        "The Execution's namespace was deleted while its code ran, and its pod went",
    ),
    "the runner has never heard of it": (
        make_dispatched(
            run=RunProblem(reason=ExecutionReason.LOST, message="not known", never_started=True)
        ),
        "Failed",
        "Lost",
        "not known",
    ),
    "the runner has never heard of it, and nobody wants it any more": (
        make_dispatched(
            spec=CANCEL,
            run=RunProblem(reason=ExecutionReason.LOST, message="not known", never_started=True),
        ),
        "Cancelled",
        "Cancelled",
        "before its code started",
    ),
    "the runner let go of it, and nobody wants it any more": (
        make_dispatched(spec=CANCEL, run=RunProblem(reason=ExecutionReason.LOST, message="let go")),
        "Failed",
        "Lost",
        "let go",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_dispatched_execution_ends(name: str) -> None:
    seen, want_state, want_reason, want_message = ENDS[name]
    decision = decide_execution(seen, at(0.05))

    write, event = decision.actions
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert write.status["state"] == want_state
    assert write.status["reason"] == want_reason
    assert want_message in write.status["message"]
    assert event.reason == want_reason
    assert event.type == ("Normal" if want_state in ("Completed", "Cancelled") else "Warning")
    if name.startswith("the runner has never heard of it"):
        assert "output" not in write.status, "none of its code ran"
    else:
        assert {"stdout", "stderr"} <= write.status["output"].keys(), "code may have run"
    assert write.status["receipt"]["podUID"] == POD_UID


def test_finalizer_is_put_on_again_where_somebody_took_it_off() -> None:
    seen = make_dispatched(has_finalizer=False, run=make_finished())
    assert decide_execution(seen, NOW).actions[0] == AddFinalizer()


@pytest.mark.parametrize("seconds", [0.0, 9.9])
def test_run_killed_with_a_pod_that_does_not_say_why_yet_waits_for_it(seconds: float) -> None:
    run = make_finished(RunOutcome.CANCELLED, completion_time=NOW)
    decision = decide_execution(make_dispatched(run=run), at(seconds))
    assert decision.actions == ()
    assert decision.requeue_after_seconds == 1.0


def test_run_killed_without_a_time_waits_for_the_pod_too() -> None:
    run = make_finished(RunOutcome.CANCELLED, completion_time=None)
    assert decide_execution(make_dispatched(run=run), NOW).requeue_after_seconds == 1.0


def test_run_killed_says_so_once_the_operator_itself_has_waited_long_enough() -> None:
    """The runner's clock is ahead: by that alone it would be waited for an hour."""
    run = make_finished(RunOutcome.CANCELLED, completion_time=at(3600))
    waits = decide_execution(make_dispatched(run=run, silent_seconds=9.9), NOW)
    assert (waits.actions, waits.requeue_after_seconds) == ((), 1.0)
    write = decide_execution(make_dispatched(run=run, silent_seconds=10.0), NOW).actions[0]
    assert isinstance(write, WriteStatus)
    assert write.status["state"] in ("Cancelled", "Failed")


def test_finished_run_without_a_result_is_lost_and_not_a_crash() -> None:
    seen = make_dispatched(run=make_finished(result=None))
    write = decide_execution(seen, NOW).actions[0]
    assert isinstance(write, WriteStatus)
    assert write.status["reason"] == "Lost"
    assert "without a result" in write.status["message"]


def test_output_until_the_loss_is_kept() -> None:
    run = make_run(stdout=make_finished(stdout=b"half").stdout)
    write = decide_execution(make_dispatched(pod=None, run=run), NOW).actions[0]
    assert isinstance(write, WriteStatus)
    assert write.status["reason"] == "Lost"
    assert write.status["output"]["stdout"] == "half"


def test_one_shot_whose_pod_is_lost_is_lost_with_it() -> None:
    seen = make_dispatched(
        spec=ONE_SHOT, sandbox=None, pod=make_ended_pod(end_cause=EndCause.UNKNOWN)
    )
    write = decide_execution(seen, NOW).actions[0]
    assert isinstance(write, WriteStatus)
    assert write.status["reason"] == "Lost"
    assert "Its pod ended" in write.status["message"]
