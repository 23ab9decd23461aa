"""The annotation that says to which pod, at which attempt, an Execution was handed over.

`<pod UID>/<attempt>/<Execution UID>`; without the pod once that many attempts were lost and the
code may be handed over again. It names the Execution, because a copy of one (a manifest that was
exported, a backup that was restored) brings the annotation along, and has not run. Earlier
releases left the Execution out.
"""

from collections.abc import Mapping
from typing import Any

from soulbox.model.keys import DISPATCHED_ANNOTATION


def write_mark(pod_uid: str, attempt: int, execution_uid: str) -> str:
    """The annotation's value; pod_uid "" after a loss."""
    return f"{pod_uid}/{attempt}/{execution_uid}"


def dispatch_mark(metadata: Mapping[str, Any]) -> tuple[str, int]:
    """Pod uid ("" after a loss) and attempt of an Execution's newest dispatch; ("", 0) if it
    never was dispatched."""
    value = (metadata.get("annotations") or {}).get(DISPATCHED_ANNOTATION)
    if value is None:
        return "", 0
    pod_uid, slash, rest = str(value).partition("/")
    attempt, _, execution_uid = rest.partition("/")
    if execution_uid and execution_uid != metadata.get("uid"):
        return "", 0  # another's, of which this one is a copy
    number = int(attempt) if attempt.isascii() and attempt.isdigit() and len(attempt) < 6 else 1
    # An empty mark without its slash is no form of ours.
    return (pod_uid if slash or pod_uid else "-"), max(1, number)


def is_dispatched(execution: Mapping[str, Any]) -> bool:
    """Whether an Execution was handed to a pod. The mark of one whose pod was lost, and that
    may run again, names none."""
    pod_uid, _ = dispatch_mark(execution["metadata"])
    return bool(pod_uid)
