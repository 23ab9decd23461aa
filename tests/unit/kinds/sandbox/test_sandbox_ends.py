"""A Sandbox whose pod is lost, whose lifetime is over, or that is deleted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soulbox.kinds.sandbox.decide.actions import Decision
from soulbox.kinds.sandbox.decide.decision import decide_sandbox
from soulbox.kinds.sandbox.decide.seen import PodRefusal, SeenSandbox
from soulbox.model.specs import NO_NETWORK, SandboxSpec
from soulbox.model.states import SandboxReason
from soulbox.pure.actions import (
    CreatePod,
    DeletePod,
    EnsureNetworkPolicy,
    PostEvent,
    ReleasePod,
    RemoveFinalizer,
    WriteStatus,
)
from soulbox.pure.pods.view import EndCause
from tests.support.fix_clock import NOW, at
from tests.support.seen import (
    POD_UID,
    make_class_spec,
    make_ended_pod,
    make_pod,
    make_seen_sandbox,
    merged,
)

RECORDED = frozenset({POD_UID})
RUNNING = {
    "state": "Running",
    "reason": "Running",
    "incarnation": 1,
    "observedGeneration": 1,
    "startTime": "2026-01-02T03:03:55.000Z",
    "pod": {"uid": POD_UID, "name": "box-0123456789", "startTime": "2026-01-02T03:03:55.000Z"},
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Running",
            "lastTransitionTime": "2026-01-02T03:03:56.000Z",
        }
    ],
}


def had_pod(*pods: Any, **changes: Any) -> SeenSandbox:
    """A Sandbox that is Running by its status and has these pods now."""
    return make_seen_sandbox(*pods, **{"status": RUNNING} | changes)


def after(seen: SeenSandbox, decision: Decision, **changes: Any) -> SeenSandbox:
    """The Sandbox once the decision's status write is stored."""
    status = seen.status
    for action in decision.actions:
        if isinstance(action, WriteStatus):
            status = merged(status, action.status)
    return replace(seen, status=status, **changes)


def test_lost_pod_is_told_cleared_away_and_replaced_at_once_the_first_time() -> None:
    seen = had_pod(make_ended_pod(end_cause=EndCause.OOM_KILLED, end_message="exit code 137"))

    told = decide_sandbox(seen, NOW)
    write, event, clear = told.actions
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert (write.status["state"], write.status["reason"]) == ("Error", "PodLost")
    assert write.status["message"] == (
        "Its pod box-0123456789 ended (exit code 137); the next incarnation follows."
    )
    assert write.status["pod"]["finishTime"] == "2026-01-02T03:04:05.000Z"
    assert write.status["runtimeSeconds"] == 10
    assert (event.type, event.reason) == ("Warning", "PodLost")
    assert clear == DeletePod(pod_uid=POD_UID)

    following = (
        EnsureNetworkPolicy(profile=NO_NETWORK),
        # Ten seconds of its lifetime are over, and a part of the eleventh.
        CreatePod(incarnation=2, lifetime_seconds=86_389),
    )
    going = replace(after(seen, told), pods=(replace(seen.pods[0], deleting=True),))
    # Its times are not in the ledger yet: it stays, and its successor does not wait for that.
    assert decide_sandbox(going, at(0.1)).actions == following
    recorded = replace(going, recorded_pods=RECORDED)
    assert decide_sandbox(recorded, at(0.2)).actions == (
        ReleasePod(pod_uid=POD_UID),
        *following,
    )
    gone = replace(recorded, pods=())
    assert decide_sandbox(gone, at(0.3)).actions == following


def test_pod_in_its_grace_period_has_no_successor_beside_it() -> None:
    leaving = make_pod(deleting=True)
    told = after(had_pod(leaving), decide_sandbox(had_pod(leaving), NOW))
    assert decide_sandbox(told, at(0.1)).actions == ()


def test_seconds_of_an_ended_pod_are_added_once() -> None:
    seen = had_pod(make_ended_pod(), status=RUNNING | {"runtimeSeconds": 100})
    told = decide_sandbox(seen, NOW)
    stored = after(seen, told)
    assert stored.status["runtimeSeconds"] == 110
    for seconds in (0.1, 5.0, 3600.0):
        again = decide_sandbox(stored, at(seconds))
        assert not [one for one in again.actions if isinstance(one, WriteStatus)]


