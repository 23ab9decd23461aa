"""The `status` of a SandboxClass: whether sandboxes can be made of it, and how many are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import SandboxClassSpec
from soulbox.model.states import ClassReason, ConditionType
from soulbox.model.text import printable
from soulbox.pure.conditions import (
    Condition,
    ConditionStatus,
    merge_conditions,
    same_conditions,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenClass:
    """Everything one pass looks at."""

    name: str
    generation: int
    status: Mapping[str, Any]
    spec: SandboxClassSpec | InvalidManifest
    has_runtime_class: bool  # True too where it names none
    # That name it and are not Terminated. None: not all are seen here. Operators of different
    # namespaces would each write a count of their own, over and over.
    sandboxes: int | None


def class_status(seen: SeenClass, now: datetime) -> dict[str, Any] | None:
    """The status to write, None when the object says so already."""
    reason, message = _judge(seen)
    message = printable(message)
    ready = reason is ClassReason.READY
    wanted = [_condition(ConditionType.READY, "True" if ready else "False", reason, message)]
    if not ready:
        wanted[0] = _condition(ConditionType.READY, "False", reason, "")
        wanted.append(_condition(ConditionType.STALLED, "True", reason, message))
    old = seen.status.get("conditions") or []
    conditions = merge_conditions(old, wanted, generation=seen.generation, now=now)
    said: dict[str, Any] = {
        "observedGeneration": seen.generation,
        "reason": reason.value,
        "message": message,
        "sandboxes": seen.sandboxes,
    }
    same = all(seen.status.get(key) == value for key, value in said.items())
    if same and same_conditions(old, conditions):
        return None
    return said | {"conditions": conditions}


def _judge(seen: SeenClass) -> tuple[ClassReason, str]:
    if isinstance(seen.spec, InvalidManifest):
        return ClassReason.INVALID_SPEC, str(seen.spec)
    if not seen.has_runtime_class:
        return (
            ClassReason.RUNTIME_CLASS_NOT_FOUND,
            f'spec.runtimeClassName: there is no RuntimeClass "{seen.spec.runtime_class_name}", so '
            "the API server refuses every pod of this class; create it, or name another.",
        )
    return ClassReason.READY, "Sandboxes and Executions can be made of it."


def _condition(
    kind: ConditionType, status: ConditionStatus, reason: ClassReason, message: str
) -> Condition:
    return Condition(type=kind, status=status, reason=reason.value, message=message)
