"""What an object says while its passes fail."""

from __future__ import annotations

from typing import Any

import pytest

from soulbox.kinds.execution.decide.decision import give_up
from soulbox.kinds.execution.decide.failing import failing_execution
from soulbox.kinds.sandbox.decide.failing import failing_sandbox
from soulbox.pure.actions import AddFinalizer, PostEvent, WriteStatus
from soulbox.pure.failing import failing_message
from tests.support.builders import make_execution, make_sandbox, stored
from tests.support.fix_clock import NOW, at
from tests.support.seen import make_dispatched, make_final, make_seen, merged
from tests.support.states import default_status

WORDS = failing_message("the API server refuses it: no")


def sandbox(state: str, **metadata: Any) -> dict[str, Any]:
    status = default_status("sandboxes") | {"state": state}
    return stored(make_sandbox(), **metadata) | {"status": status}


@pytest.mark.parametrize("state", ["Created", "Starting", "Error"])
def test_sandbox_says_why_it_does_not_come_up(state: str) -> None:
    manifest = sandbox(state, generation=3)
    write, event = failing_sandbox(manifest, WORDS, NOW)
    assert isinstance(write, WriteStatus)
    status = merged(manifest["status"], dict(write.status))
    assert (status["state"], status["reason"], status["message"]) == (
        "Error",
        "ReconcileFailed",
        WORDS,
    )
    assert status["observedGeneration"] == 3
    assert {one["type"]: one["status"] for one in status["conditions"]} == {
        "Ready": "False",
        "Reconciling": "True",
    }
    assert {one["type"]: one["message"] for one in status["conditions"]} == {
        "Ready": "",
        "Reconciling": WORDS,
    }, "it is told once"
    assert isinstance(event, PostEvent)
    assert (event.type, event.reason) == ("Warning", "ReconcileFailed")
    (again,) = failing_sandbox({**manifest, "status": status}, WORDS, at(60))
    assert again == event, "it is written once"


@pytest.mark.parametrize("state", ["Running", "Stopped", "Terminated"])
def test_sandbox_that_runs_or_is_over_keeps_its_state(state: str) -> None:
    (event,) = failing_sandbox(sandbox(state), WORDS, NOW)
    assert isinstance(event, PostEvent)


def test_sandbox_that_is_going_tells_by_an_event() -> None:
    going = sandbox("Error", deletionTimestamp="2026-01-02T03:04:05Z")
    (event,) = failing_sandbox(going, WORDS, NOW)
    assert isinstance(event, PostEvent)


def test_queued_execution_says_what_it_waits_for() -> None:
    manifest = stored(make_execution()) | {"status": default_status("executions")}
    write, event = failing_execution(manifest, WORDS)
    assert isinstance(write, WriteStatus)
    status = merged(manifest["status"], dict(write.status))
    assert (status["state"], status["message"]) == ("Queued", WORDS)
    told = {one["type"]: one["message"] for one in status["conditions"] if one["message"]}
    assert told == {"Reconciling": WORDS}, "once, in the condition that tools quote"
    assert failing_execution({**manifest, "status": status}, WORDS) == (event,)


def test_running_execution_is_told_of_by_an_event() -> None:
    manifest = stored(make_execution()) | {"status": {"state": "Running"}}
    (event,) = failing_execution(manifest, WORDS)
    assert isinstance(event, PostEvent)


def test_execution_ends_where_no_code_has_run() -> None:
    held, write, event = give_up(make_seen(), WORDS, NOW)
    assert isinstance(held, AddFinalizer)
    assert isinstance(write, WriteStatus)
    assert (write.status["state"], write.status["reason"]) == ("Failed", "StartFailed")
    assert isinstance(event, PostEvent)


@pytest.mark.parametrize("seen", [make_dispatched(), make_final()], ids=["dispatched", "over"])
def test_execution_whose_code_may_have_run_is_not_given_up(seen: Any) -> None:
    assert give_up(seen, WORDS, NOW) == ()