def test_refusal_of_the_successor_is_the_newer_news_and_said_once() -> None:
    seen = had_pod(make_ended_pod(deleting=True))
    told = after(seen, decide_sandbox(seen, NOW))
    refusal = PodRefusal(reason=SandboxReason.QUOTA_EXCEEDED, message="exceeded quota")
    refused = replace(told, pod_refusal=refusal)

    news = decide_sandbox(refused, at(1.0))
    (write,) = [one for one in news.actions if isinstance(one, WriteStatus)]
    assert write.status["reason"] == "QuotaExceeded"
    again = decide_sandbox(after(refused, news), at(11.0))
    assert not [one for one in again.actions if isinstance(one, WriteStatus | PostEvent)]
    assert isinstance(again.actions[-1], CreatePod), "it is tried again"


def test_pod_that_never_started_adds_no_seconds() -> None:
    seen = had_pod(make_ended_pod(started_at=None, finished_at=None, end_cause=EndCause.EVICTED))
    (write, *_) = decide_sandbox(seen, NOW).actions
    assert isinstance(write, WriteStatus)
    assert "runtimeSeconds" not in write.status


def test_end_before_the_start_counts_as_no_time() -> None:
    seen = had_pod(make_ended_pod(started_at=NOW, finished_at=at(-5)))
    (write, *_) = decide_sandbox(seen, NOW).actions
    assert isinstance(write, WriteStatus)
    assert write.status["runtimeSeconds"] == 0


def test_lost_node_is_told_apart_from_an_end_that_was_seen() -> None:
    seen = had_pod(make_ended_pod(end_cause=EndCause.NODE_LOST, deleting=True))
    (write, *_) = decide_sandbox(seen, NOW).actions
    assert isinstance(write, WriteStatus)
    assert write.status["pod"]["lostTime"] == "2026-01-02T03:04:05.000Z"
    assert "finishTime" not in write.status["pod"]


@pytest.mark.parametrize("end_cause", [EndCause.FINISHED, EndCause.NODE_LOST])
def test_seconds_of_a_pod_are_added_once_however_its_end_is_known(end_cause: EndCause) -> None:
    """The next pod cannot be made, so that the status is written again while this one goes."""
    seen = had_pod(make_ended_pod(end_cause=end_cause, deleting=True))
    told = after(seen, decide_sandbox(seen, NOW))
    assert told.status["runtimeSeconds"] == 10
    again = decide_sandbox(replace(told, spec=replace(told.spec, suspend=True)), at(1.0))
    assert [one for one in again.actions if isinstance(one, WriteStatus)]
    assert after(told, again).status["runtimeSeconds"] == 10


def test_pod_that_somebody_deletes_is_told_while_it_still_goes() -> None:
    seen = had_pod(make_pod(deleting=True))
    told = decide_sandbox(seen, NOW)
    write, _ = told.actions
    assert isinstance(write, WriteStatus)
    assert "is being deleted; the next incarnation follows" in write.status["message"]
    assert decide_sandbox(after(seen, told), at(1.0)).actions == ()


BACK_OFF = {
    # short lives in a row: seconds until the next
    0: 0.0,
    1: 0.0,
    2: 1.0,
    3: 3.0,
    6: 31.0,
    20: 300.0,
}


@pytest.mark.parametrize("short_lives", BACK_OFF)
def test_back_off_doubles_with_short_lives_in_a_row(short_lives: int) -> None:
    want_seconds = BACK_OFF[short_lives]
    incarnation = 20  # however many it had before
    pod = make_ended_pod(incarnation=incarnation)
    seen = had_pod(pod, short_lives=short_lives)
    gone = replace(after(seen, decide_sandbox(seen, NOW)), pods=())

    if want_seconds > 0:
        early = decide_sandbox(gone, at(want_seconds - 0.5))
        assert early == Decision(requeue_after_seconds=pytest.approx(0.5))
    assert decide_sandbox(gone, at(want_seconds)).actions[-1] == CreatePod(
        incarnation=incarnation + 1, lifetime_seconds=86_400 - 10 - int(want_seconds)
    )


def test_error_without_a_transition_time_waits_for_nothing() -> None:
    status = RUNNING | {"state": "Error", "incarnation": 9, "conditions": []}
    assert decide_sandbox(had_pod(status=status), NOW).actions[-1] == CreatePod(
        incarnation=10, lifetime_seconds=86_390
    )


