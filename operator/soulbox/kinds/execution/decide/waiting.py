"""An Execution that was not dispatched yet: it waits for a place."""

from dataclasses import replace
from datetime import datetime, timedelta

from soulbox.kinds.execution.decide.actions import Decision
from soulbox.kinds.execution.decide.end import cancelled_before_start, failed, finish
from soulbox.kinds.execution.decide.one_shot import clear_lost_pods, decide_one_shot
from soulbox.kinds.execution.decide.seen import CallProblem, SandboxSeen, SeenExecution
from soulbox.kinds.execution.decide.status import Ending
from soulbox.kinds.execution.decide.waits import (
    dispatch,
    queue_seconds_left,
    wait,
    wait_at_most,
    wait_for_class,
    wait_for_sandboxes,
    wait_for_turn,
)
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import ExecutionSpec
from soulbox.model.states import ExecutionReason, ExecutionState, SandboxState


def decide_waiting(seen: SeenExecution, now: datetime) -> Decision:
    """The next actions for one that waits, or its end there."""
    if seen.cancel_wanted:
        return finish(seen, cancelled_before_start(seen), now)
    if isinstance(seen.spec, InvalidManifest):
        return finish(seen, failed(ExecutionReason.INVALID_SPEC, str(seen.spec)), now)
    if isinstance(seen.call, CallProblem):
        return _not_callable(seen, seen.call, now)
    left = queue_seconds_left(seen, seen.spec, now)
    if left is not None and left <= 0 and not _waits_for_its_sandbox(seen, seen.spec):
        return finish(seen, _queue_timeout(seen, seen.spec), now)
    if seen.call is not None and seen.call.waits:
        decision = wait_for_sandboxes(seen, seen.call.waits, now)
    elif seen.spec.sandbox_name is not None:
        decision = _decide_in_sandbox(seen, seen.spec, now)
    else:
        decision = decide_one_shot(seen, now)
        decision = replace(decision, actions=(*clear_lost_pods(seen), *decision.actions))
    return decision if left is None or left <= 0 else decision.no_later_than(left)


def _not_callable(seen: SeenExecution, problem: CallProblem, now: datetime) -> Decision:
    """Nothing of it has run; what GitOps may still bring is waited for."""
    if problem.may_pass:
        return wait_at_most(seen, problem.reason, problem.message, now)
    ending = failed(problem.reason, problem.message)
    return finish(seen, replace(ending, never_started=not seen.lost_attempts), now)


def _waits_for_its_sandbox(seen: SeenExecution, spec: ExecutionSpec) -> bool:
    """Whether what is missing is the Sandbox: that has a reason of its own."""
    return spec.sandbox_name is not None and seen.sandbox is None


def _queue_timeout(seen: SeenExecution, spec: ExecutionSpec) -> Ending:
    last = str(seen.status.get("message") or "")
    return Ending(
        state=ExecutionState.TIMEOUT,
        reason=ExecutionReason.QUEUE_TIMEOUT,
        message=(
            f"Its code did not start within queueTimeoutSeconds ({spec.queue_timeout_seconds} s); "
            f"none of it has run. {f'Last: {last}' if last else ''}".rstrip()
        ),
    )


def _decide_in_sandbox(seen: SeenExecution, spec: ExecutionSpec, now: datetime) -> Decision:
    sandbox = seen.sandbox
    if sandbox is None:
        message = (
            f'Sandbox "{spec.sandbox_name}" does not exist in namespace "{seen.namespace}"; '
            "create it, or correct spec.sandboxRef.name in a new Execution."
        )
        most = spec.queue_timeout_seconds or seen.sandbox_not_found_seconds
        return wait_at_most(seen, ExecutionReason.SANDBOX_NOT_FOUND, message, now, most)
    if sandbox.deleting or sandbox.state is SandboxState.TERMINATED:
        what = "was deleted." if sandbox.deleting else f"has ended: {sandbox.message}"
        message = f'Sandbox "{spec.sandbox_name}" {what}'
        return finish(seen, failed(ExecutionReason.SANDBOX_TERMINATED, message), now)
    if seen.call is None and sandbox.user is not None and spec.user != sandbox.user:
        # Admission lets only that user, and who has the verb billto, write the name.
        message = (
            f'spec.user: Sandbox "{spec.sandbox_name}" is billed to "{sandbox.user}" and runs only '
            "Executions of that spec.user. Make a new Execution that names it (be that user, or "
            "have the verb billto on executions), or use another Sandbox."
        )
        return finish(seen, failed(ExecutionReason.INVALID_SPEC, message), now)
    if sandbox.stalled_since is not None:
        return _wait_for_stalled(seen, spec, sandbox, sandbox.stalled_since, now)
    if seen.class_objection:
        return finish(seen, failed(ExecutionReason.INVALID_SPEC, seen.class_objection), now)
    if seen.sandbox_class is None and seen.class_name:  # "": the Sandbox itself is malformed
        return wait_for_class(seen, now)
    if seen.pod is None or sandbox.state is not SandboxState.RUNNING or sandbox.suspended:
        message = f'Waiting for Sandbox "{spec.sandbox_name}" ({sandbox.state}): {sandbox.message}'
        if seen.call is not None:
            return wait_for_sandboxes(seen, message, now)
        return wait(seen, message, now)
    if not seen.pod_ready:
        message = f'Waiting for the runner of Sandbox "{spec.sandbox_name}" to answer.'
        if seen.call is not None:
            return wait_for_sandboxes(seen, message, now)
        return wait(seen, message, now)
    if seen.turn is not None and not seen.turn.is_now:
        return wait_for_turn(seen, seen.turn, spec, now)
    return dispatch(seen, seen.pod, sandbox.uid, now)


def _wait_for_stalled(
    seen: SeenExecution, spec: ExecutionSpec, sandbox: SandboxSeen, since: datetime, now: datetime
) -> Decision:
    """It cannot run as it is: who may mend that is given as long as for one that is missing."""
    give_up_at = max(since, seen.created_at) + timedelta(seconds=seen.sandbox_not_found_seconds)
    if now >= give_up_at:
        message = f'Sandbox "{spec.sandbox_name}" cannot run: {sandbox.message}'
        return finish(seen, failed(ExecutionReason.INVALID_SPEC, message), now)
    message = f'Waiting for Sandbox "{spec.sandbox_name}" ({sandbox.state}): {sandbox.message}'
    return wait(seen, message, now).no_later_than((give_up_at - now).total_seconds())
