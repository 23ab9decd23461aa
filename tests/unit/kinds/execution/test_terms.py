"""The terms of a run: decided by its place, once, and told by the receipt from then on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soulbox.kinds.execution.decide.actions import CancelRun
from soulbox.kinds.execution.decide.decision import decide_execution
from soulbox.kinds.execution.decide.outcome import ending_of_run
from soulbox.kinds.execution.decide.overdue import over_seconds
from soulbox.kinds.execution.decide.seen import Dispatched, SeenExecution
from soulbox.kinds.execution.decide.status import final_status, lost_status, running_status
from soulbox.kinds.execution.decide.terms import decide_terms, within
from soulbox.model.specs import (
    ExecutionSpec,
    Interpreter,
    Limits,
    Resources,
    SandboxSpec,
    Workspace,
)
from soulbox.model.states import RunOutcome
from soulbox.model.terms import RunTerms
from soulbox.pure.actions import WriteStatus
from tests.support.fix_clock import at
from tests.support.seen import (
    LIMITS,
    POD_UID,
    make_class_spec,
    make_dispatched,
    make_finished,
    make_pod,
    make_run,
    make_terms,
)

CLASS = make_class_spec()
GIB = 2**30
SANDBOX = SandboxSpec(
    default_timeout_seconds=7,
    resources=Resources(memory_bytes=GIB // 2),
    workspace=Workspace(size_bytes=2 * GIB),
)

TERMS: dict[str, tuple[dict[str, Any], dict[str, Any], RunTerms]] = {
    "nothing asked: the class's": ({}, {}, make_terms()),
    "a Sandbox that asks for nothing": ({}, {"sandbox": SandboxSpec()}, make_terms()),
    "the Sandbox's time-out, memory and workspace": (
        {},
        {"sandbox": SANDBOX},
        make_terms(
            timeout_seconds=7, limits=replace(LIMITS, memory_bytes=GIB // 2, disk_bytes=2 * GIB)
        ),
    ),
    "a Sandbox's time-out over the class's maximum": (
        {},
        {"sandbox": SandboxSpec(default_timeout_seconds=9_000)},
        make_terms(timeout_seconds=3600),
    ),
    "its own, before the Sandbox's": (
        {"timeout_seconds": 3, "language": "bash", "output_limit_bytes": 0},
        {"sandbox": SandboxSpec(default_timeout_seconds=7)},
        make_terms(
            timeout_seconds=3,
            output_limit_bytes=0,
            language="bash",
            interpreter=Interpreter(command=("bash",), extension=".sh"),
        ),
    ),
    "resources of its own pod": (
        {"resources": Resources(cpu_millicores=500)},
        {},
        make_terms(limits=replace(LIMITS, cpu_millicores=500)),
    ),
    "what its pod was made with, before what is asked for by now": (
        {},
        {"sandbox": SANDBOX, "pod": make_pod(cpu_millicores=100, memory_bytes=2**26)},
        make_terms(
            timeout_seconds=7,
            limits=Limits(cpu_millicores=100, memory_bytes=2**26, disk_bytes=2 * GIB),
        ),
    ),
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_come_from_the_place(name: str) -> None:
    asked, place, want = TERMS[name]
    assert decide_terms(ExecutionSpec(code="1", **asked), CLASS, "python", **place) == want


def test_a_language_that_the_class_lacks_has_no_terms() -> None:
    assert decide_terms(ExecutionSpec(code="1", language="perl"), CLASS, "python") is None


def test_a_start_after_a_restart_is_within_the_class_as_it_is_now() -> None:
    wide = make_terms(timeout_seconds=9_000, output_limit_bytes=GIB, max_processes=9_000)
    held = within(wide, CLASS.max)
    assert held == make_terms(timeout_seconds=3600, max_processes=128)
    assert within(make_terms(timeout_seconds=5), CLASS.max).timeout_seconds == 5


# The class and Sandbox as they are now give this one; the receipt says make_terms().
NARROWED = make_class_spec(
    defaults=replace(CLASS.defaults, timeout_seconds=1),
    max=replace(CLASS.max, timeout_seconds=2, output_bytes=1024, pids=1),
)


def test_a_receipt_holds_whatever_becomes_of_class_and_sandbox() -> None:
    for changes in (
        {"sandbox_class": NARROWED, "class_objection": "spec.timeoutSeconds: over"},
        {"sandbox_class": None, "class_name": "", "sandbox": None},
    ):
        status = {"state": "Running"}
        seen = make_dispatched(run=make_run(), silent_seconds=0.0, status=status, **changes)
        assert over_seconds(seen, at(299)) == -1
        assert not any(isinstance(one, CancelRun | WriteStatus) for one in _actions(seen, 299))
        shown = final_status(
            seen, ending_of_run(seen, make_finished(RunOutcome.TIMED_OUT)), at(301)
        )
        assert _shown(shown) == ("python", "python", 300, 10 * 2**20)
        assert shown["receipt"]["limits"] == {
            "cpu": "250m",
            "memory": "256Mi",
            "disk": "1Gi",
            "pids": 128,
        }
        assert shown["receipt"]["command"] == ["python3"]
        assert "longer than its time limit (300 s)" in shown["message"]
    assert _shown(running_status(make_dispatched(), make_run(), at(2))) == _shown(shown)


def test_of_a_dispatch_without_a_receipt_only_the_class_is_shown() -> None:
    """An earlier release dispatched it: what it was promised is not known."""
    seen = make_dispatched(dispatched=Dispatched(pod_uid=POD_UID, attempt=1))
    status = final_status(seen, ending_of_run(seen, make_finished()), at(1))
    assert _shown(status) == ("python", None, None, None)
    assert "command" not in status["receipt"]
    assert status["receipt"]["limits"]["pids"] == 128, "as far as they are known"
    assert over_seconds(make_dispatched(dispatched=seen.dispatched, run=make_run()), at(301)) == 1


def test_a_lost_attempt_takes_its_terms_along() -> None:
    running = running_status(make_dispatched(), make_run(), at(2))
    lost = lost_status(make_dispatched(status=running), "lost", 1, at(3))
    assert _shown(lost) == (None, None, None, None)
    assert {"className", "language", "timeoutSeconds", "outputLimitBytes"} <= lost.keys()


def _shown(status: dict[str, Any]) -> tuple[Any, ...]:
    names = ("className", "language", "timeoutSeconds", "outputLimitBytes")
    return tuple(status.get(name) for name in names)


def _actions(seen: SeenExecution, after: float) -> tuple[Any, ...]:
    return decide_execution(seen, at(after)).actions