@pytest.mark.parametrize("state", ["Running", "Starting"])
def test_pod_that_vanished_without_a_trace_is_told_and_replaced(state: str) -> None:
    seen = had_pod(status=RUNNING | {"state": state})
    told = decide_sandbox(seen, NOW)
    write, event = told.actions
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert (write.status["state"], write.status["reason"]) == ("Error", "PodLost")
    assert "vanished" in write.status["message"]
    next_one = decide_sandbox(after(seen, told), at(1.0)).actions[-1]
    assert next_one == CreatePod(incarnation=2, lifetime_seconds=86_389)


KEEP_NOT = make_class_spec(replace_lost_pods=False)

TERMINATED: dict[str, tuple[SeenSandbox, str]] = {
    "its class does not replace lost pods": (
        had_pod(make_ended_pod(), sandbox_class=KEEP_NOT),
        "PodLost",
    ),
    "its class does not replace lost pods, and this one left no trace": (
        had_pod(sandbox_class=KEEP_NOT),
        "PodLost",
    ),
    "the kubelet ended its pod with its lifetime": (
        had_pod(make_ended_pod(end_cause=EndCause.DEADLINE), spec=SandboxSpec(lifetime_seconds=12)),
        "LifetimeExpired",
    ),
    "its lifetime is over": (
        had_pod(make_pod(), spec=SandboxSpec(lifetime_seconds=10)),
        "LifetimeExpired",
    ),
    "its lifetime is over, counted from a start that was never written": (
        had_pod(
            make_pod(started_at=at(-10)),
            spec=SandboxSpec(lifetime_seconds=10),
            status={"state": "Created"},
        ),
        "LifetimeExpired",
    ),
}


def test_deadline_of_a_pod_whose_lifetime_was_raised_since_is_a_lost_pod() -> None:
    seen = had_pod(
        make_ended_pod(end_cause=EndCause.DEADLINE), spec=SandboxSpec(lifetime_seconds=1000)
    )
    (write, *_) = decide_sandbox(seen, NOW).actions
    assert isinstance(write, WriteStatus)
    assert (write.status["state"], write.status["reason"]) == ("Error", "PodLost")


@pytest.mark.parametrize("name", TERMINATED)
def test_sandbox_is_terminated_when(name: str) -> None:
    seen, want_reason = TERMINATED[name]
    decision = decide_sandbox(seen, NOW)
    write, event, *_ = decision.actions
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert (write.status["state"], write.status["reason"]) == ("Terminated", want_reason)
    assert write.status["terminationTime"] == "2026-01-02T03:04:05.000Z"
    assert {one["type"]: one["status"] for one in write.status["conditions"]} == {
        "Ready": "False",
        "Stalled": "True",
    }
    assert event.reason == want_reason
    assert "next incarnation" not in write.status["message"], "there will be none"

    done = replace(after(seen, decision), pods=())
    assert decide_sandbox(done, at(60.0)) == Decision(), "the object stays, and costs nothing"


# Told already: the deletion's first pass says so.
GOING = {"deletion_time": NOW, "status": RUNNING | {"state": "Terminated", "reason": "Deleted"}}
ENDING = {
    "deleted": GOING,
    "its namespace deleted": {**GOING, "deletion_time": None, "namespace_deletion_time": NOW},
    "terminated": {
        "status": RUNNING | {"state": "Terminated", "terminationTime": "2026-01-02T03:04:05.000Z"}
    },
}


@pytest.mark.parametrize("changes", ENDING.values(), ids=ENDING.keys())
def test_sandbox_that_ends_gives_its_runs_ten_seconds(changes: dict[str, Any]) -> None:
    seen = had_pod(make_pod(), running_executions=1, **changes)
    assert decide_sandbox(seen, at(4.0)) == Decision(requeue_after_seconds=6.0)
    assert decide_sandbox(seen, at(10.0)).actions == (DeletePod(pod_uid=POD_UID),)


@pytest.mark.parametrize("changes", ENDING.values(), ids=ENDING.keys())
def test_sandbox_that_ends_without_runs_ends_its_pod_at_once(changes: dict[str, Any]) -> None:
    assert decide_sandbox(had_pod(make_pod(), **changes), NOW).actions == (
        DeletePod(pod_uid=POD_UID),
    )


def test_terminated_at_no_readable_time_counts_from_now() -> None:
    status = RUNNING | {"state": "Terminated", "terminationTime": "yesterday"}
    seen = had_pod(make_pod(), running_executions=1, status=status)
    assert decide_sandbox(seen, NOW) == Decision(requeue_after_seconds=10.0)


