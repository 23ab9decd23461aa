"""Before dispatch: what an Execution waits for, and what ends it before any code ran."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from soulbox.kinds.execution.decide.actions import Dispatch, FollowRun, ForgetDispatch
from soulbox.kinds.execution.decide.decision import decide_execution
from soulbox.kinds.execution.decide.seen import RunProblem, SeenExecution, Turn
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import NO_NETWORK, CodeMissing, ExecutionSpec
from soulbox.model.states import ExecutionReason, SandboxReason, SandboxState
from soulbox.pure.actions import (
    AddFinalizer,
    CreatePod,
    EnsureNetworkPolicy,
    PostEvent,
    ProbeRunner,
    WriteStatus,
)
from soulbox.pure.pods.view import EndCause, PodView, Trouble
from tests.support.fix_clock import NOW, at
from tests.support.seen import (
    BOX_UID,
    POD_UID,
    make_ended_pod,
    make_one_shot,
    make_pending_pod,
    make_pod,
    make_sandbox_seen,
    make_seen,
    make_terms,
)


@dataclass(frozen=True)
class Waits:
    """One wait: at NOW + `after` seconds."""

    seen: SeenExecution
    want_message: str = ""  # part of what the status says; "" for no write
    want_requeue_seconds: float | None = None
    after: float = 2.0
    want_event: bool = False


BEHIND = Turn(position=3, running=1, room=1)
NOT_FOUND = {"sandbox": None, "pod": None, "sandbox_class": None}
TROUBLE = Trouble(reason=SandboxReason.IMAGE_PULL_FAILED, message="no such image")

WAITS = {
    "a wait under a second is normal life and costs no write": Waits(
        make_seen(turn=BEHIND), after=0.25, want_requeue_seconds=0.75
    ),
    "a full sandbox": Waits(
        make_seen(turn=BEHIND),
        want_message="1 Execution runs there, 1 may at once, 2 wait before it",
        want_requeue_seconds=3.0,
    ),
    "a wait over five seconds is worth an Event; its place is looked at now and then": Waits(
        make_seen(turn=BEHIND),
        after=5.0,
        want_message="Waiting for its turn",
        want_event=True,
        want_requeue_seconds=30.0,
    ),
    "a sandbox that does not exist yet, looked at again by the end of its minute": Waits(
        make_seen(**NOT_FOUND),
        after=58.0,
        want_message='Sandbox "box" does not exist in namespace "team-a"; create it',
        want_requeue_seconds=2.0,
        want_event=True,
    ),
    "a sandbox that does not exist yet, the next threshold sooner than the last": Waits(
        make_seen(**NOT_FOUND),
        after=2.0,
        want_message="does not exist",
        want_requeue_seconds=3.0,
    ),
    "a sandbox that is starting": Waits(
        make_seen(
            sandbox=make_sandbox_seen(state=SandboxState.STARTING, message="Its pod is starting."),
            pod=None,
        ),
        want_message='Waiting for Sandbox "box" (Starting): Its pod is starting.',
        want_requeue_seconds=3.0,
    ),
    "a sandbox in error": Waits(
        make_seen(sandbox=make_sandbox_seen(state=SandboxState.ERROR, message="no quota")),
        want_message='Waiting for Sandbox "box" (Error): no quota',
        want_requeue_seconds=3.0,
    ),
    "a running sandbox whose runner has not answered this operator": Waits(
        make_seen(pod_ready=False),
        want_message='Waiting for the runner of Sandbox "box" to answer.',
        want_requeue_seconds=3.0,
    ),
    "a sandbox whose class is gone": Waits(
        make_seen(sandbox_class=None),
        want_message='SandboxClass "python" does not exist',
        want_requeue_seconds=3.0,
    ),
    "a sandbox that is malformed": Waits(
        make_seen(
            sandbox=make_sandbox_seen(state=SandboxState.ERROR, message="spec.env: bad"),
            sandbox_class=None,
            class_name="",
            pod=None,
        ),
        want_message='Waiting for Sandbox "box" (Error): spec.env: bad',
        want_requeue_seconds=3.0,
    ),
    "a running sandbox whose pod the cache does not have": Waits(
        make_seen(pod=None), want_message="Waiting for Sandbox", want_requeue_seconds=3.0
    ),
    "code that is not there yet, in a sandbox": Waits(
        make_seen(code_missing=CodeMissing(message='ConfigMap "c" does not exist; create it.')),
        want_message='ConfigMap "c" does not exist; create it.',
        want_requeue_seconds=2.0,
    ),
    "code that is not there yet, before a pod is paid for": Waits(
        make_one_shot(code_missing=CodeMissing(message="no key")),
        want_message="no key",
        want_requeue_seconds=2.0,
    ),
    "code that is not there yet is looked for often as long as it may come": Waits(
        make_seen(code_missing=CodeMissing(message="no key")),
        after=30.0,
        want_message="no key",
        want_event=True,
        want_requeue_seconds=2.0,
    ),
    "a sandbox that cannot run as it is, which somebody may still mend": Waits(
        make_seen(
            sandbox=make_sandbox_seen(
                state=SandboxState.ERROR, message="spec.resources: too much", stalled_since=at(-90)
            )
        ),
        after=3.0,
        want_message='Waiting for Sandbox "box" (Error): spec.resources: too much',
        want_requeue_seconds=2.0,
    ),
    "a class that does not exist yet": Waits(
        make_one_shot(sandbox_class=None, class_name="gpu"),
        want_message='SandboxClass "gpu" does not exist',
        want_requeue_seconds=3.0,
    ),
    "its pod starts": Waits(
        make_one_shot(make_pending_pod()),
        want_message="Waiting for its pod to start.",
        want_requeue_seconds=3.0,
    ),
    "its pod has trouble that may heal": Waits(
        make_one_shot(make_pending_pod(trouble=TROUBLE)),
        want_message="Its pod cannot start: no such image",
        want_requeue_seconds=3.0,
    ),
    "its pod cannot be scheduled, for ever so long": Waits(
        make_one_shot(
            make_pending_pod(
                trouble=Trouble(reason=SandboxReason.UNSCHEDULABLE, message="0/1 nodes")
            )
        ),
        after=3600.0,
        want_message="0/1 nodes",
        want_event=True,
    ),
}


@pytest.mark.parametrize("case", WAITS.values(), ids=WAITS.keys())
def test_waiting_execution_stays_queued_and_says_why(case: Waits) -> None:
    decision = decide_execution(case.seen, at(case.after))

    writes = [one for one in decision.actions if isinstance(one, WriteStatus)]
    events = [one for one in decision.actions if isinstance(one, PostEvent)]
    assert len(writes) + len(events) == len(decision.actions)
    if case.want_message:
        (write,) = writes
        assert case.want_message in write.status["message"]
        assert write.status["state"] == "Queued"
        assert "reason" not in write.status, "reasons are of ends"
        assert write.status["queuedTime"] == "2026-01-02T03:04:05.000Z"
        assert {one["type"]: one["status"] for one in write.status["conditions"]} == {
            "Finished": "False",
            "Succeeded": "Unknown",
            "Ready": "Unknown",
            "Reconciling": "True",
        }
    else:
        assert not writes
    assert [one.reason for one in events] == (["Waiting"] if case.want_event else [])
    assert decision.requeue_after_seconds == (
        None
        if case.want_requeue_seconds is None
        else pytest.approx(case.want_requeue_seconds, abs=1e-6)
    )


@pytest.mark.parametrize("after", [2.0, 7.0])
def test_wait_that_is_written_already_is_not_written_again(after: float) -> None:
    seen = make_seen(turn=BEHIND)
    (write, *_) = decide_execution(seen, at(2.0)).actions
    assert isinstance(write, WriteStatus)

    again = decide_execution(make_seen(turn=BEHIND, status=write.status), at(after))

    assert not [one for one in again.actions if isinstance(one, WriteStatus)]


TWO_SECONDS_LATER = at(2.0)


@dataclass(frozen=True)
class Ends:
    """An end before any code ran."""

    seen: SeenExecution
    want_state: str
    want_reason: str
    want_message: str
    now: datetime = TWO_SECONDS_LATER


CANCEL = ExecutionSpec(sandbox_name="box", code="1", cancel=True)
INVALID = InvalidManifest("spec.files[0].path", "leaves the workspace", "make it relative")

ENDS = {
    "cancelled while it waits": Ends(
        make_seen(spec=CANCEL, turn=BEHIND),
        "Cancelled",
        "Cancelled",
        "was cancelled (spec.cancel) before its code started",
    ),
    "deleted while it waits": Ends(
        make_seen(deleting=True, turn=BEHIND),
        "Cancelled",
        "Cancelled",
        "was deleted before its code started",
    ),
    "its namespace is deleted while it waits": Ends(
        make_seen(namespace_ending=True, turn=BEHIND),
        "Cancelled",
        "Cancelled",
        "The Execution's namespace was deleted before its code started",
    ),
    "deleted, and malformed besides": Ends(
        make_seen(deleting=True, spec=INVALID), "Cancelled", "Cancelled", "was deleted"
    ),
    "a stored spec that cannot be acted on": Ends(
        make_seen(spec=INVALID),
        "Failed",
        "InvalidSpec",
        "spec.files[0].path: leaves the workspace; make it relative",
    ),
    "its sandbox never came": Ends(
        make_seen(**NOT_FOUND),
        "Failed",
        "SandboxNotFound",
        'Sandbox "box" does not exist in namespace "team-a"',
        now=at(60.0),
    ),
    "its sandbox has ended": Ends(
        make_seen(
            sandbox=make_sandbox_seen(state=SandboxState.TERMINATED, message="lifetime over")
        ),
        "Failed",
        "SandboxTerminated",
        'Sandbox "box" has ended: lifetime over',
    ),
    "its sandbox is being deleted": Ends(
        make_seen(sandbox=make_sandbox_seen(deleting=True)),
        "Failed",
        "SandboxTerminated",
        'Sandbox "box" was deleted.',
    ),
    "a language its sandbox's class does not have": Ends(
        make_seen(class_objection="spec.language: no interpreter"),
        "Failed",
        "InvalidSpec",
        "spec.language: no interpreter",
    ),
    "a language its own class does not have": Ends(
        make_one_shot(class_objection="spec.language: no interpreter"),
        "Failed",
        "InvalidSpec",
        "spec.language: no interpreter",
    ),
    "its class never came": Ends(
        make_one_shot(sandbox_class=None, class_name="gpu"),
        "Failed",
        "InvalidSpec",
        'SandboxClass "gpu" does not exist',
        now=at(60.0),
    ),
    "its class is there, and malformed": Ends(
        make_one_shot(
            sandbox_class=None,
            class_name="gpu",
            class_objection='SandboxClass "gpu": spec.image: missing',
        ),
        "Failed",
        "InvalidSpec",
        'SandboxClass "gpu": spec.image: missing',
    ),
    "its code never came, in a sandbox": Ends(
        make_seen(code_missing=CodeMissing(message="no such key")),
        "Failed",
        "InvalidSpec",
        "no such key",
        now=at(60.0),
    ),
    "its code never came, one-shot": Ends(
        make_one_shot(code_missing=CodeMissing(message="no such key")),
        "Failed",
        "InvalidSpec",
        "no such key",
        now=at(61.0),
    ),
    "its sandbox is somebody else's to pay for": Ends(
        make_seen(sandbox=make_sandbox_seen(user="mia")),
        "Failed",
        "InvalidSpec",
        'spec.user: Sandbox "box" is billed to "mia" and runs only Executions of that spec.user',
    ),
    "its sandbox has not been able to run for a minute": Ends(
        make_seen(
            sandbox=make_sandbox_seen(
                state=SandboxState.ERROR, message="spec.resources: too much", stalled_since=at(0)
            )
        ),
        "Failed",
        "InvalidSpec",
        'Sandbox "box" cannot run: spec.resources: too much',
        now=at(60.0),
    ),
    "its sandbox was found wanting while it waited for something else": Ends(
        make_seen(
            sandbox=make_sandbox_seen(
                state=SandboxState.ERROR, message="spec.resources: too much", stalled_since=at(30)
            )
        ),
        "Failed",
        "InvalidSpec",
        'Sandbox "box" cannot run',
        now=at(90.0),
    ),
    "its runner ended by itself before it could be asked": Ends(
        make_one_shot(make_ended_pod(end_message="exit code 2")),
        "Failed",
        "StartFailed",
        "Its pod ended (exit code 2). None of its code ran.",
    ),
    "its third pod was evicted before it could be asked": Ends(
        make_one_shot(
            make_ended_pod(end_cause=EndCause.EVICTED, end_message="low", incarnation=3),
            lost_attempts=2,
        ),
        "Failed",
        "Evicted",
        "Its pod was evicted (low). None of its code ran.",
    ),
    "its pod's image cannot be pulled for a minute": Ends(
        make_one_shot(make_pending_pod(trouble=TROUBLE)),
        "Failed",
        "ImagePullFailed",
        "Its pod cannot start: no such image",
        now=at(60.0),
    ),
    "its pod cannot start for a minute": Ends(
        make_one_shot(
            make_pending_pod(
                trouble=Trouble(reason=SandboxReason.START_FAILED, message="no such user")
            )
        ),
        "Failed",
        "StartFailed",
        "Its pod cannot start: no such user",
        now=at(60.0),
    ),
    "its pod is over the namespace's quota for a minute": Ends(
        make_one_shot(
            pod_refusal=RunProblem(
                reason=ExecutionReason.QUOTA_EXCEEDED, message="exceeded quota: pods=0"
            ),
            refused_seconds=60.0,
        ),
        "Failed",
        "QuotaExceeded",
        "exceeded quota: pods=0",
        now=at(600.0),
    ),
}


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS.keys())
def test_execution_that_cannot_run_ends_with_reason_and_event(case: Ends) -> None:
    decision = decide_execution(case.seen, case.now)

    *before, write, event = decision.actions
    # An object that is going takes no finalizer any more.
    held = case.seen.deleting or case.seen.has_finalizer
    assert before == ([] if held else [AddFinalizer()])
    assert isinstance(write, WriteStatus)
    assert isinstance(event, PostEvent)
    assert write.status["state"] == case.want_state
    assert write.status["reason"] == case.want_reason
    assert case.want_message in write.status["message"]
    # That somebody wanted it so is no warning.
    severity = "Normal" if case.want_state == "Cancelled" else "Warning"
    assert (event.type, event.reason) == (severity, case.want_reason)
    assert write.status["error"]["type"] == case.want_reason
    assert "completionTime" in write.status
    for never in ("startTime", "output", "exitCode", "usage", "billing", "receipt"):
        assert never not in write.status, "no code has run"
    assert decision.requeue_after_seconds is None


def test_finalizer_that_is_there_is_not_added_again() -> None:
    seen = make_seen(has_finalizer=True, spec=INVALID)
    assert AddFinalizer() not in decide_execution(seen, NOW).actions


GOES_ON: dict[str, tuple[SeenExecution, tuple[Any, ...], float | None]] = {
    "a free slot in a running sandbox: the annotation, then the run": (
        make_seen(),
        (
            Dispatch(pod_uid=POD_UID, attempt=1, sandbox_uid=BOX_UID, terms=make_terms()),
            FollowRun(pod_uid=POD_UID, attempt=1, may_start=True),
        ),
        None,
    ),
    "a one-shot without a pod makes one, finalizer first": (
        make_one_shot(),
        (
            EnsureNetworkPolicy(profile=NO_NETWORK),
            AddFinalizer(),
            CreatePod(incarnation=1, lifetime_seconds=None),
        ),
        5.0,
    ),
    "a one-shot whose finalizer is there already": (
        make_one_shot(has_finalizer=True),
        (EnsureNetworkPolicy(profile=NO_NETWORK), CreatePod(incarnation=1, lifetime_seconds=None)),
        5.0,
    ),
    "a one-shot's pod runs and its runner has not answered": (
        make_one_shot(make_pod(), pod_ready=False),
        (ProbeRunner(pod_uid=POD_UID),),
        60.0,
    ),
    "a one-shot's runner answers": (
        make_one_shot(make_pod()),
        (
            Dispatch(pod_uid=POD_UID, attempt=1, sandbox_uid=None, terms=make_terms()),
            FollowRun(pod_uid=POD_UID, attempt=1, may_start=True),
        ),
        None,
    ),
}


@pytest.mark.parametrize("name", GOES_ON)
def test_execution_whose_turn_it_is_goes_on(name: str) -> None:
    seen, want_actions, want_requeue_seconds = GOES_ON[name]
    decision = decide_execution(seen, NOW)
    assert decision.actions == want_actions
    assert decision.requeue_after_seconds == want_requeue_seconds


def test_refused_pod_is_shown_and_tried_again_until_its_minute_is_over() -> None:
    refusal = RunProblem(reason=ExecutionReason.QUOTA_EXCEEDED, message="exceeded quota")
    seen = make_one_shot(pod_refusal=refusal)

    first = decide_execution(seen, at(2.0))
    assert [type(one) for one in first.actions] == [WriteStatus]
    assert isinstance(first.actions[0], WriteStatus)
    assert first.actions[0].status["message"] == "exceeded quota"

    shown = make_one_shot(pod_refusal=refusal, status=first.actions[0].status)
    again = decide_execution(shown, at(7.0))
    assert CreatePod(incarnation=1, lifetime_seconds=None) in again.actions
    assert not [one for one in again.actions if isinstance(one, WriteStatus)]


def test_status_that_no_release_ever_wrote_reads_as_queued() -> None:
    seen = make_seen(status={"state": "Exploded"})
    assert isinstance(decide_execution(seen, NOW).actions[0], Dispatch)


def test_pod_that_cannot_pull_is_looked_at_when_its_minute_is_over() -> None:
    """A kubelet that may not pull at all says so once, and never again."""
    seen = make_one_shot(make_pending_pod(trouble=TROUBLE, created_at=NOW))
    assert decide_execution(seen, at(7.0)).requeue_after_seconds == pytest.approx(53.0)
    ended = decide_execution(seen, at(60.0)).actions
    (write,) = [one for one in ended if isinstance(one, WriteStatus)]
    assert write.status["reason"] == "ImagePullFailed"


UNUSED = {
    "deleted while it was pending": make_pending_pod(deleting=True),
    "evicted": make_ended_pod(end_cause=EndCause.EVICTED),
    "its node was lost": make_ended_pod(end_cause=EndCause.NODE_LOST),
    "rejected by its node (OutOfcpu)": make_ended_pod(end_cause=EndCause.UNKNOWN, started_at=None),
}


@pytest.mark.parametrize("pod", UNUSED.values(), ids=UNUSED.keys())
def test_one_shot_whose_pod_went_before_its_code_ran_gets_another(pod: PodView) -> None:
    forget, event = decide_execution(make_one_shot(pod), NOW).actions
    assert forget == ForgetDispatch(attempts=1)
    assert isinstance(event, PostEvent)
    assert event.message.endswith("None of its code ran. It gets another pod.")
    again = make_one_shot(lost_attempts=1, own_pods=(pod,), has_finalizer=True)
    assert CreatePod(incarnation=2, lifetime_seconds=None) in decide_execution(again, NOW).actions


def test_full_quota_is_waited_for_as_long_as_the_queue_timeout_allows() -> None:
    refusal = RunProblem(reason=ExecutionReason.QUOTA_EXCEEDED, message="exceeded quota")
    spec = ExecutionSpec(class_name="python", code="1", queue_timeout_seconds=3600)
    seen = make_one_shot(spec=spec, pod_refusal=refusal, refused_seconds=1800.0)
    assert "completionTime" not in str(decide_execution(seen, at(1800)).actions)
    (write,) = [
        one for one in decide_execution(seen, at(3600)).actions if isinstance(one, WriteStatus)
    ]
    assert write.status["reason"] == "QueueTimeout"
    other = replace(seen, pod_refusal=replace(refusal, reason=ExecutionReason.START_FAILED))
    assert "StartFailed" in str(decide_execution(other, at(1800)).actions)


def test_refusal_after_a_loss_has_its_own_minute() -> None:
    refusal = RunProblem(reason=ExecutionReason.QUOTA_EXCEEDED, message="exceeded quota")
    seen = make_one_shot(pod_refusal=refusal, refused_seconds=5.0, lost_attempts=1)
    assert "completionTime" not in str(decide_execution(seen, at(5000)).actions)
    # queueTimeoutSeconds bounds nothing after a run that was lost: it must not make this endless.
    spec = ExecutionSpec(class_name="python", code="1", queue_timeout_seconds=3600, idempotent=True)
    again = replace(seen, spec=spec, status={"state": "Queued", "attempt": 1})
    assert "completionTime" not in str(decide_execution(again, at(5000)).actions)
    ended = decide_execution(replace(again, refused_seconds=60.0), at(5000)).actions
    assert [one.status.get("reason") for one in ended if isinstance(one, WriteStatus)] == [
        "QuotaExceeded"
    ]
