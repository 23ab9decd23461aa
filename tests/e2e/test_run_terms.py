"""What a run was promised when it was dispatched holds, on a real cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.classes import class_like
from tests.support.fix_operator import OperatorProcess
from tests.support.gates import UNTIL_GO, go
from tests.support.waiting import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# More than the class keeps once it is lowered.
WRITES = UNTIL_GO + "print('x' * 3000, end='')\n"
ENDLESS = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
NAMES = ("className", "language", "timeoutSeconds", "outputLimitBytes")
LOWERED = {"defaults": {"timeoutSeconds": 1}, "max": {"timeoutSeconds": 2, "outputBytes": 1024}}


def shown(status: Manifest) -> tuple[Any, ...]:
    """What a status says of the terms."""
    return tuple(status.get(name) for name in NAMES)


def recorded(world: World, name: str) -> tuple[Any, ...]:
    """What the row of an Execution that ended says of them."""
    (row,) = world.wait_rows(
        "select class_name, language, timeout_seconds, output_limit_bytes"
        " from soulbox.executions where uid = %(uid)s and completed_at is not null",
        uid=world.get("execution", name)["metadata"]["uid"],
    )
    return tuple(row.values())


def test_run_ends_under_the_terms_it_was_dispatched_with(
    world: World, operator: OperatorProcess
) -> None:
    with class_like(world, "python") as class_name:
        _check(world, operator, class_name)


def _check(world: World, operator: OperatorProcess, class_name: str) -> None:
    box = {"className": class_name, "defaultTimeoutSeconds": 400, "maxConcurrentExecutions": 3}
    world.create(make_sandbox("box", **box))
    world.sandbox("box")
    world.create(make_execution("run", code=WRITES))
    world.create(make_execution("old", code=WRITES.replace("/go'", "/go-old'")))
    for name in ("run", "old"):
        running = world.wait(
            "execution", name, lambda e: e["status"]["state"] == "Running", "Running"
        )
        assert shown(running["status"])[:3] == (class_name, "python", 400)
    promised = shown(running["status"])

    patch = json.dumps({"spec": LOWERED})
    world.kubectl.run("patch", "sandboxclass", class_name, "--type=merge", "-p", patch)
    world.patch("sandbox", "box", {"spec": {"defaultTimeoutSeconds": 1}})
    # By an administrator: a tenant is refused. Nobody believes it all the same.
    world.patch("execution", "run", {"metadata": {"labels": {"soulbox.dev/class": "gold"}}})
    operator.kill()
    # As an operator of before dispatched it, which is upgraded now.
    world.patch("execution", "old", {"metadata": {"annotations": {"soulbox.dev/terms": None}}})
    told = json.dumps({"status": dict.fromkeys(NAMES)})
    where = ("--namespace", world.namespace, "--subresource=status", "--type=merge")
    world.kubectl.run("patch", "execution", "old", *where, "-p", told)
    operator.start()
    # Without terms it counts as overdue a minute after what the class gives now.
    go(world, file="go-old")
    status = world.execution("old")["status"]
    # The class went on, and an upgrade loses no run; what it was promised is not made up.
    assert (status["state"], status["attempt"]) == ("Completed", 1)
    assert shown(status)[2:] == (None, None)
    assert recorded(world, "old") == (class_name, "python", None, None)

    world.create(make_execution("late", code=ENDLESS))
    late = world.execution("late")["status"]
    assert (late["state"], shown(late)[2:]) == ("Timeout", (1, 1024))
    assert "time limit (1 s)" in late["message"]
    assert recorded(world, "late")[2:] == (1, 1024)

    # By now longer than the class gives.
    go(world)
    status = world.execution("run")["status"]
    assert (status["state"], status["output"]["stdout"]) == ("Completed", "begun\n" + "x" * 3000)
    assert shown(status) == promised
    assert status["receipt"]["command"] == ["python3"]
    assert recorded(world, "run") == promised
