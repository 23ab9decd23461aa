"""The operator's API writes, counted by the API server's audit log, Events apart."""

import json
from collections import Counter
from datetime import datetime

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import ROOT
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

AUDIT_LOG = ROOT / ".local" / "audit.log"
OPERATOR = "system:serviceaccount:soulbox-system:soulbox-operator"
WRITES = {"create", "update", "patch", "delete"}
QUIET_ROUNDS = 20


class Meter:
    """The operator's writes in a namespace since this was made."""

    def __init__(self, world: World) -> None:
        if not AUDIT_LOG.exists():
            pytest.skip("this cluster keeps no audit log for us")
        self._world = world
        self._offset = AUDIT_LOG.stat().st_size

    def settled(self) -> Counter[str]:
        """The writes once none has come for a while: "verb resource[/subresource]"."""
        known = self._count()
        rounds = 0
        while rounds < QUIET_ROUNDS:
            self._world.pause(0.1)
            now = self._count()
            rounds = rounds + 1 if now == known else 0
            known = now
        return known

    def _count(self) -> Counter[str]:
        with AUDIT_LOG.open("rb") as log:
            log.seek(self._offset)
            lines = log.read().splitlines()
        found = Counter[str]()
        for line in lines:
            entry = json.loads(line)
            about = entry.get("objectRef") or {}
            if (
                entry["user"]["username"] == OPERATOR
                and about.get("namespace") == self._world.namespace
                and entry["verb"] in WRITES
                and about["resource"] != "events"
                and entry["stage"] == "ResponseComplete"
            ):
                path = "/".join(filter(None, (about["resource"], about.get("subresource"))))
                found[f"{entry['verb']} {path}"] += 1
        return found


def _started_slowly(world: World) -> bool:
    (pod,) = world.pods()
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    started = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    return (datetime.fromisoformat(started) - created).total_seconds() >= 1


def test_sandbox_and_quick_execution_stay_within_the_budget(world: World) -> None:
    meter = Meter(world)
    world.create(make_sandbox("box"))
    world.sandbox("box")
    found = meter.settled()
    # A start that lasts, on a busy machine, is worth one more: Starting.
    assert found.pop("patch sandboxes/status") <= (2 if _started_slowly(world) else 1)
    assert found == {"create networkpolicies": 1, "patch sandboxes": 1, "create pods": 1}
    meter = Meter(world)
    world.create(make_execution("run"))
    world.execution("run")
    assert meter.settled() == {"patch executions": 1, "patch executions/status": 1}
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
    meter = Meter(world)
    world.create(make_execution("run", code="import time\ntime.sleep(2)\n"))
    world.execution("run")
    assert meter.settled() == {"patch executions": 1, "patch executions/status": 2}
