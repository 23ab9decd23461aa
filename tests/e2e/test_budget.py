"""The operator's API writes, counted by the API server's audit log; Events and what conflicts
apart."""

from datetime import datetime

import pytest

from tests.support.audit import Meter
from tests.support.builders import make_execution, make_sandbox
from tests.support.waiting import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.alone]


def _worth(run: Manifest) -> int:
    """How many writes of its status an Execution is worth: its end, and one each for a wait and a
    run of over a second."""
    created, started, ended = (
        datetime.fromisoformat(time)
        for time in (
            run["metadata"]["creationTimestamp"],
            run["status"]["startTime"],
            run["status"]["completionTime"],
        )
    )
    # The first is cut to whole seconds; of the last the operator hears a moment later.
    waited, ran = (started - created).total_seconds(), (ended - started).total_seconds()
    return 1 + (waited >= 1) + (ran >= 0.7)


def _started_slowly(box: Manifest) -> bool:
    """Whether Starting was due before Running: two seconds after creationTimestamp, which is cut
    to whole seconds."""
    (ready,) = (one for one in box["status"]["conditions"] if one["type"] == "Ready")
    created = datetime.fromisoformat(box["metadata"]["creationTimestamp"])
    running = datetime.fromisoformat(ready["lastTransitionTime"])
    return (running - created).total_seconds() >= 2


def test_sandbox_and_quick_execution_stay_within_the_budget(world: World) -> None:
    meter = Meter(world)
    world.create(make_sandbox("box"))
    box = world.sandbox("box")
    found = meter.settled()
    # A start that lasts, on a busy machine, is worth one more: Starting.
    assert found.pop("patch sandboxes/status") <= (2 if _started_slowly(box) else 1)
    assert found == {"create networkpolicies": 1, "patch sandboxes": 1, "create pods": 1}
    meter = Meter(world)
    world.create(make_execution("run"))
    run = world.execution("run")
    found = meter.settled()
    assert 1 <= found.pop("patch executions/status") <= _worth(run)
    assert found == {"patch executions": 1}
    meter = Meter(world)
    world.delete("sandbox", "box")
    world.wait_gone("sandbox", "box")
    assert meter.settled() == {
        "delete pods": 1,
        "patch pods": 1,
        "patch sandboxes": 1,
    }


def test_execution_over_a_second_costs_three_writes(world: World) -> None:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    Meter(world).settled()  # what the Sandbox's start costs
    meter = Meter(world)
    world.create(make_execution("run", code="import time\ntime.sleep(2)\n"))
    run = world.execution("run")
    found = meter.settled()
    assert 2 <= found.pop("patch executions/status") <= _worth(run)
    assert found == {"patch executions": 1}
