"""The annotation that says to which pod, at which attempt, an Execution was handed over."""

from collections.abc import Mapping
from typing import Any

from soulbox.model.keys import DISPATCHED_ANNOTATION


def dispatch_mark(metadata: Mapping[str, Any]) -> tuple[str, int]:
    """Pod uid ("" after a loss) and attempt of an Execution's newest dispatch; ("", 0) if it
    never was dispatched."""
    value = (metadata.get("annotations") or {}).get(DISPATCHED_ANNOTATION)
    if value is None:
        return "", 0
    pod_uid, slash, attempt = str(value).partition("/")
    number = int(attempt) if attempt.isascii() and attempt.isdigit() and len(attempt) < 6 else 1
    # An empty mark without its slash is no form of ours.
    return (pod_uid if slash or pod_uid else "-"), max(1, number)
