"""Usage against known work, receipts, and samples over time, on a real kubelet and cgroup."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_operator import OperatorProcess
from tests.support.gates import meeting
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MIB = 2**20

# The kernel's own clock of CPU time tells when two seconds are burnt: however slow the
# machine, the work is known.
BURN = """
import resource
def used():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime
while used() < 2.0:
    pass
"""
ALLOCATE = """
block = bytearray(64 * 2**20)
for i in range(0, len(block), 4096):
    block[i] = 1
import time
time.sleep(0.6)
"""
WRITE = """
import os
block = os.urandom(2**20)
with open('file', 'wb') as f:
    for _ in range(10):
        f.write(block)
    f.flush()
    os.fsync(f.fileno())
"""
# The grandchild burns a second of CPU after its parent is gone, then tells that it is done.
ORPHAN = """
import os, resource, sys, time
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            u = resource.getrusage(resource.RUSAGE_SELF)
            if u.ru_utime + u.ru_stime >= 1.0:
                break
        os.write(w, b'x')
    os._exit(0)
os.wait()
os.close(w)
os.read(r, 1)
"""


@pytest.fixture
def box(world: World) -> World:
    world.create(make_sandbox("box", resources={"cpu": "1", "memory": "256Mi"}))
    world.sandbox("box")
    return world


def usage(world: World, name: str, code: str) -> dict[str, Any]:
    world.create(make_execution(name, code=code))
    status = world.execution(name)["status"]
    assert status["state"] == "Completed", status
    print(name, json.dumps(status["usage"]))
    found: dict[str, Any] = status["usage"]
    return found


@pytest.mark.alone
def test_usage_is_that_of_known_work(box: World) -> None:
    idle = usage(box, "idle", "pass")
    # An interpreter's start and end are work too: measured, not guessed.
    around = idle["cpuTimeMilliseconds"]
    burnt = usage(box, "burn", BURN)["cpuTimeMilliseconds"]
    assert 1900 <= burnt <= 2100 + around, (burnt, around)
    assert around < burnt / 2
    allocated = usage(box, "allocate", ALLOCATE)["peakMemoryBytes"]
    assert 64 * MIB <= allocated <= 80 * MIB, allocated / MIB
    written = usage(box, "write", WRITE)["diskWriteBytes"]
    assert 10 * MIB <= written <= 11 * MIB, written / MIB
    orphan = usage(box, "orphan", ORPHAN)["cpuTimeMilliseconds"]
    assert 1000 <= orphan <= 1200 + around, (orphan, around)
    assert idle["shared"] is False
    for figure in ("networkRxBytes", "networkTxBytes", "diskReadBytes"):
        assert idle[figure] >= 0


def test_usage_of_runs_side_by_side_is_marked_shared(world: World) -> None:
    world.create(make_sandbox("box", maxConcurrentExecutions=2))
    world.sandbox("box")
    for name, other in (("one", "two"), ("two", "one")):
        world.create(make_execution(name, code=meeting(name, other)))
    for name in ("one", "two"):
        assert world.execution(name)["status"]["usage"]["shared"] is True


RECEIPT = {
    "command",
    "imageID", "limits", "networkProfile", "node", "podUID", "runnerVersion",
}  # fmt: skip


@pytest.mark.parametrize("one_shot", [False, True], ids=["in a Sandbox", "one-shot"])
def test_receipt_tells_what_it_ran_on_in_kubernetes_and_in_sql(box: World, one_shot: bool) -> None:
    where = {"sandboxRef": None, "className": "python"} if one_shot else {}
    created = box.create(make_execution("run", **where))
    status = box.execution("run")["status"]
    receipt = status["receipt"]
    # runtimeClass is absent: it ran under the cluster's default.
    assert receipt.keys() == RECEIPT
    (node,) = (one["metadata"]["name"] for one in box.kubectl.get("nodes")["items"])
    assert receipt["node"] == node
    assert "@sha256:" in receipt["imageID"] or receipt["imageID"].startswith("sha256:")
    assert receipt["networkProfile"] == "none"
    if not one_shot:
        pod = box.get("pod", box.pod_of("box"))
        assert receipt["podUID"] == pod["metadata"]["uid"]
        assert receipt["imageID"] == pod["status"]["containerStatuses"][0]["imageID"]
        assert receipt["limits"] == {
            "cpu": "1", "memory": "256Mi", "disk": receipt["limits"]["disk"], "pids": 128,
        }  # fmt: skip
    rows = box.wait_rows(
        "select receipt, resource_usage from soulbox.executions"
        " where uid = %(uid)s and state = 'completed'",
        uid=created["metadata"]["uid"],
    )
    (row,) = rows
    assert row["receipt"] == {
        "command": receipt["command"],
        "image_id": receipt["imageID"],
        "limits": receipt["limits"],
        "network_profile": "none",
        "node": node,
        "pod_uid": receipt["podUID"],
        "runner_version": receipt["runnerVersion"],
    }
    assert row["resource_usage"]["cpu_time_milliseconds"] == status["usage"]["cpuTimeMilliseconds"]


@pytest.mark.alone
def test_samples_over_time_tell_what_runs_and_what_it_uses(
    world: World, operator: OperatorProcess
) -> None:
    operator.stop()
    operator.start(SOULBOX_SAMPLE_INTERVAL_SECONDS="1")
    try:
        world.create(make_sandbox("box", resources={"cpu": "1", "memory": "128Mi"}))
        uid = world.sandbox("box")["metadata"]["uid"]
        code = (
            "import time\nblock = bytearray(110 * 2**20)\nend = time.time() + 600\n"
            "while time.time() < end:\n    pass\n"
        )
        run = world.create(make_execution("busy", code=code))["metadata"]["uid"]
        query = "select * from soulbox.resource_metrics where sandbox_uid = %(uid)s and "
        order = " order by recorded_at"
        mine = world.wait_rows(
            query + "execution_uid = %(run)s and cpu_cores is not null" + order,
            lambda found: len(found) >= 3,
            uid=uid,
            run=run,
        )
        for row in mine[1:]:
            # What it gets of a busy machine may be little.
            assert Decimal("0.02") < row["cpu_cores"] < Decimal("1.3"), row["cpu_cores"]
            assert 110 * MIB < row["memory_bytes"] < 128 * MIB
            assert row["memory_limit_bytes"] == 128 * MIB
            assert row["processes"] >= 3
            assert row["user_name"] == ""
        # Over 90 % of the limit: told once as an Event, counted with every sample.
        world.poll(
            lambda: any(e["reason"] == "MemoryPressure" for e in world.events_of("box")),
            "an Event MemoryPressure",
        )
        world.patch("execution", "busy", {"spec": {"cancel": True}})
        world.execution("busy")
        idle = world.wait_rows(
            query + "execution_uid is null and recorded_at > %(since)s" + order,
            uid=uid,
            since=mine[-1]["recorded_at"],
        )
        assert idle[-1]["memory_peak_bytes"] >= 110 * MIB
        lines = dict(
            line.rsplit(" ", 1)
            for line in operator.get("/metrics").splitlines()
            if not line.startswith("#")
        )
        assert float(lines["soulbox_memory_pressure_samples_total"]) >= 3
        assert float(lines['soulbox_samples_total{result="ok"}']) >= 3
        assert float(lines["soulbox_samples_dropped_total"]) == 0
        events = [e for e in world.events_of("box") if e["reason"] == "MemoryPressure"]
        assert len(events) == 1
    finally:
        operator.stop()
        operator.start()
