"""What an Execution's end means to a shell."""

import signal
from collections.abc import Mapping
from typing import Any, Final

from soulbox.model.states import ExecutionReason, ExecutionState

TIMED_OUT: Final = 124  # as timeout(1)
FAILED_AROUND: Final = 125  # as `docker run`: not the program, what is around it
CANCELLED: Final = 130  # as a shell, of SIGINT
KILLED: Final = 137  # as a shell, of SIGKILL


def exit_code_of(status: Mapping[str, Any]) -> int:
    """The command's exit code for a final status.

    The program's own where it has one; 128 and the signal's number where one ended it.
    """
    state, reason = status.get("state"), status.get("reason")
    if state == ExecutionState.COMPLETED:
        return 0
    if state == ExecutionState.TIMEOUT:
        return TIMED_OUT
    if state == ExecutionState.CANCELLED:
        return CANCELLED
    if reason == ExecutionReason.NON_ZERO_EXIT:
        return int(status.get("exitCode") or FAILED_AROUND)
    if reason == ExecutionReason.SIGNALED:
        return 128 + _number(str(status.get("signal", "")))
    if reason in (ExecutionReason.OOM_KILLED, ExecutionReason.DISK_LIMIT):
        return KILLED
    return FAILED_AROUND


def explanation_of(name: str, status: Mapping[str, Any]) -> str:
    """One line for an end that the program's own output does not explain, else ""."""
    state, reason = str(status.get("state")), str(status.get("reason"))
    if reason in (ExecutionReason.COMPLETED, ExecutionReason.NON_ZERO_EXIT):
        return ""
    words = " ".join(str(status.get("message", "")).split())
    return f"Execution {name}: {state}/{reason}: {words}"


def _number(name: str) -> int:
    try:
        return int(signal.Signals[name])
    except KeyError:
        return int(signal.SIGKILL)
