"""Suspend and resume, idle time-outs, and what a class must have for a Sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soulbox.kinds.sandbox.decide.actions import Decision
from soulbox.kinds.sandbox.decide.decision import decide_sandbox
from soulbox.kinds.sandbox.decide.seen import Activity, SeenSandbox
from soulbox.kinds.sandbox_class.decide.limits import object_to_sandbox, workspace_bytes
from soulbox.model.specs import Egress, NetworkProfile, Resources, SandboxSpec, Workspace
from soulbox.pure.actions import CreatePod, DeletePod, ReleasePod, WriteStatus
from tests.support.fix_clock import NOW, at
from tests.support.seen import (
    POD_UID,
    make_class_spec,
    make_ended_pod,
    make_pod,
    make_seen_sandbox,
    merged,
)

SUSPENDED = SandboxSpec(suspend=True)
RUNNING: dict[str, Any] = {
    "state": "Running",
    "reason": "Running",
    "message": "Its runner answers; Executions can run.",
    "observedGeneration": 1,
    "incarnation": 1,
    "startTime": "2026-01-02T03:04:05.000Z",
    "pod": {"uid": POD_UID, "name": "box-0123456789", "startTime": "2026-01-02T03:04:05.000Z"},
}


def running(spec: SandboxSpec, *pods: Any, **changes: Any) -> SeenSandbox:
    """A Sandbox that ran until now."""
    base = {"status": RUNNING, "ready_pods": frozenset({POD_UID})}
    return make_seen_sandbox(*(pods or (make_pod(),)), spec=spec, **base | changes)


def status_of(decision: Decision) -> dict[str, Any]:
    (write,) = [one for one in decision.actions if isinstance(one, WriteStatus)]
    return dict(write.status)


def kinds(decision: Decision) -> list[type]:
    return [type(action) for action in decision.actions]


def test_suspend_lets_runs_end_first_and_says_so() -> None:
    decision = decide_sandbox(running(SUSPENDED, running_executions=2), at(5))
    status = status_of(decision)
    assert DeletePod not in kinds(decision)
    assert (status["state"], status["reason"]) == ("Running", "Suspending")
    assert "as soon as 2 Executions end" in status["message"]
    ready = {one["type"]: one["status"] for one in status["conditions"]}
    assert ready == {"Ready": "False", "Reconciling": "True"}


def test_suspend_without_runs_takes_the_pod_away() -> None:
    assert decide_sandbox(running(SUSPENDED), at(5)).actions == (DeletePod(pod_uid=POD_UID),)
    leaving = running(SUSPENDED, make_pod(deleting=True))
    assert WriteStatus not in kinds(decide_sandbox(leaving, at(6))), "not stopped while it runs"


def test_suspended_is_stopped_without_conditions_once_its_pod_has_ended() -> None:
    ended = make_ended_pod(deleting=True, started_at=NOW, finished_at=at(10))
    seen = running(SUSPENDED, ended, recorded_pods=frozenset({POD_UID}))
    decision = decide_sandbox(seen, at(11))
    status = status_of(decision)
    assert (status["state"], status["reason"]) == ("Stopped", "Suspended")
    assert status["conditions"] == [], "Current to kstatus"
    assert status["runtimeSeconds"] == 10
    assert ReleasePod(pod_uid=POD_UID) in decision.actions
    after = replace(seen, status=merged(seen.status, status), pods=())
    assert decide_sandbox(after, at(60)).actions == (), "and it stays so"


def stopped(**changes: Any) -> SeenSandbox:
    """A suspended Sandbox without a pod, whose owner wants it back."""
    status = RUNNING | {"state": "Stopped", "reason": "Suspended", "conditions": []}
    return make_seen_sandbox(spec=SandboxSpec(), status=status, **changes)


def test_resume_makes_the_next_incarnation_at_once_for_the_rest_of_its_lifetime() -> None:
    (create,) = [one for one in decide_sandbox(stopped(), at(100)).actions
                 if isinstance(one, CreatePod)]  # fmt: skip
    assert create == CreatePod(incarnation=2, lifetime_seconds=86_400 - 100)


def test_resume_waits_for_the_old_pod_and_calls_nothing_lost() -> None:
    leaving = replace(stopped(), pods=(make_pod(deleting=True),))
    assert decide_sandbox(leaving, at(5)).actions == ()
    ended = replace(stopped(), pods=(make_ended_pod(deleting=True),))
    decision = decide_sandbox(ended, at(6))
    assert WriteStatus not in kinds(decision)
    assert CreatePod in kinds(decision)


def test_resume_before_the_pod_went_just_goes_on() -> None:
    status = RUNNING | {"state": "Running", "reason": "Suspending"}
    decision = decide_sandbox(running(SandboxSpec(), status=status), at(5))
    assert status_of(decision)["reason"] == "Running"
    assert CreatePod not in kinds(decision)


def test_lifetime_goes_on_while_it_is_suspended() -> None:
    seen = replace(stopped(), spec=SandboxSpec(suspend=True, lifetime_seconds=60))
    assert decide_sandbox(seen, at(59)).requeue_after_seconds == pytest.approx(1.0)
    assert status_of(decide_sandbox(seen, at(60)))["reason"] == "LifetimeExpired"


def test_suspended_says_what_will_be_objected_to_on_resume() -> None:
    seen = replace(stopped(), spec=SUSPENDED, class_objection="spec.resources.cpu: too much.")
    message = status_of(decide_sandbox(seen, at(5)))["message"]
    assert message.endswith("It cannot be resumed as it is: spec.resources.cpu: too much.")


def test_suspended_from_the_start_never_has_a_pod() -> None:
    decision = decide_sandbox(make_seen_sandbox(spec=SUSPENDED), at(1))
    assert status_of(decision)["state"] == "Stopped"
    assert CreatePod not in kinds(decision)


IDLE = SandboxSpec(idle_timeout_seconds=30)
IDLENESS: dict[str, tuple[dict[str, Any], float, bool]] = {
    "no Execution since its start": ({}, 30, True),
    "not for long enough": ({}, 29.5, False),
    "an Execution ended in between": (
        {"activity": Activity(completed=1, last_time="2026-01-02T03:04:25.000Z")}, 40, False),
    "an Execution that is gone by now ended in between": (
        {"status": RUNNING | {"lastActivityTime": "2026-01-02T03:04:25.000Z"}}, 40, False),
    "long after the last one": (
        {"activity": Activity(completed=1, last_time="2026-01-02T03:04:25.000Z")}, 50, True),
    "one runs": ({"activity": Activity(running=1)}, 500, False),
    "one waits": ({"activity": Activity(queued=1)}, 500, False),
    "one is being handed over": ({"running_executions": 1}, 500, False),
}  # fmt: skip


@pytest.mark.parametrize("name", IDLENESS)
def test_idle_sandbox_is_terminated(name: str) -> None:
    changes, after, want = IDLENESS[name]
    decision = decide_sandbox(running(IDLE, **changes), at(after))
    reasons = [one.status.get("reason") for one in decision.actions if isinstance(one, WriteStatus)]
    assert ("IdleExpired" in reasons) == want
    if not want and "500" not in str(after):
        assert decision.requeue_after_seconds is not None
        assert decision.requeue_after_seconds <= 30


def test_sandbox_whose_pod_is_not_there_is_not_idle() -> None:
    decision = decide_sandbox(make_seen_sandbox(spec=IDLE), at(500))
    assert CreatePod in kinds(decision)


WEB = NetworkProfile(name="web", egress=(Egress(dns=True),))
OBJECTIONS = {
    "an unknown profile": (
        SandboxSpec(network="lan"),
        'spec.network: SandboxClass "python" has no network profile "lan"; it has: none, web.',
    ),
    "a workspace over the class's disk": (
        SandboxSpec(workspace=Workspace(size_bytes=3 * 2**30)),
        "spec.workspace.size: 3Gi is over the 2Gi",
    ),
    "a known profile": (SandboxSpec(network="web"), ""),
    "none is always there": (SandboxSpec(network="none"), ""),
}


@pytest.mark.parametrize("name", OBJECTIONS)
def test_objections_of_the_class(name: str) -> None:
    spec, want = OBJECTIONS[name]
    objection = object_to_sandbox(spec, make_class_spec(network_profiles=(WEB,)), "python")
    assert objection.startswith(want) if want else objection == ""


def test_workspace_is_as_large_as_asked_else_as_the_disk() -> None:
    of = make_class_spec()
    disk = Resources(disk_bytes=5 * 2**20)
    assert workspace_bytes(SandboxSpec(), of) == 2**30
    assert workspace_bytes(SandboxSpec(resources=disk, workspace=Workspace()), of) == 5 * 2**20
    asked = SandboxSpec(resources=disk, workspace=Workspace(size_bytes=7))
    assert workspace_bytes(asked, of) == 7
