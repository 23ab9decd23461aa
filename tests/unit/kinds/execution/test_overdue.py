"""Runners that do not say how a run ended, losses that are followed by another attempt, and
waits that are over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from soulbox.kinds.execution.decide.actions import (
    Action,
    CancelRun,
    Decision,
    Dispatch,
    FollowRun,
    ForgetDispatch,
)
from soulbox.kinds.execution.decide.decision import decide_execution
from soulbox.kinds.execution.decide.seen import Dispatched, RunProblem, SeenExecution, Turn
from soulbox.model.specs import ExecutionSpec
from soulbox.model.states import ExecutionReason, RunOutcome, RunState
from soulbox.pure.actions import CreatePod, WriteStatus
from soulbox.pure.pods.view import EndCause
from tests.support.fix_clock import at
from tests.support.seen import (
    POD_UID,
    make_dispatched,
    make_ended_pod,
    make_finished,
    make_one_shot,
    make_pod,
    make_run,
    make_seen,
)

AGAIN = ExecutionSpec(sandbox_name="box", code="1", idempotent=True)
GONE: dict[str, Any] = {"pod": None}


def only(decision: Decision, kind: type) -> list[Any]:
    """Actions of one kind."""
    return [action for action in decision.actions if isinstance(action, kind)]


def status_of(decision: Decision) -> dict[str, Any]:
    """What is written."""
    (write,) = only(decision, WriteStatus)
    return dict(write.status)


@dataclass(frozen=True)
class Overdue:
    """A run of 300 s that began at NOW, seen `after` seconds later."""

    seen: SeenExecution
    after: float
    want: tuple[str, str] | None = None  # state and reason; None: it is waited for
    want_message: str = ""
    want_cancel: bool = False


RUNS = make_run()
OVERDUE = {
    "within its time": Overdue(make_dispatched(run=RUNS, silent_seconds=5.0), 200),
    "silent within its time": Overdue(make_dispatched(run=RUNS, silent_seconds=250.0), 250),
    "its end is a moment late": Overdue(make_dispatched(run=RUNS, silent_seconds=59.0), 359),
    "silent for long beyond its time": Overdue(
        make_dispatched(run=RUNS, silent_seconds=100.0),
        361,
        ("Failed", "Lost"),
        "has not answered for 100 s, and the time given to the program ended 61 s ago",
    ),
    "says that it runs beyond its time: told to end it": Overdue(
        make_dispatched(run=RUNS, silent_seconds=1.0), 361, want_cancel=True
    ),
    "says so still": Overdue(
        make_dispatched(run=RUNS, silent_seconds=1.0),
        421,
        ("Timeout", "TimedOut"),
        "its runner still says that it runs",
    ),
    "never a word since it was asked to start": Overdue(
        make_dispatched(silent_seconds=361.0), 400, ("Failed", "Lost"), "has not answered for 361 s"
    ),
    "accepted for ever and never begun": Overdue(
        make_dispatched(
            run=replace(RUNS, start_time=None, state=RunState.ACCEPTED),
            silent_seconds=1.0,
            followed_seconds=421.0,
        ),
        500,
        ("Timeout", "TimedOut"),
        "its runner still says that it runs",
    ),
    "tells another start each time": Overdue(
        make_dispatched(
            run=replace(RUNS, start_time=at(500)), silent_seconds=1.0, followed_seconds=421.0
        ),
        500,
        ("Timeout", "TimedOut"),
        "its runner still says that it runs",
    ),
    "not a word yet": Overdue(make_dispatched(silent_seconds=359.0), 400),
    "after a restart the start is in the status": Overdue(
        make_dispatched(
            silent_seconds=60.0,
            status={"state": "Running", "startTime": "2026-01-02T03:04:05.000Z"},
        ),
        361,
        ("Failed", "Lost"),
        "has not answered for 60 s",
    ),
    "its class is gone, so its time is not known": Overdue(
        make_dispatched(run=RUNS, silent_seconds=1000.0, terms=None), 2000
    ),
}


@pytest.mark.parametrize("case", OVERDUE.values(), ids=OVERDUE.keys())
def test_run_that_is_not_told_to_be_over(case: Overdue) -> None:
    decision = decide_execution(case.seen, at(case.after))
    ends = [w for w in only(decision, WriteStatus) if "completionTime" in w.status]
    if case.want is None:
        assert not ends
        assert only(decision, FollowRun)
        assert bool(only(decision, CancelRun)) == case.want_cancel
        if decision.requeue_after_seconds is not None:
            assert decision.requeue_after_seconds > 0
        return
    (write,) = ends
    assert (write.status["state"], write.status["reason"]) == case.want
    assert case.want_message in write.status["message"]
    assert write.status["attempt"] == 1


def test_overdue_run_keeps_the_output_until_then() -> None:
    seen = make_dispatched(
        run=make_run(stdout=make_finished(stdout=b"so far\n").stdout), silent_seconds=100.0
    )
    assert status_of(decide_execution(seen, at(400)))["output"]["stdout"] == "so far\n"


LOSSES = {
    "its pod is gone": (GONE, "Lost"),
    "its pod was evicted": (
        {"pod": make_ended_pod(end_cause=EndCause.EVICTED, end_message="disk pressure")},
        "Evicted",
    ),
    "its node was lost": ({"pod": make_ended_pod(end_cause=EndCause.NODE_LOST)}, "NodeLost"),
    "its runner has let go of it": (
        {"run": RunProblem(reason=ExecutionReason.LOST, message="gone")},
        "Lost",
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_idempotent_execution_is_run_again_after_a_loss(name: str) -> None:
    changes, reason = LOSSES[name]
    decision = decide_execution(make_dispatched(spec=AGAIN, **changes), at(5))
    kinds = [type(action) for action in decision.actions]
    assert kinds[:2] == [ForgetDispatch, WriteStatus], "first the mark: nothing runs twice at once"
    assert only(decision, ForgetDispatch) == [ForgetDispatch(attempts=1)]
    status = status_of(decision)
    assert (status["state"], status["attempt"]) == ("Queued", 1)
    assert status["message"].startswith("Attempt 1 was lost; it is run again.")
    assert decision.requeue_after_seconds == 0
    once = decide_execution(make_dispatched(**changes), at(5))
    assert status_of(once)["reason"] == reason, "without the field it is over"


def test_start_of_the_attempt_that_was_lost_is_taken_back() -> None:
    """Not left out: a merge patch keeps what it does not name."""
    began = {"state": "Running", "startTime": "2026-01-02T03:04:05.000Z"}
    status = status_of(decide_execution(make_dispatched(spec=AGAIN, status=began, **GONE), at(5)))
    assert status["startTime"] is None
    unseen = make_dispatched(spec=AGAIN, status={"state": "Queued"}, **GONE)
    assert "startTime" not in status_of(decide_execution(unseen, at(5)))


NOT_AGAIN = {
    "cancelled meanwhile": {
        "spec": ExecutionSpec(sandbox_name="box", code="1", idempotent=True, cancel=True),
        **GONE,
    },
    "being deleted": {"spec": AGAIN, "deleting": True, **GONE},
    "its program ended by itself": {"spec": AGAIN, "run": make_finished(exit_code=1)},
    "its program took too much memory": {
        "spec": AGAIN,
        "run": make_finished(RunOutcome.OOM_KILLED),
    },
    "its sandbox ended": {"spec": AGAIN, "sandbox": None, **GONE},
    "the third attempt was lost": {
        "spec": AGAIN,
        "dispatched": Dispatched(pod_uid=POD_UID, attempt=3),
        **GONE,
    },
}


@pytest.mark.parametrize("name", NOT_AGAIN)
def test_idempotent_execution_is_over_when(name: str) -> None:
    decision = decide_execution(make_dispatched(**NOT_AGAIN[name]), at(5))
    assert not only(decision, ForgetDispatch)
    assert "completionTime" in status_of(decision)


def test_second_attempt_is_dispatched_as_such() -> None:
    decision = decide_execution(make_seen(spec=AGAIN, lost_attempts=1), at(1))
    (dispatch,) = only(decision, Dispatch)
    (follow,) = only(decision, FollowRun)
    assert (dispatch.attempt, follow.attempt) == (2, 2)


def test_one_shot_s_second_attempt_has_a_pod_of_its_own() -> None:
    spec = ExecutionSpec(class_name="python", code="1", idempotent=True)
    decision = decide_execution(make_one_shot(spec=spec, lost_attempts=1), at(1))
    assert CreatePod(incarnation=2, lifetime_seconds=None) in decision.actions


# Waits.

BEHIND = Turn(position=5, running=2, room=2)


def wait(after: float, **changes: Any) -> Decision:
    """What is decided about one behind others."""
    return decide_execution(make_seen(turn=BEHIND, **changes), at(after))


def test_place_and_reason_are_written_when_the_wait_lasts() -> None:
    status = status_of(wait(1.0))
    assert status["queuePosition"] == 5
    assert status["message"] == (
        'Waiting for its turn in Sandbox "box": 2 Executions run there, 2 may at once, '
        "4 wait before it (priority 0)."
    )
    assert status["state"] == "Queued"


WAITING: dict[str, Any] = {
    "state": "Queued",
    "message": 'Waiting for its turn in Sandbox "box": 9 wait before it.',
    "queuedTime": "x",
    "queuePosition": 10,
}


@pytest.mark.parametrize(
    ("after", "told", "want"),
    [(20.0, 19.0, False), (31.5, 29.9, False), (32.0, 30.5, True), (80.0, 45.0, False),
     (80.0, 35.0, False), (200.0, 99.0, False), (200.0, 170.0, True)],
)  # fmt: skip
def test_place_is_written_again_after_five_times_the_wait(
    after: float, told: float, want: bool
) -> None:
    decision = wait(after, status=WAITING, told_seconds_ago=told)
    assert bool(only(decision, WriteStatus)) == want


def test_place_that_is_the_same_is_not_written_again() -> None:
    same = {**WAITING, "queuePosition": 5}
    assert not only(wait(100.0, status=same, told_seconds_ago=90.0), WriteStatus)


def test_place_goes_with_the_wait() -> None:
    seen = make_dispatched(run=make_run(), status=WAITING)
    assert status_of(decide_execution(seen, at(3)))["queuePosition"] is None
    ended = make_dispatched(run=make_finished(), status=WAITING)
    assert status_of(decide_execution(ended, at(3)))["queuePosition"] is None


FIVE = ExecutionSpec(sandbox_name="box", code="1", queue_timeout_seconds=5)


def test_wait_over_its_queue_timeout_is_a_timeout() -> None:
    decision = wait(5.0, spec=FIVE, status=WAITING)
    status = status_of(decision)
    assert (status["state"], status["reason"]) == ("Timeout", "QueueTimeout")
    assert "within queueTimeoutSeconds (5 s); none of it has run" in status["message"]
    assert "Waiting for its turn" in status["message"], "what it waited for last"
    assert "output" not in status


def test_wait_is_looked_at_again_when_its_time_is_over() -> None:
    assert wait(4.0, spec=FIVE).requeue_after_seconds == pytest.approx(1.0)


def test_one_shot_that_waits_for_its_pod_times_out_and_its_pod_goes() -> None:
    spec = ExecutionSpec(class_name="python", code="1", queue_timeout_seconds=5)
    status = status_of(decide_execution(make_one_shot(spec=spec), at(6)))
    assert status["reason"] == "QueueTimeout"


def test_a_missing_sandbox_has_a_reason_of_its_own_after_the_queue_timeout() -> None:
    missing: dict[str, Any] = {
        "spec": FIVE, "sandbox": None, "pod": None, "sandbox_class": None
    }  # fmt: skip
    assert not [
        w
        for w in only(decide_execution(make_seen(**missing), at(4)), WriteStatus)
        if "completionTime" in w.status
    ]
    status = status_of(decide_execution(make_seen(**missing), at(5)))
    assert (status["state"], status["reason"]) == ("Failed", "SandboxNotFound")


def test_after_a_loss_the_queue_timeout_does_not_count_again() -> None:
    spec = ExecutionSpec(sandbox_name="box", code="1", queue_timeout_seconds=5, idempotent=True)
    status = {"state": "Queued", "attempt": 1}
    decision = decide_execution(make_seen(spec=spec, lost_attempts=1, status=status), at(500))
    assert only(decision, Dispatch)


def test_pods_that_went_unused_are_no_loss_and_the_queue_timeout_counts() -> None:
    spec = ExecutionSpec(class_name="python", code="1", queue_timeout_seconds=5)
    decision = decide_execution(make_one_shot(spec=spec, lost_attempts=1), at(500))
    (write,) = only(decision, WriteStatus)
    assert write.status["reason"] == "QueueTimeout"


def test_one_shot_s_runner_that_never_answers_is_given_up() -> None:
    seen = make_one_shot(make_pod(), pod_ready=False, pod_asked_seconds=60.0)
    status = status_of(decide_execution(seen, at(100)))
    assert (status["state"], status["reason"]) == ("Failed", "StartFailed")
    early = make_one_shot(make_pod(), pod_ready=False, pod_asked_seconds=10.0)
    actions: tuple[Action, ...] = decide_execution(early, at(100)).actions
    assert not [action for action in actions if isinstance(action, WriteStatus)]
