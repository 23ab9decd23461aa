"""How an Execution waits, what it says meanwhile, and how a wait ends in its dispatch.

Below a second a wait is normal life; then the status says why, and after five an Event.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from soulbox.kinds.execution.decide.actions import Action, Decision, Dispatch, FollowRun
from soulbox.kinds.execution.decide.end import failed, finish
from soulbox.kinds.execution.decide.seen import Callee, RunProblem, SeenExecution, Turn
from soulbox.kinds.execution.decide.status import queued_status
from soulbox.model.specs import CodeMissing, ExecutionSpec
from soulbox.model.states import ExecutionReason
from soulbox.pure.actions import PostEvent, WriteStatus
from soulbox.pure.pods.view import PodView

# Below this a wait is normal life and costs no status write (design: Starting and Queued
# are written only when they last).
QUIET_WAIT_SECONDS = 1.0
# A wait of this length is worth an Event.
LONG_WAIT_SECONDS = 5.0
# No watch tells of the ConfigMap or Secret that it waits for.
_LOOK_AGAIN_SECONDS = 2.0
# A place in the queue is written when the wait begins, then at most this often: each later
# word comes after five times the wait of the one before: of a thousand each costs four writes.
_PLACE_SECONDS = 30.0
# More calls may wait for the Function's first Sandbox than are woken when there is news of it.
_NO_SANDBOX_SECONDS = 60.0


def wait(seen: SeenExecution, message: str, now: datetime) -> Decision:
    """Stay Queued; say why once it takes long enough to be wondered about."""
    waited = (now - seen.created_at).total_seconds()
    if waited < QUIET_WAIT_SECONDS:
        return Decision(requeue_after_seconds=QUIET_WAIT_SECONDS - waited)
    actions: list[Action] = []
    status = queued_status(seen, message, now)
    if status is not None:
        actions.append(WriteStatus(status=status))
    if waited >= LONG_WAIT_SECONDS:
        event = PostEvent(type="Normal", reason="Waiting", message=message, action="Queue")
        return Decision(actions=(*actions, event))
    return Decision(actions=tuple(actions), requeue_after_seconds=LONG_WAIT_SECONDS - waited)


def wait_at_most(
    seen: SeenExecution,
    reason: ExecutionReason,
    message: str,
    now: datetime,
    most_seconds: float | None = None,
) -> Decision:
    """Wait for what GitOps may still bring; after a while it is an error."""
    most = seen.sandbox_not_found_seconds if most_seconds is None else most_seconds
    give_up_at = seen.created_at + timedelta(seconds=most)
    if now >= give_up_at:
        told = f"{message} It gave up after {most:g} s; none of its code ran."
        return finish(seen, failed(reason, told), now)
    return wait(seen, message, now).no_later_than((give_up_at - now).total_seconds())


def wait_for_code(seen: SeenExecution, missing: CodeMissing, now: datetime) -> Decision:
    """codeFrom, or a variable's value, cannot be read yet."""
    waited = wait_at_most(seen, ExecutionReason.INVALID_SPEC, missing.message, now)
    if any(
        isinstance(action, WriteStatus) and "completionTime" in action.status
        for action in waited.actions
    ):
        return waited
    return waited.no_later_than(_LOOK_AGAIN_SECONDS)


def wait_for_class(seen: SeenExecution, now: datetime) -> Decision:
    """Its class, or its Sandbox's, does not exist (yet)."""
    message = (
        f'SandboxClass "{seen.class_name}" does not exist; `kubectl get sandboxclasses` '
        "lists those that do."
    )
    return wait_at_most(seen, ExecutionReason.INVALID_SPEC, message, now)


