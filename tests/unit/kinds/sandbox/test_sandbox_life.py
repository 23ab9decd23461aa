"""A Sandbox that lives: first pod, ready, counters, and what keeps it from starting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from soulbox.kinds.sandbox.decide.actions import Action, Decision
from soulbox.kinds.sandbox.decide.decision import decide_sandbox
from soulbox.kinds.sandbox.decide.seen import Activity, PodRefusal, SeenSandbox
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import NO_NETWORK, Resources, SandboxSpec
from soulbox.model.states import SandboxReason
from soulbox.model.times import parse_time
from soulbox.pure.actions import (
    AddFinalizer,
    AskWhyPending,
    CreatePod,
    DeletePod,
    EnsureNetworkPolicy,
    PostEvent,
    ProbeRunner,
    ReleasePod,
    WriteStatus,
)
from soulbox.pure.pods.view import Trouble
from tests.support.fix_clock import NOW, at
from tests.support.seen import (
    POD_UID,
    make_ended_pod,
    make_pending_pod,
    make_pod,
    make_seen_sandbox,
    merged,
)

READY = frozenset({POD_UID})
DAY = 86_400
START = (EnsureNetworkPolicy(profile=NO_NETWORK), CreatePod(incarnation=1, lifetime_seconds=DAY))


def written(decision: Decision) -> dict[str, Any]:
    """What its one status write says."""
    (write,) = [one for one in decision.actions if isinstance(one, WriteStatus)]
    return dict(write.status)


def after(seen: SeenSandbox, decision: Decision, **changes: Any) -> SeenSandbox:
    """The Sandbox once the decision's status write is stored."""
    status = seen.status
    for action in decision.actions:
        if isinstance(action, WriteStatus):
            status = merged(status, action.status)
    return replace(seen, status=status, **changes)


def running(**changes: Any) -> SeenSandbox:
    """A Sandbox that is Running and says so."""
    seen = make_seen_sandbox(make_pod(), ready_pods=READY)
    return replace(after(seen, decide_sandbox(seen, NOW)), **changes)


def test_new_sandbox_takes_its_finalizer_then_policy_and_pod() -> None:
    seen = make_seen_sandbox(has_finalizer=False)
    assert decide_sandbox(seen, NOW) == Decision(actions=(AddFinalizer(), *START))


def test_finalizer_that_is_there_is_not_added_again() -> None:
    assert decide_sandbox(make_seen_sandbox(), NOW) == Decision(actions=START)


def test_pod_gets_the_most_that_its_class_allows_so_that_its_life_can_be_made_longer() -> None:
    seen = make_seen_sandbox(spec=SandboxSpec(lifetime_seconds=60))
    assert decide_sandbox(seen, NOW).actions[-1] == CreatePod(incarnation=1, lifetime_seconds=DAY)


@pytest.mark.parametrize(("asked", "want"), [(120, 120), (2 * DAY, DAY)])
def test_lifetime_that_was_raised_is_in_force_up_to_the_class_s_maximum(
    asked: int, want: int
) -> None:
    seen = running(spec=SandboxSpec(lifetime_seconds=asked), class_objection="spec.lifetimeSeconds")
    decision = decide_sandbox(seen, NOW)
    status = written(decision)
    started, ends = seen.pods[0].started_at, parse_time(status["expirationTime"])
    assert started is not None
    assert ends is not None
    assert (ends - started).total_seconds() == want
    assert "Over its class: spec.lifetimeSeconds" in status["message"]
    assert decide_sandbox(seen, at(want + 10)).actions != decision.actions


@pytest.mark.parametrize("objection", ["", 'SandboxClass "python": spec.image: missing'])
def test_sandbox_whose_class_is_gone_goes_on_and_says_that_nothing_can_begin(
    objection: str,
) -> None:
    seen = running(sandbox_class=None, class_objection=objection)
    decision = decide_sandbox(seen, NOW)
    status = written(decision)
    assert (status["state"], status["reason"]) == ("Running", "ClassNotFound")
    assert (objection or "does not exist any more") in status["message"]
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    assert conditions == {"Ready": "False", "Reconciling": "True"}
    again = decide_sandbox(after(seen, decision), NOW)
    assert not again.actions, "said once"
    ends = parse_time(seen.status["expirationTime"])
    assert ends is not None
    over = decide_sandbox(after(seen, decision), ends)
    assert written(over)["reason"] == "LifetimeExpired", "its lifetime holds all the same"


