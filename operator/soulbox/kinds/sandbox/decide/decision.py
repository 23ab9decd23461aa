"""What to do next about one Sandbox. ::

finalizer ─> network policy ─> pod of incarnation n ─> runner answers: Running
pod ended: its rows committed ─> pod goes ─> after a delay incarnation n + 1
lifetime over: runs end ─> pod goes ─> Terminated, the object stays
idle for too long: the same
suspended: runs end ─> pod goes ─> Stopped; resumed: incarnation n + 1
deleted: runs end ─> pod goes ─> final row committed ─> finalizer goes
"""

from datetime import datetime

from soulbox.kinds.sandbox.decide.actions import Decision
from soulbox.kinds.sandbox.decide.ends import clear, decide_suspended, end_deleted, wind_down
from soulbox.kinds.sandbox.decide.keep import keep_a_pod
from soulbox.kinds.sandbox.decide.life import (
    expiration_of,
    expire,
    expire_idle,
    idle_seconds_left,
    live_pods,
)
from soulbox.kinds.sandbox.decide.seen import SeenSandbox
from soulbox.kinds.sandbox.decide.status import News, report
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import SandboxSpec
from soulbox.model.states import SandboxReason, SandboxState
from soulbox.model.times import parse_time
from soulbox.pure.actions import (
    WriteStatus,
)


def decide_sandbox(seen: SeenSandbox, now: datetime) -> Decision:
    """The next actions for one Sandbox; the same input gives the same answer."""
    decision = _decide(seen, now)
    # Whoever replaces the object by its manifest takes it off.
    had_pod = seen.pods or seen.incarnation
    if not seen.has_finalizer and seen.deletion_time is None and had_pod:
        decision = decision.with_finalizer()
    return decision


def _decide(seen: SeenSandbox, now: datetime) -> Decision:
    ending_since = seen.deletion_time or seen.namespace_deletion_time
    if ending_since is not None:
        return end_deleted(seen, now, since=ending_since)
    if seen.state is SandboxState.TERMINATED:
        return wind_down(seen, now, since=parse_time(seen.status.get("terminationTime")) or now)
    if isinstance(seen.spec, InvalidManifest):
        return _stall(seen, SandboxReason.INVALID_SPEC, str(seen.spec), now)
    if seen.spec.suspend:
        return decide_suspended(seen, seen.spec, now)
    if not live_pods(seen):
        refused = _refuse_class(seen, seen.spec, now)
        if refused is not None:
            return refused
    expiration = expiration_of(seen, seen.spec, seen.sandbox_class)
    if expiration is not None and now >= expiration:
        return expire(seen, now)
    idle_left = idle_seconds_left(seen, seen.spec, now)
    if idle_left is not None and idle_left <= 0:
        return expire_idle(seen, seen.spec, now)
    if seen.sandbox_class is None:
        decision = _go_on_without_class(seen, seen.spec, now)
    else:
        decision = keep_a_pod(seen, seen.spec, seen.sandbox_class, now)
    if idle_left is not None:
        decision = decision.no_later_than(idle_left)
    if expiration is not None:
        decision = decision.no_later_than((expiration - now).total_seconds())
    return _count(seen, decision)


def _count(seen: SeenSandbox, decision: Decision) -> Decision:
    """Counters and last activity, when they changed and are due."""
    status = seen.activity.as_status()
    if seen.state is not SandboxState.RUNNING or any(
        isinstance(action, WriteStatus) for action in decision.actions
    ):
        return decision
    if all(seen.status.get(key) == value for key, value in status.items()):
        return decision
    if seen.status.get("executions") is None and not any(status["executions"].values()):
        return decision
    if seen.activity_due_seconds > 0:
        return decision.no_later_than(seen.activity_due_seconds)
    return Decision(
        actions=(*decision.actions, WriteStatus(status=status)),
        requeue_after_seconds=decision.requeue_after_seconds,
    )


def _refuse_class(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> Decision | None:
    """Why no pod is made under the class as it is now; None when one may be."""
    if seen.class_objection:  # first: a malformed class is objected to, and not missing
        decision = _stall(seen, SandboxReason.INVALID_SPEC, seen.class_objection, now)
    elif seen.sandbox_class is None:
        message = (
            f'SandboxClass "{spec.class_name}" does not exist; create it, or make a new '
            "Sandbox with one of `kubectl get sandboxclasses`."
        )
        news = News(
            state=SandboxState.CREATED, reason=SandboxReason.CLASS_NOT_FOUND, message=message
        )
        decision = Decision(actions=report(seen, news, now))
    else:
        return None
    return Decision(actions=(*decision.actions, *clear(seen, list(seen.pods))))


def _go_on_without_class(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> Decision:
    """What runs goes on; Executions need the class to begin."""
    running = [pod for pod in live_pods(seen) if pod.uid in seen.ready_pods]
    if seen.state is not SandboxState.RUNNING or not running:
        return Decision()
    gone = f'SandboxClass "{spec.class_name}" does not exist any more'
    news = News(
        state=SandboxState.RUNNING,
        reason=SandboxReason.CLASS_NOT_FOUND,
        message=f"{seen.class_objection or gone}. What is running goes on; no other Execution "
        "begins until the class is there as it was.",
        pod=max(running, key=lambda pod: pod.incarnation),
        warn=True,
    )
    return Decision(actions=report(seen, news, now))


def _stall(seen: SeenSandbox, reason: SandboxReason, message: str, now: datetime) -> Decision:
    return Decision(
        actions=report(
            seen, News(state=SandboxState.ERROR, reason=reason, message=message, warn=True), now
        )
    )
