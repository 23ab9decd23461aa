"""What a Sandbox says of itself while the operator fails to reconcile it.

Nothing of a pass is known here: whatever it looks at may be what fails.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from soulbox.model.states import ConditionType, SandboxReason, SandboxState
from soulbox.pure.actions import PostEvent, WriteStatus
from soulbox.pure.conditions import Condition, merge_conditions
from soulbox.pure.failing import failing_event

# Of these a word is due; of one that runs, or is over, the state says more than a failed pass.
_UNTOLD: Final = (SandboxState.CREATED.value, SandboxState.STARTING.value, SandboxState.ERROR.value)


def failing_sandbox(
    manifest: Mapping[str, Any], message: str, now: datetime
) -> tuple[WriteStatus | PostEvent, ...]:
    """Status and Event of a Sandbox; no status where it would hide what is true."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    event = failing_event(message)
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
