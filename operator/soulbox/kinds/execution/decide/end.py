"""The end of an Execution, wherever it comes: in the queue, in a pod, or before either."""

from datetime import datetime

from soulbox.kinds.execution.decide.actions import Action, Decision
from soulbox.kinds.execution.decide.outcome import who_ended
from soulbox.kinds.execution.decide.seen import SeenExecution
from soulbox.kinds.execution.decide.status import Ending, final_status
from soulbox.model.states import ExecutionReason, ExecutionState
from soulbox.pure.actions import AddFinalizer, PostEvent, WriteStatus


def finish(seen: SeenExecution, ending: Ending, now: datetime) -> Decision:
    """Write the final status; without a finalizer yet, that first, so that the row is
    certain even if the object is deleted in the next moment."""
    status = final_status(seen, ending, now)
    normal = ending.state in (ExecutionState.COMPLETED, ExecutionState.CANCELLED)
    actions: list[Action] = []
    if not seen.has_finalizer and not seen.deleting:
        actions.append(AddFinalizer())
    actions += [
        WriteStatus(status=status),
        PostEvent(
            type="Normal" if normal else "Warning",
            reason=ending.reason.value,
            message=ending.message,
            action="Run",
        ),
    ]
    return Decision(actions=tuple(actions))


def failed(reason: ExecutionReason, message: str) -> Ending:
    """An end as Failed, for the operator's own reasons."""
    return Ending(state=ExecutionState.FAILED, reason=reason, message=message)


def cancelled_before_start(seen: SeenExecution) -> Ending:
    """An end that its owner asked for in time."""
    return Ending(
        state=ExecutionState.CANCELLED,
        reason=ExecutionReason.CANCELLED,
        message=f"{who_ended(seen)} before its code started.",
        never_started=True,
    )
