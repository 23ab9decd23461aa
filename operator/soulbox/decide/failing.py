"""What an object says of itself while the operator fails to reconcile it, again and again.

Nothing of a pass is known here: whatever it looks at may be what fails.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from soulbox.decide.actions import PostEvent, WriteStatus
from soulbox.decide.conditions import Condition, merge_conditions
from soulbox.model.states import ConditionType, ExecutionState, SandboxReason, SandboxState
from soulbox.model.text import printable

_EVENT = "ReconcileFailed"
# Of these a word is due; of one that runs, or is over, the state says more than a failed pass.
_UNTOLD = (SandboxState.CREATED.value, SandboxState.STARTING.value, SandboxState.ERROR.value)


def failing_message(error: str) -> str:
    """For people, while the operator keeps trying."""
    return printable(f"The operator cannot get any further with it, and keeps trying: {error}")


def given_up_message(error: str, failing_seconds: float) -> str:
    """For people, of an Execution that ends for it."""
    return printable(
        f"The operator tried for {failing_seconds:.0f} s and could not start it; none of its code "
        f"ran: {error}"
    )


def failing_sandbox(
    manifest: Mapping[str, Any], message: str, now: datetime
) -> tuple[WriteStatus | PostEvent, ...]:
    """Status and Event of a Sandbox; no status where it would hide what is true."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    event = PostEvent(type="Warning", reason=_EVENT, message=message, action="Reconcile")
    state = status.get("state", SandboxState.CREATED.value)
    if metadata.get("deletionTimestamp") or state not in _UNTOLD:
        return (event,)
    reason = SandboxReason.RECONCILE_FAILED.value
    wanted = [
        Condition(type=ConditionType.READY, status="False", reason=reason, message=""),
        Condition(type=ConditionType.RECONCILING, status="True", reason=reason, message=message),
    ]
    generation = metadata.get("generation", 1)
    told = {
        "state": SandboxState.ERROR.value,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }
    if all(status.get(key) == value for key, value in told.items()):
        return (event,)
    old = status.get("conditions") or []
    told["conditions"] = merge_conditions(old, wanted, generation=generation, now=now)
    return (WriteStatus(status=told), event)


def failing_execution(
    manifest: Mapping[str, Any], message: str
) -> tuple[WriteStatus | PostEvent, ...]:
    """Message and Event of an Execution; only the Event once it is more than queued."""
    status = manifest.get("status") or {}
    event = PostEvent(type="Warning", reason=_EVENT, message=message, action="Reconcile")
    state = status.get("state", ExecutionState.QUEUED.value)
    if state != ExecutionState.QUEUED.value or status.get("message") == message:
        return (event,)
    conditions = [
        {**one, "message": message if one.get("type") == ConditionType.RECONCILING else ""}
        for one in status.get("conditions") or ()
    ]
    return (WriteStatus(status={"message": message, "conditions": conditions}), event)