def test_pod_that_starts_as_fast_as_most_costs_no_write() -> None:
    seen = make_seen_sandbox(make_pending_pod())
    assert decide_sandbox(seen, at(1.25)) == Decision(requeue_after_seconds=0.75)


def test_pod_that_takes_longer_is_written_as_starting_once_without_an_event() -> None:
    seen = make_seen_sandbox(make_pending_pod())
    decision = decide_sandbox(seen, at(2.0))
    (write,) = decision.actions
    assert isinstance(write, WriteStatus)
    assert (write.status["state"], write.status["reason"]) == ("Starting", "PodStarting")
    assert write.status["pod"]["uid"] == POD_UID
    assert decide_sandbox(after(seen, decision), at(9.0)) == Decision(requeue_after_seconds=1.0)
    # Then its Events may say what its status does not.
    assert decide_sandbox(after(seen, decision), at(10.0)) == Decision(
        actions=(AskWhyPending(pod_uid=POD_UID),), requeue_after_seconds=10.0
    )


TROUBLE = Trouble(reason=SandboxReason.IMAGE_PULL_FAILED, message="no such image")


def test_pod_that_cannot_start_is_shown_at_once_with_a_warning_once() -> None:
    seen = make_seen_sandbox(make_pending_pod(trouble=TROUBLE))
    decision = decide_sandbox(seen, NOW)
    write, event = decision.actions
    assert isinstance(write, WriteStatus)
    assert (write.status["state"], write.status["reason"]) == ("Starting", "ImagePullFailed")
    assert write.status["message"] == "no such image"
    assert event == PostEvent(
        type="Warning", reason="ImagePullFailed", message="no such image", action="Reconcile"
    )
    assert decide_sandbox(after(seen, decision), at(60.0)) == Decision()


def test_trouble_whose_words_change_is_written_without_another_event() -> None:
    seen = make_seen_sandbox(make_pending_pod(trouble=TROUBLE))
    told = after(seen, decide_sandbox(seen, NOW))
    other = Trouble(reason=SandboxReason.IMAGE_PULL_FAILED, message="back-off")
    decision = decide_sandbox(replace(told, pods=(make_pending_pod(trouble=other),)), at(2.0))
    assert [type(one) for one in decision.actions] == [WriteStatus]
    assert written(decision)["message"] == "back-off"


def test_pod_that_runs_is_asked_until_its_runner_answers() -> None:
    decision = decide_sandbox(make_seen_sandbox(make_pod()), NOW)
    assert decision.actions == (ProbeRunner(pod_uid=POD_UID),)
    assert decision.requeue_after_seconds == DAY


def test_runner_that_answers_makes_the_sandbox_running() -> None:
    seen = make_seen_sandbox(make_pod(runtime_class="gvisor"), ready_pods=READY)
    write, event = decide_sandbox(seen, at(2.0)).actions
    assert isinstance(write, WriteStatus)
    assert write.status == {
        "state": "Running",
        "reason": "Running",
        "message": "Its runner answers; Executions can run.",
        "observedGeneration": 1,
        "incarnation": 1,
        "resources": {"cpu": "250m", "memory": "256Mi", "disk": "1Gi", "pids": 128},
        "pod": {
            "name": "box-0123456789",
            "uid": POD_UID,
            "node": "node-1",
            "ip": "10.0.0.7",
            "imageID": "soulbox/python@sha256:abc",
            "runtimeClass": "gvisor",
            "startTime": "2026-01-02T03:04:05.000Z",
        },
        "startTime": "2026-01-02T03:04:05.000Z",
        "expirationTime": "2026-01-03T03:04:05.000Z",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Running",
                "message": "Its runner answers; Executions can run.",
                "lastTransitionTime": "2026-01-02T03:04:07.000Z",
                "observedGeneration": 1,
            }
        ],
    }
    assert event == PostEvent(
        type="Normal",
        reason="Ready",
        message="Its runner answers; Executions can run. (Incarnation 1.)",
        action="Reconcile",
    )


