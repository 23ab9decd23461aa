"""What an Execution says of itself while the operator fails to reconcile it.

Nothing of a pass is known here: whatever it looks at may be what fails.
"""

from collections.abc import Mapping
from typing import Any

from soulbox.model.states import ConditionType, ExecutionState
from soulbox.pure.actions import PostEvent, WriteStatus
from soulbox.pure.failing import failing_event


def failing_execution(
    manifest: Mapping[str, Any], message: str
) -> tuple[WriteStatus | PostEvent, ...]:
    """Message and Event of an Execution; only the Event once it is more than queued."""
    status = manifest.get("status") or {}
    event = failing_event(message)
    state = status.get("state", ExecutionState.QUEUED.value)
    if state != ExecutionState.QUEUED.value or status.get("message") == message:
        return (event,)
    conditions = [
        {**one, "message": message if one.get("type") == ConditionType.RECONCILING else ""}
        for one in status.get("conditions") or ()
    ]
    return (WriteStatus(status={"message": message, "conditions": conditions}), event)