def test_terminated_sandbox_whose_generation_moved_on_follows_it_and_nothing_else() -> None:
    status = RUNNING | {"state": "Terminated", "terminationTime": "2026-01-02T03:04:05.000Z"}
    seen = had_pod(generation=2, status=status)
    assert decide_sandbox(seen, NOW) == Decision(
        actions=(WriteStatus(status={"observedGeneration": 2}),), requeue_after_seconds=0
    )
    going = replace(seen, deletion_time=NOW)
    assert decide_sandbox(going, NOW) == Decision(), "nobody reads it any more"


DELETED: dict[str, tuple[SeenSandbox, tuple[Any, ...]]] = {
    "its pod is going and not recorded": (had_pod(make_ended_pod(deleting=True)), ()),
    "its pod is recorded": (
        had_pod(make_ended_pod(deleting=True), recorded_pods=RECORDED),
        (ReleasePod(pod_uid=POD_UID),),
    ),
    "its pod is let go and not gone": (
        had_pod(
            make_ended_pod(deleting=True, has_finalizer=False),
            recorded_pods=RECORDED,
            recorded=True,
        ),
        (),
    ),
    "its pod is gone, its last row not committed": (had_pod(), ()),
    "its pod is gone, its last row committed": (had_pod(recorded=True), (RemoveFinalizer(),)),
    "our finalizer is gone": (had_pod(recorded=True, has_finalizer=False), ()),
}


@pytest.mark.parametrize("name", DELETED)
def test_deleted_sandbox(name: str) -> None:
    seen, want_actions = DELETED[name]
    decision = decide_sandbox(replace(seen, **GOING), at(1.0))
    assert decision.actions == want_actions


@pytest.mark.parametrize("of", ["deletion_time", "namespace_deletion_time"])
def test_deletion_is_told_before_anything_ends_by_it(of: str) -> None:
    seen = had_pod(make_pod(), running_executions=1, **{of: NOW})
    write, event = decide_sandbox(seen, NOW).actions
    assert isinstance(write, WriteStatus)
    assert (write.status["state"], write.status["reason"]) == ("Terminated", "Deleted")
    assert "is being deleted" in write.status["message"]
    assert isinstance(event, PostEvent)
    assert (event.type, event.reason) == ("Normal", "Deleted")


def test_deletion_that_takes_long_is_told_without_runs_too() -> None:
    seen = had_pod(make_pod(deleting=True), deletion_time=NOW)
    assert decide_sandbox(seen, at(4.0)) == Decision(requeue_after_seconds=6.0)
    write, _ = decide_sandbox(seen, at(10.0)).actions
    assert isinstance(write, WriteStatus)
    assert write.status["reason"] == "Deleted"


def test_sandbox_that_was_over_keeps_its_reason_when_it_is_deleted() -> None:
    status = RUNNING | {"state": "Terminated", "reason": "IdleExpired"}
    assert decide_sandbox(had_pod(status=status, deletion_time=NOW), NOW).actions == ()


def test_namespace_that_goes_gets_no_more_pods() -> None:
    for status in (RUNNING, {"state": "Error", "reason": "PodLost", "incarnation": 1}):
        seen = had_pod(status=status, namespace_deletion_time=NOW)
        told = decide_sandbox(seen, at(10.0))
        assert not [one for one in told.actions if isinstance(one, CreatePod)]
        assert decide_sandbox(after(seen, told), at(60.0)).actions == ()


@pytest.mark.parametrize("change", [{"class_objection": "too much"}, {"sandbox_class": None}])
def test_running_pod_is_not_judged_by_what_its_class_became(change: dict[str, Any]) -> None:
    actions = decide_sandbox(had_pod(make_pod(), **change), NOW).actions
    assert not [one for one in actions if isinstance(one, DeletePod)]


@pytest.mark.parametrize("change", [{"class_objection": "too much"}, {"sandbox_class": None}])
def test_ended_pod_is_cleared_away_whatever_its_class_became(change: dict[str, Any]) -> None:
    seen = had_pod(make_ended_pod(deleting=True), recorded_pods=RECORDED, **change)
    actions = decide_sandbox(seen, NOW).actions
    assert ReleasePod(pod_uid=POD_UID) in actions
    assert not [one for one in actions if isinstance(one, CreatePod)]
