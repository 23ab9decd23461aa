"""Executions that wait for one Sandbox: in what order, how visibly, for how long, and at what
cost."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.audit import Meter
from tests.support.builders import make_execution, make_sandbox
from tests.support.gates import UNTIL_GO, go
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# 1,000 with SOULBOX_TEST_QUEUE=1000; this many show the order as well in a tenth of the time.
CROWD = int(os.environ.get("SOULBOX_TEST_QUEUE", "60"))


@pytest.fixture
def box(world: World) -> World:
    """A world with a running Sandbox `box`."""
    world.create(make_sandbox("box"))
    world.sandbox("box")
    return world


def test_wait_shows_its_place_and_its_reason(box: World) -> None:
    box.create(make_execution("long", code=UNTIL_GO))
    box.wait("execution", "long", lambda e: e["status"]["state"] == "Running", "Running")
    box.create(make_execution("second"))
    box.create(make_execution("third"))
    status = box.wait(
        "execution", "third", lambda e: "queuePosition" in e["status"], "a queuePosition"
    )["status"]
    assert (status["state"], status["queuePosition"]) == ("Queued", 2)
    assert status["message"] == (
        'Waiting for its turn in Sandbox "box": 1 Execution runs there, 1 may at once, '
        "1 waits before it (priority 0)."
    )
    go(box)
    ended = [box.execution(name)["status"] for name in ("long", "second", "third")]
    assert all(one["state"] == "Completed" for one in ended)
    assert all("queuePosition" not in one for one in ended)


def test_priority_goes_first_and_users_take_turns(box: World) -> None:
    box.create(make_execution("blocker", code=UNTIL_GO))
    box.wait("execution", "blocker", lambda e: e["status"]["state"] == "Running", "Running")
    names = [f"a-{number}" for number in range(4)]
    for name in names:
        box.create(make_execution(name, priority=-1))
    box.create(make_execution("other", user="kubernetes-admin", priority=-1))
    box.create(make_execution("urgent", priority=100))
    for name in (*names, "other", "urgent"):
        box.wait("execution", name, lambda e: "queuePosition" in e["status"], "a queuePosition")
    go(box)
    started = {
        name: box.execution(name)["status"]["startTime"] for name in (*names, "other", "urgent")
    }
    order = sorted(started, key=lambda name: started[name])
    assert order[0] == "urgent"
    assert order.index("other") <= 2, order
    assert [name for name in order if name.startswith("a-")] == names


def test_queue_timeout_is_a_timeout_of_its_own(box: World) -> None:
    box.create(make_execution("long", code=UNTIL_GO))
    box.wait("execution", "long", lambda e: e["status"]["state"] == "Running", "Running")
    box.create(make_execution("brief", queueTimeoutSeconds=2))
    status = box.execution("brief")["status"]
    assert (status["state"], status["reason"]) == ("Timeout", "QueueTimeout")
    assert "within queueTimeoutSeconds (2 s); none of it has run" in status["message"]
    go(box)
    assert box.execution("long")["status"]["state"] == "Completed"


@pytest.mark.alone
def test_a_crowd_in_one_sandbox_ends_in_order_with_few_writes(box: World) -> None:
    names = [f"run-{number:04}" for number in range(CROWD)]
    manifests = [make_execution(name, box.namespace, code="pass") for name in names]
    meter = Meter(box)
    crowd = {"apiVersion": "v1", "kind": "List", "items": manifests}
    box.kubectl.run("create", "--filename=-", stdin=json.dumps(crowd))

    def ended() -> list[dict]:
        return [one for one in box.list("executions") if "completionTime" in one["status"]]

    box.poll(lambda: len(ended()) == CROWD, f"{CROWD} ends", seconds=PATIENCE_SECONDS + CROWD * 0.5)
    found = ended()
    assert {one["status"]["state"] for one in found} == {"Completed"}
    by_start = sorted(found, key=lambda one: one["status"]["startTime"])
    # Of one second of creation the order is that of arrival, which the names have.
    assert [one["metadata"]["name"] for one in by_start] == names
    writes = meter.by_object("executions")
    assert set(writes) == set(names)
    assert max(writes.values()) <= 4, writes.most_common(3)
