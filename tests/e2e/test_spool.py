"""PostgreSQL is away for longer than deleted objects may wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import Kubectl
from tests.support.fix_operator import OperatorProcess
from tests.support.object_watch import PodWatch
from tests.support.own_database import OwnDatabase, own_database

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAMES = (("sandbox", "box"), ("execution", "run"), ("execution", "binary"), ("execution", "alone"))
# Not inline: bytes that are no text. It is saved to PostgreSQL, or nowhere.
BINARY = "import sys\nsys.stdout.buffer.write(bytes(range(256)))\n"
SOON = {"SOULBOX_RECORD_DEADLINE_SECONDS": "4"}


@pytest.fixture
def own(
    kubectl: Kubectl, namespace: str, operator: OperatorProcess, tmp_path: Path
) -> Iterator[OwnDatabase]:
    with own_database(kubectl, namespace, operator, tmp_path) as found:
        yield found


def away_and_deleted(own: OwnDatabase) -> None:
    """A Sandbox with two runs and a one-shot; some end, and all are deleted, without
    PostgreSQL."""
    world = own.world
    world.create(make_sandbox("box"))
    world.sandbox("box")
    world.create(make_execution("run"))
    world.execution("run")
    own.server.kill()
    world.create(make_execution("binary", code=BINARY))
    world.create(make_execution("alone", sandboxRef=None, className="python"))
    world.execution("binary")
    world.execution("alone")
    for kind, name in NAMES:
        world.delete(kind, name)


def test_they_go_to_the_spool_volume_and_are_written_when_it_is_back(
    own: OwnDatabase, kubectl: Kubectl, tmp_path: Path
) -> None:
    world, spool = own.world, tmp_path / "spool"
    spool.mkdir()
    own.start(**SOON, SOULBOX_SPOOL_DIRECTORY=str(spool))
    with PodWatch(kubectl, world.namespace) as watch:
        away_and_deleted(own)
        for kind, name in NAMES:
            world.wait_gone(kind, name)
        assert world.pods() == []
        # And two pods. What ended before PostgreSQL was killed may have been recorded by then.
        assert own.figure("soulbox_spool_objects") in (len(NAMES) + 1, len(NAMES) + 2)
        assert own.figure("soulbox_spool_bytes")
        own.operator.kill()
        own.server.start()
        own.start(**SOON, SOULBOX_SPOOL_DIRECTORY=str(spool))
        world.poll(lambda: own.figure("soulbox_spool_objects") == 0, "the spool to be written")
        times = watch.times()
    assert len(times) == 2
    assert list(spool.iterdir()) == []
    # What was recorded before is not in the spool; that it is gone is found by the repair.
    found = world.wait_rows(
        "select name, state, stdout, output_complete from soulbox.executions"
        " where deleted_at is not null order by name",
        lambda rows: len(rows) == 3,
    )
    assert [(row["name"], row["state"]) for row in found] == [
        ("alone", "completed"), ("binary", "completed"), ("run", "completed"),
    ]  # fmt: skip
    assert [row["output_complete"] for row in found] == [True, False, True]
    (box,) = world.wait_rows(
        "select state from soulbox.sandboxes where deleted_at is not null",
        lambda rows: len(rows) == 1,
    )
    assert box["state"] == "terminated"
    billed = world.rows(
        "select pod_uid::text, sum(quantity) as seconds from soulbox.billing_events group by 1"
    )
    assert {row["pod_uid"]: float(row["seconds"]) for row in billed} == {
        uid: one.seconds for uid, one in times.items()
    }
    assert world.rows("select 1 from soulbox.dead_letter") == []


def test_without_one_they_stay_and_say_why(own: OwnDatabase) -> None:
    world = own.world
    own.start(**SOON)
    away_and_deleted(own)
    for kind, name in (("sandbox", "box"), ("execution", "binary"), ("execution", "alone")):
        world.poll(
            lambda kind=kind, name=name: any(
                event["reason"] == "RecordHeld" and "spool_directory" in event["message"]
                for event in world.events_of(name)
            ),
            f"an Event on {kind} {name}",
        )
        assert world.find(kind, name) is not None
    assert (own.figure("soulbox_mirror_held_objects") or 0) >= 3
    own.server.start()
    for kind, name in NAMES:
        world.wait_gone(kind, name)
    world.poll(lambda: own.figure("soulbox_mirror_held_objects") == 0, "nothing to be held")
    world.wait_rows(
        "select uid from soulbox.executions where deleted_at is not null",
        lambda rows: len(rows) == 3,
    )