def test_running_sandbox_costs_nothing_until_its_lifetime_is_over() -> None:
    assert decide_sandbox(running(), at(100.0)) == Decision(requeue_after_seconds=DAY - 100.0)


def test_limits_that_it_asks_for_are_shown() -> None:
    spec = SandboxSpec(resources=Resources(cpu_millicores=500))
    seen = make_seen_sandbox(make_pod(), ready_pods=READY, spec=spec)
    assert written(decide_sandbox(seen, NOW))["resources"] == {
        "cpu": "500m",
        "memory": "256Mi",
        "disk": "1Gi",
        "pids": 128,
    }


def test_second_pod_keeps_the_first_one_s_start_and_takes_the_old_one_s_fields_out() -> None:
    seen = running(
        status=running().status
        | {"pod": {"uid": "old", "finishTime": "2026-01-02T04:00:00.000Z", "node": "gone"}},
        pods=(make_pod(incarnation=2, node=None, started_at=at(10)),),
    )
    status = written(decide_sandbox(seen, at(11.0)))
    assert "startTime" not in status
    assert status["incarnation"] == 2
    assert status["pod"]["startTime"] == "2026-01-02T03:04:15.000Z"
    # A merge patch keeps what it does not name.
    assert status["pod"]["finishTime"] is None
    assert status["pod"]["node"] is None


@dataclass(frozen=True)
class Stuck:
    """What keeps a Sandbox from having a pod."""

    seen: SeenSandbox
    want_state: str
    want_reason: str
    want_message: str
    want_stalled: bool


INVALID = InvalidManifest("spec.env[0].name", "occurs twice", "remove one of the two")

STUCK = {
    "a stored spec that cannot be acted on": Stuck(
        make_seen_sandbox(spec=INVALID), "Error", "InvalidSpec", "spec.env[0].name", True
    ),
    "its class does not exist": Stuck(
        make_seen_sandbox(spec=SandboxSpec(class_name="gpu"), sandbox_class=None),
        "Created",
        "ClassNotFound",
        'SandboxClass "gpu" does not exist; create it',
        False,
    ),
    "its class is malformed": Stuck(
        make_seen_sandbox(sandbox_class=None, class_objection='SandboxClass "python": bad'),
        "Error",
        "InvalidSpec",
        'SandboxClass "python": bad',
        True,
    ),
    "its class does not allow it": Stuck(
        make_seen_sandbox(class_objection="spec.resources.cpu: too much"),
        "Error",
        "InvalidSpec",
        "spec.resources.cpu: too much",
        True,
    ),
}


@pytest.mark.parametrize("case", STUCK.values(), ids=STUCK.keys())
def test_sandbox_that_cannot_have_a_pod_says_why_once(case: Stuck) -> None:
    decision = decide_sandbox(case.seen, NOW)
    status = written(decision)
    assert (status["state"], status["reason"]) == (case.want_state, case.want_reason)
    assert status["message"].startswith(case.want_message)
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    want = {"Stalled": "True"} if case.want_stalled else {"Reconciling": "True"}
    assert conditions == {"Ready": "False"} | want
    events = [one for one in decision.actions if isinstance(one, PostEvent)]
    # A class may follow in a moment: no Event for that.
    assert [one.reason for one in events] == ([case.want_reason] if case.want_stalled else [])
    assert not [one for one in decision.actions if isinstance(one, CreatePod)]

    assert decide_sandbox(after(case.seen, decision), at(60.0)) == Decision()


def test_what_runs_goes_on_without_its_class() -> None:
    actions = decide_sandbox(running(sandbox_class=None), at(60.0)).actions
    assert {type(one) for one in actions} == {WriteStatus, PostEvent}


