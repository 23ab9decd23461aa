"""What an end means to a shell."""

from __future__ import annotations

from typing import Any

import pytest

from soulbox.app.commands.outcome import exit_code_of, explanation_of

ENDS: dict[str, tuple[dict[str, Any], int, bool]] = {
    "success": ({"state": "Completed", "reason": "Completed", "exitCode": 0}, 0, False),
    "the program's own": ({"state": "Failed", "reason": "NonZeroExit", "exitCode": 7}, 7, False),
    "its largest": ({"state": "Failed", "reason": "NonZeroExit", "exitCode": 255}, 255, False),
    "none was told": ({"state": "Failed", "reason": "NonZeroExit"}, 125, False),
    "too long": ({"state": "Timeout", "reason": "TimedOut"}, 124, True),
    "queued too long": ({"state": "Timeout", "reason": "QueueTimeout"}, 124, True),
    "cancelled": ({"state": "Cancelled", "reason": "Cancelled"}, 130, True),
    "a signal": ({"state": "Failed", "reason": "Signaled", "signal": "SIGSEGV"}, 139, True),
    "a signal without a name": ({"state": "Failed", "reason": "Signaled"}, 137, True),
    "a real-time signal": (
        {"state": "Failed", "reason": "Signaled", "signal": "SIGRTMIN+3"},
        137,
        True,
    ),
    "out of memory": ({"state": "Failed", "reason": "OOMKilled"}, 137, True),
    "evicted": ({"state": "Failed", "reason": "Evicted"}, 125, True),
    "lost": ({"state": "Failed", "reason": "Lost"}, 125, True),
    "refused": ({"state": "Failed", "reason": "InvalidSpec"}, 125, True),
}


@pytest.mark.parametrize("name", ENDS)
def test_end_has_its_exit_code_and_is_explained_where_the_program_does_not(name: str) -> None:
    status, want_code, want_words = ENDS[name]
    assert exit_code_of(status) == want_code
    line = explanation_of("job", {**status, "message": "two\nlines"})
    assert bool(line) is want_words
    if want_words:
        assert line == f"Execution job: {status['state']}/{status['reason']}: two lines"