def wait_for_room(seen: SeenExecution, refusal: RunProblem, told: str, now: datetime) -> Decision:
    """Its pod, or each Sandbox of the Function that it calls, is refused or cannot start. A full
    quota is waited for as long as it may wait at all; whatever else it is has a minute to change.

    Args:
        refusal: what it ends with then.
        told: what it says meanwhile.
    """
    # Not the field: after a loss it bounds nothing any more, and the wait would have no end.
    timed = (
        isinstance(seen.spec, ExecutionSpec)
        and queue_seconds_left(seen, seen.spec, now) is not None
    )
    if refusal.reason is ExecutionReason.QUOTA_EXCEEDED and timed:
        return wait(seen, told, now)
    left = seen.sandbox_not_found_seconds - (seen.refused_seconds or 0.0)
    if left <= 0:
        ending = replace(failed(refusal.reason, refusal.message), never_started=True)
        return finish(seen, ending, now)
    return wait(seen, told, now).no_later_than(left)


def wait_for_sandboxes(seen: SeenExecution, told: str, now: datetime) -> Decision:
    """The Function has no Sandbox that takes the call (yet)."""
    if seen.pod_refusal is not None:
        return wait_for_room(seen, seen.pod_refusal, told, now)
    return wait(seen, told, now).no_later_than(_NO_SANDBOX_SECONDS)


def wait_for_turn(seen: SeenExecution, turn: Turn, spec: ExecutionSpec, now: datetime) -> Decision:
    """Others go first. The place is written when it has changed and is due."""
    waited = (now - seen.created_at).total_seconds()
    if waited < QUIET_WAIT_SECONDS:
        return Decision(requeue_after_seconds=QUIET_WAIT_SECONDS - waited)
    before = f"{_many(turn.position - 1, 'waits', 'wait')} before it (priority {spec.priority})."
    if isinstance(seen.call, Callee):
        where = f'Waiting for its turn at Function "{seen.call.name}"'
        message = f"{where}: its Sandboxes have room for {turn.room} more, {before}"
    else:
        where = f'Waiting for its turn in Sandbox "{spec.sandbox_name}"'
        runs = "1 Execution runs" if turn.running == 1 else f"{turn.running} Executions run"
        message = f"{where}: {runs} there, {turn.room} may at once, {before}"
    actions: list[Action] = []
    written, told = seen.status.get("queuePosition"), seen.told_seconds_ago or 0.0
    due = max(_PLACE_SECONDS, 4 * (waited - told)) - told
    if not str(seen.status.get("message")).startswith(where) or (
        written != turn.position and due <= 0
    ):
        status = queued_status(seen, message, now, position=turn.position)
        if status is not None:
            actions.append(WriteStatus(status=status))
    if waited < LONG_WAIT_SECONDS:
        return Decision(actions=tuple(actions), requeue_after_seconds=LONG_WAIT_SECONDS - waited)
    # Without the figures: one Event for one wait.
    actions.append(PostEvent(type="Normal", reason="Waiting", message=f"{where}.", action="Queue"))
    return Decision(
        actions=tuple(actions), requeue_after_seconds=due if due > 0 else _PLACE_SECONDS
    )


def _many(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def queue_seconds_left(seen: SeenExecution, spec: ExecutionSpec, now: datetime) -> float | None:
    """How much longer it may wait, None: as long as it takes. After a loss it has started in
    time already."""
    started = seen.lost_attempts > 0 and "attempt" in seen.status
    if spec.queue_timeout_seconds is None or started:
        return None
    return spec.queue_timeout_seconds - (now - seen.created_at).total_seconds()


def dispatch(seen: SeenExecution, pod: PodView, sandbox_uid: str | None, now: datetime) -> Decision:
    """Hand the code over to that pod; only after its mark is written does a runner hear of it."""
    if seen.code_missing is not None:
        return wait_for_code(seen, seen.code_missing, now)
    if seen.terms is None:  # its class went, or its Sandbox became malformed, in this moment
        return wait(seen, "Waiting to know the class of its Sandbox.", now)
    attempt = seen.lost_attempts + 1
    return Decision(
        actions=(
            Dispatch(
                pod_uid=pod.uid,
                attempt=attempt,
                sandbox_uid=sandbox_uid,
                terms=seen.terms,
                code_sha256=seen.code_sha256,
                callee=seen.call if isinstance(seen.call, Callee) else None,
            ),
            FollowRun(pod_uid=pod.uid, attempt=attempt, may_start=True),
        )
    )
