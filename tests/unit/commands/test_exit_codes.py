"""What an end means to a shell."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace
from typing import Any

import pytest

from soulbox.app.commands.outcome import exit_code_of, explanation_of
from soulbox.model.states import ExecutionReason
from tests.support.fix_kube import ROOT
from tests.unit.commands.conftest import NAMESPACE, Shell

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


# Every reason of the API; a new one has to be thought about here.
CODES: dict[ExecutionReason, int] = {
    ExecutionReason.COMPLETED: 0,
    ExecutionReason.TIMED_OUT: 124,
    ExecutionReason.QUEUE_TIMEOUT: 124,
    ExecutionReason.CANCELLED: 130,
    ExecutionReason.NON_ZERO_EXIT: 7,
    ExecutionReason.SIGNALED: 128 + 11,
    ExecutionReason.OOM_KILLED: 137,
    ExecutionReason.DISK_LIMIT: 137,
    ExecutionReason.SANDBOX_NOT_FOUND: 125,
    ExecutionReason.SANDBOX_TERMINATED: 125,
    ExecutionReason.EVICTED: 125,
    ExecutionReason.NODE_LOST: 125,
    ExecutionReason.LOST: 125,
    ExecutionReason.START_FAILED: 125,
    ExecutionReason.IMAGE_PULL_FAILED: 125,
    ExecutionReason.INVALID_SPEC: 125,
    ExecutionReason.QUOTA_EXCEEDED: 125,
    ExecutionReason.BUDGET_EXCEEDED: 125,
    ExecutionReason.NETWORK_NOT_ENFORCED: 125,
    ExecutionReason.FUNCTION_NOT_FOUND: 125,
    ExecutionReason.VERSION_NOT_FOUND: 125,
    ExecutionReason.FUNCTION_SUSPENDED: 125,
    ExecutionReason.INPUT_INVALID: 125,
    ExecutionReason.RESULT_INVALID: 125,
}
STATES = {
    ExecutionReason.COMPLETED: "Completed",
    ExecutionReason.TIMED_OUT: "Timeout",
    ExecutionReason.QUEUE_TIMEOUT: "Timeout",
    ExecutionReason.CANCELLED: "Cancelled",
}


@pytest.mark.parametrize("reason", ExecutionReason)
def test_every_reason_has_its_exit_code(reason: ExecutionReason) -> None:
    state = STATES.get(reason, "Failed")
    status = {"state": state, "reason": reason.value, "exitCode": 7, "signal": "SIGSEGV"}
    assert exit_code_of(status) == CODES[reason]


def test_documented_codes_are_those_that_are_given() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    section = page.partition("### Exit codes")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| (\d+) \|", section, re.MULTILINE))
    given = {*map(str, CODES.values()), "141", "2"} - {"0", "7", "139"}
    assert documented == given
    assert "| 0 to 255 |" in section
    assert "| 128 + N |" in section


# Of commands before they reach a program: (words, exit code, what is said).
CALLS: dict[str, tuple[list[str], int, str]] = {
    "run without a file": (["run"], 2, "Missing argument"),
    "run of a file that is not there": (["run", "nowhere.py"], 2, "No such file"),
    "run of a language nobody knows": (["run", "pyproject.toml"], 2, "give --language"),
    "run without a cluster": (["run", "-", "--context", "nowhere"], 125, "no usable Kubernetes"),
    "get without a cluster": (["get", "--context", "nowhere"], 2, "no usable Kubernetes"),
    "get of what is not there": (["get", "nothing", "-n", NAMESPACE], 1, "there is no Execution"),
    "logs of what is not there": (["logs", "nothing", "-n", NAMESPACE], 1, "there is no Execution"),
    "create of no class": (
        ["create", "x", "--class", "y", "-n", NAMESPACE],
        1,
        "there is no Sandbox",
    ),
    "keep-alive without a time": (["keep-alive", "x"], 2, "Missing option '--for'"),
    "an option that is none": (["get", "--nothing"], 2, "No such option"),
}


@pytest.mark.parametrize("name", CALLS)
def test_command_that_cannot_begin_has_its_code(shell: Shell, name: str) -> None:
    words, want, said = CALLS[name]
    shell.patch.chdir(ROOT)
    shell.patch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"print(1)")))
    shell.patch.setenv("COLUMNS", "300")
    code, _, err = shell.call(*words)
    assert code == want
    assert said in err


@pytest.mark.parametrize("name", ENDS)
def test_end_has_its_exit_code_and_is_explained_where_the_program_does_not(name: str) -> None:
    status, want_code, want_words = ENDS[name]
    assert exit_code_of(status) == want_code
    line = explanation_of("job", {**status, "message": "two\nlines"})
    assert bool(line) is want_words
    if want_words:
        assert line == f"Execution job: {status['state']}/{status['reason']}: two lines"
