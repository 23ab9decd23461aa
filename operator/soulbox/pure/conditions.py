"""Conditions after kstatus: Ready, Reconciling, Stalled; Executions have Succeeded and
Finished too.

What happened is told once, in the condition that tools quote (kstatus and Argo CD take the
message of Stalled, else that of Reconciling), and in `status.message`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from soulbox.model.states import NO_TRANSITION, ConditionType
from soulbox.model.text import printable
from soulbox.model.times import format_time, parse_time

ConditionStatus = Literal["True", "False", "Unknown"]
# The API server's own bound on a condition's message.
MAX_MESSAGE: Final = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition as it should be; its transition time follows from what was."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str = ""


def turned_at(
    status: Mapping[str, Any], type_: ConditionType, to: ConditionStatus | None = None
) -> datetime | None:
    """When a condition of a status last turned; None: there is none of that type, it is not `to`
    now, or it tells no time.

    Args:
        to: None: whatever it is now.
    """
    for condition in status.get("conditions") or ():
        if condition.get("type") == type_ and to in (None, condition.get("status")):
            return parse_time(condition.get("lastTransitionTime"))
    return None


def merge_conditions(
    old: Sequence[Mapping[str, Any]], wanted: Sequence[Condition], *, generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The full list to write: `wanted` in its order, with lastTransitionTime kept where the
    status did not change, but for the CRD's defaults. Conditions of other types (not ours) are
    kept behind them."""
    known = {condition.get("type"): condition for condition in old}
    merged = []
    for condition in wanted:
        before = known.pop(condition.type.value, None)
        changed = before is None or before.get("status") != condition.status
        since = None if before is None or changed else before.get("lastTransitionTime")
        if since == NO_TRANSITION:
            since = None
        merged.append(
            {
                "type": condition.type.value,
                "status": condition.status,
                "reason": condition.reason,
                "message": printable(condition.message)[:MAX_MESSAGE],
                "lastTransitionTime": since or format_time(now),
                "observedGeneration": generation,
            }
        )
    ours = {kind.value for kind in ConditionType}
    merged += [dict(other) for kind, other in known.items() if kind not in ours]
    return merged


def same_conditions(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two lists say the same, their times and generations apart."""

    def essence(conditions: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        return sorted(
            (c.get("type"), c.get("status"), c.get("reason"), c.get("message", ""))
            for c in conditions
        )

    return essence(old) == essence(new)