def test_refused_pod_is_shown_once_and_tried_again() -> None:
    refusal = PodRefusal(reason=SandboxReason.QUOTA_EXCEEDED, message="exceeded quota: pods=0")
    seen = make_seen_sandbox(pod_refusal=refusal)
    decision = decide_sandbox(seen, NOW)
    write, event, *rest = decision.actions
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert (write.status["state"], write.status["reason"]) == ("Error", "QuotaExceeded")
    assert (event.type, event.reason) == ("Warning", "QuotaExceeded")
    assert tuple(rest) == START

    assert decide_sandbox(after(seen, decision), at(10.0)).actions == START


def test_more_than_one_live_pod_leaves_the_newest_incarnation_only() -> None:
    older = make_pod(uid="older")
    newest = make_pod(incarnation=2)
    seen = running(pods=(older, newest))
    actions = decide_sandbox(seen, at(1.0)).actions
    assert DeletePod(pod_uid="older") in actions
    assert DeletePod(pod_uid=POD_UID) not in actions


def test_old_pod_that_ended_is_let_go_while_the_new_one_runs() -> None:
    gone = make_ended_pod(uid="old", deleting=True)
    seen = running(pods=(gone, make_pod(incarnation=2)), recorded_pods=frozenset({"old"}))
    assert decide_sandbox(seen, at(1.0)).actions[0] == ReleasePod(pod_uid="old")


BUSY = Activity(queued=1, running=1, completed=2, failed=3, last_time="2026-01-02T03:05:00.000Z")
COUNTED = {
    "executions": {"queued": 1, "running": 1, "completed": 2, "failed": 3},
    "lastActivityTime": "2026-01-02T03:05:00.000Z",
}


@dataclass(frozen=True)
class Counts:
    """Counters at NOW + 60 s."""

    seen: SeenSandbox
    want_actions: tuple[Action, ...] = ()
    want_requeue_seconds: float = DAY - 60.0
    now: datetime = at(60.0)  # noqa: RUF009 - a constant


COUNTS = {
    "nothing ever ran: no write": Counts(running()),
    "changed and due: one write of the counters only": Counts(
        running(activity=BUSY), (WriteStatus(status=COUNTED),)
    ),
    "changed and not due: later": Counts(
        running(activity=BUSY, activity_due_seconds=12.0), want_requeue_seconds=12.0
    ),
    "unchanged: no write": Counts(running(activity=BUSY, status=running().status | COUNTED)),
    "all Executions deleted: back to zero": Counts(
        running(status=running().status | COUNTED),
        (
            WriteStatus(
                status={"executions": {"queued": 0, "running": 0, "completed": 0, "failed": 0}}
            ),
        ),
    ),
    "a queued one before the first start has no time yet": Counts(
        running(activity=Activity(queued=1)),
        (
            WriteStatus(
                status={"executions": {"queued": 1, "running": 0, "completed": 0, "failed": 0}}
            ),
        ),
    ),
}


@pytest.mark.parametrize("case", COUNTS.values(), ids=COUNTS.keys())
def test_counters(case: Counts) -> None:
    decision = decide_sandbox(case.seen, case.now)
    assert decision.actions == case.want_actions
    assert decision.requeue_after_seconds == case.want_requeue_seconds


def test_counters_do_not_travel_with_another_write() -> None:
    seen = make_seen_sandbox(make_pod(), ready_pods=READY, activity=BUSY)
    assert "executions" not in written(decide_sandbox(seen, NOW))


def test_counters_wait_until_it_runs() -> None:
    seen = make_seen_sandbox(make_pod(), activity=BUSY)
    assert decide_sandbox(seen, NOW).actions == (ProbeRunner(pod_uid=POD_UID),)


def test_status_that_no_release_ever_wrote_reads_as_created() -> None:
    seen = make_seen_sandbox(status={"state": "Exploded", "incarnation": "many"})
    assert decide_sandbox(seen, NOW).actions == START
