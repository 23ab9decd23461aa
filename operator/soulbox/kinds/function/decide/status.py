"""The `status` of a Function, built whole from what was seen, and the Event beside it."""

from datetime import datetime
from typing import Any

from soulbox.kinds.function.decide.objection import Objection
from soulbox.kinds.function.decide.published import (
    MAX_WITHDRAWN,
    Published,
)
from soulbox.kinds.function.decide.seen import SeenFunction
from soulbox.kinds.function.decide.versions import remembered, without
from soulbox.model.functions import FunctionSpec
from soulbox.model.states import ConditionType, FunctionReason, FunctionState
from soulbox.model.text import printable
from soulbox.model.times import format_time
from soulbox.pure.actions import PostEvent, WriteStatus
from soulbox.pure.conditions import Condition, merge_conditions, same_conditions


def report(
    seen: SeenFunction,
    *,
    current: Published | None,
    versions: tuple[Published, ...],
    withdrawn: tuple[Published, ...],
    published: int,
    objection: Objection | None,
    now: datetime,
) -> tuple[WriteStatus | PostEvent, ...]:
    """Status and Event, nothing when the object says so already.

    Args:
        current: the version that spec is, None where it is none that is published: the one before
            stays current then.
        versions: that can be called, the newest first, those that are withdrawn now included.
        withdrawn: which of these are withdrawn now.
        objection: None: all is well.
    """
    left = without(versions, withdrawn)
    serving = current or _before(seen, left)
    state, reason, message = _news(seen, serving, objection)
    gone = remembered(seen.withdrawn, left, withdrawn, format_time(now), MAX_WITHDRAWN)
    status: dict[str, Any] = {
        "state": state.value,
        "reason": reason.value,
        "message": printable(message),
        "observedGeneration": seen.generation,
        "version": None if serving is None else serving.version,
        "revision": None if serving is None else serving.revision,
        "readySandboxes": seen.ready_boxes,
        "toolID": _tool_id(seen, current, serving),
        "versions": [one.as_status() for one in left],
        "withdrawn": [one.as_status() for one in gone] or None,
        "published": published,
    }
    old = seen.status
    conditions = merge_conditions(
        old.get("conditions") or [],
        _conditions(state, reason, message, objection),
        generation=seen.generation,
        now=now,
    )
    if all(old.get(key) == value for key, value in status.items()) and same_conditions(
        old.get("conditions") or [], conditions
    ):
        return ()
    write = WriteStatus(status={**status, "conditions": conditions})
    said = (old.get("state"), old.get("reason"), old.get("version"), old.get("message"))
    if said == (state.value, reason.value, status["version"], status["message"]):
        return (write,)
    event = PostEvent(
        type="Normal" if objection is None else "Warning",
        reason=reason.value,
        message=message,
        action="Reconcile",
    )
    return (write, event)


def _before(seen: SeenFunction, versions: tuple[Published, ...]) -> Published | None:
    """The version that was current before, if it can still be called."""
    told = seen.status.get("version")
    return next((one for one in versions if one.version == told), None)


def _news(
    seen: SeenFunction, serving: Published | None, objection: Objection | None
) -> tuple[FunctionState, FunctionReason, str]:
    if objection is not None:
        meanwhile = "" if serving is None else f" Version {serving.version} is still called."
        return FunctionState.ERROR, objection.reason, objection.message + meanwhile
    version = "" if serving is None else serving.version
    if isinstance(seen.spec, FunctionSpec) and seen.spec.suspend:
        words = f"Suspended by spec.suspend; version {version} is called again without it."
        return FunctionState.SUSPENDED, FunctionReason.SUSPENDED, words
    return FunctionState.READY, FunctionReason.PUBLISHED, f"Version {version} is current."


def _tool_id(
    seen: SeenFunction, current: Published | None, serving: Published | None
) -> str | None:
    """B1's id of the version that is called. Whether it is a tool, the newest good spec says."""
    if serving is None:
        return None
    if current is None or not isinstance(seen.spec, FunctionSpec):
        known = seen.status.get("toolID")
        return known if isinstance(known, str) else None
    if seen.spec.tool is None:
        return None
    return f"tool:{seen.namespace}/{seen.name}@{serving.version}"


def _conditions(
    state: FunctionState, reason: FunctionReason, message: str, objection: Objection | None
) -> list[Condition]:
    if state is FunctionState.SUSPENDED:
        return []
    if objection is None:
        return [
            Condition(type=ConditionType.READY, status="True", reason=reason.value, message=message)
        ]
    kind = ConditionType.STALLED if objection.is_final else ConditionType.RECONCILING
    return [
        Condition(type=ConditionType.READY, status="False", reason=reason.value),
        Condition(type=kind, status="True", reason=reason.value, message=message),
    ]
