"""Objects that could not wait for PostgreSQL: kept on the spool volume, written when it is back,
each once, whoever kept them and whatever happened in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from soulbox.kinds.registry import ENTRIES
from soulbox.mirror import Mirror, RowContext, Spool
from soulbox.mirror.items import ItemBuilder
from soulbox.mirror.pending import Sighting
from soulbox.model.errors import SpoolUnavailable
from soulbox.model.states import Kind
from soulbox.store.pool import Store
from tests.db.test_mirror_outages import count, own_store
from tests.support.fix_mirror import FAST, MakeMirror, Recorded, drained, running, until
from tests.support.make_mirrored import (
    CLUSTER_UID,
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    merge,
    new_uid,
    newer,
)
from tests.support.postgres_server import PostgresServer

__all__ = ["own_store"]

DELETED = {"metadata": {"deletionTimestamp": "2026-11-22T11:40:00Z"}}


def with_spool(mirror: Mirror, directory: Path) -> Mirror:
    """As the operator gives it a volume at its start."""
    spool = Spool(directory, CLUSTER_UID)
    spool.open()
    mirror.spooler.use(spool)
    return mirror


def last_of(mirror: Mirror, kind: Kind, manifest: dict[str, Any]) -> Sighting:
    sighting = mirror.sighting(kind, manifest)
    assert sighting is not None
    assert mirror.spooler.is_last(sighting)
    return sighting


def an_object_of_each() -> list[tuple[Kind, dict[str, Any]]]:
    pod = make_pod(started="2026-11-22T10:30:00Z", finished="2026-11-22T11:30:00Z")
    return [
        (Kind.SANDBOX, merge(make_running_sandbox(), DELETED)),
        (Kind.EXECUTION, merge(make_finished_execution(), DELETED)),
        (Kind.POD, merge(pod, DELETED)),
    ]


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def look(server: PostgresServer, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.dsn("soulbox")) as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload]


async def keep(mirror: Mirror, objects: list[tuple[Kind, dict[str, Any]]]) -> None:
    for kind, manifest in objects:
        mirror.offer(kind, manifest)
    await mirror.spooler.keep([last_of(mirror, kind, manifest) for kind, manifest in objects])


async def test_kept_objects_count_as_recorded_and_the_next_process_writes_them(
    own_server: PostgresServer,
    own_store: Store,
    make_mirror: MakeMirror,
    recorded: Recorded,
    tmp_path: Path,
) -> None:
    objects = an_object_of_each()
    own_server.kill()
    mirror = with_spool(make_mirror(on=own_store), tmp_path)
    async with running(mirror):
        await until(lambda: mirror.failing_seconds() > 0)
        await keep(mirror, objects)
        assert [kind for kind, _ in recorded] == [kind for kind, _ in objects]
        for _, manifest in objects:
            assert mirror.is_recorded(manifest["metadata"]["uid"])
            assert mirror.is_spooled(manifest["metadata"]["uid"])
        assert mirror.spooler.statistics().objects == 3
    await asyncio.to_thread(own_server.start)
    # Their namespace is gone too: nobody can say any more whose it was.
    context = RowContext(cluster_uid=CLUSTER_UID, tenant_of=lambda namespace: namespace)
    after = Mirror(
        own_store, ItemBuilder(ENTRIES, context), on_recorded=recorded.add, settings=FAST
    )
    async with running(with_spool(after, tmp_path)):
        await until(lambda: after.spooler.statistics().objects == 0)
        assert after.failing_seconds() == 0
    for table in ("sandboxes", "executions", "programs", "pod_runs"):
        found = look(own_server, f"select tenant from soulbox.{table}")
        assert found == [("tenant-team-a",)], table
    assert look(own_server, "select sum(quantity) from soulbox.billing_events") == [(3600,)]
    assert look(
        own_server,
        "select state, deleted_at::text from soulbox.sandboxes",
    ) == [("terminated", "2026-11-22 11:40:00+00")]
    assert files(tmp_path) == []


async def test_start_that_only_this_process_saw_is_kept(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror, tmp_path: Path
) -> None:
    """A kubelet that lost a container forgets when it started; the first process does not."""
    own_server.kill()
    running_pod = make_pod(started="2026-11-22T10:30:00Z")
    lost = {"annotations": {"soulbox.dev/lost-time": "2026-11-22T11:00:00Z"}}
    over = newer(
        running_pod,
        status={"phase": "Failed", "containerStatuses": None},
        metadata={**DELETED["metadata"], **lost},
    )
    mirror = with_spool(make_mirror(on=own_store), tmp_path)
    async with running(mirror):
        mirror.offer(Kind.POD, running_pod)
        await keep(mirror, [(Kind.POD, over)])
    await asyncio.to_thread(own_server.start)
    after = with_spool(make_mirror(on=own_store), tmp_path)
    async with running(after):
        await until(lambda: after.spooler.statistics().objects == 0)
    assert look(
        own_server, "select sum(quantity), min(starts_at)::text from soulbox.billing_events"
    ) == [(1800, "2026-11-22 10:30:00+00")]


async def test_kill_nine_while_it_is_written_back_loses_and_doubles_nothing(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror, tmp_path: Path
) -> None:
    own_server.kill()
    mirror = with_spool(make_mirror(on=own_store), tmp_path)
    async with running(mirror):
        for _ in range(10):
            await keep(mirror, [one for _ in range(60) for one in an_object_of_each()])
    await asyncio.to_thread(own_server.start)
    after = with_spool(make_mirror(on=own_store), tmp_path)
    assert after.spooler.statistics().objects == 1800
    async with running(after):
        for _ in range(3):
            wanted = after.statistics().batches + 1
            await until(lambda wanted=wanted: after.statistics().batches >= wanted)
            own_server.kill()
            await asyncio.to_thread(own_server.start)
        await until(lambda: after.spooler.statistics().objects == 0)
        assert after.statistics().dead_letters == 0
    for table in ("sandboxes", "executions", "pod_runs"):
        assert count(own_server, table) == 600
    assert look(
        own_server,
        "select count(*), sum(quantity), count(distinct event_id) from soulbox.billing_events",
    ) == [(1200, 600 * 3600, 1200)]


async def test_newest_version_wins_whichever_process_kept_it_first(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror, tmp_path: Path
) -> None:
    old = merge(make_running_sandbox(status={"message": "older"}), DELETED)
    # Of a Sandbox that goes only the words of its end are kept.
    new = newer(old, status={"state": "Terminated", "message": "newer"})
    own_server.kill()
    # Two replicas took turns; the one with the newer version has the older file.
    for version in (new, old):
        mirror = with_spool(make_mirror(on=own_store), tmp_path)
        sighting = mirror.sighting(Kind.SANDBOX, version)
        assert sighting is not None
        if version is old:
            mirror.spooler._spool = Spool(tmp_path, CLUSTER_UID)  # started before the other wrote
        await mirror.spooler.keep([sighting])
    assert len(files(tmp_path)) == 2
    await asyncio.to_thread(own_server.start)
    after = with_spool(make_mirror(on=own_store), tmp_path)
    async with running(after):
        await until(lambda: after.spooler.statistics().objects == 0)
    assert look(own_server, "select message from soulbox.sandboxes") == [("newer",)]


async def test_what_is_there_already_is_not_kept_twice(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror, tmp_path: Path
) -> None:
    own_server.kill()
    objects = an_object_of_each()
    for _ in range(2):  # the second process died before the finalizers went
        mirror = with_spool(make_mirror(on=own_store), tmp_path)
        await keep(mirror, objects)
        assert all(mirror.is_recorded(one["metadata"]["uid"]) for _, one in objects)
    (path,) = files(tmp_path)
    assert len(path.read_text().splitlines()) == 3
    own_server.start()


async def test_newer_version_that_comes_meanwhile_is_not_called_recorded(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror, tmp_path: Path
) -> None:
    own_server.kill()
    mirror = with_spool(make_mirror(on=own_store), tmp_path)
    box = merge(make_running_sandbox(), DELETED)
    mirror.offer(Kind.SANDBOX, box)
    sighting = last_of(mirror, Kind.SANDBOX, box)
    mirror.offer(Kind.SANDBOX, newer(box))
    await mirror.spooler.keep([sighting])
    assert not mirror.is_recorded(sighting.uid)
    own_server.start()


async def test_poison_torn_and_broken_lines_hold_nobody_up(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror, tmp_path: Path
) -> None:
    own_server.kill()
    mirror = with_spool(make_mirror(on=own_store), tmp_path)
    odd = merge(make_finished_execution(status={"attempt": -1}), DELETED)
    malformed = merge(make_finished_execution(), {**DELETED, "spec": {"code": 5}})
    good = an_object_of_each()
    await keep(mirror, [*good[:2], (Kind.EXECUTION, odd), (Kind.EXECUTION, malformed), *good[2:]])
    (path,) = files(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], "so\x00mething else", *lines[2:], '{"kind":"Po']))
    own_server.start()
    after = with_spool(make_mirror(on=own_store), tmp_path)
    async with running(after):
        await until(lambda: after.spooler.statistics().objects == 0)
        assert after.statistics().healthy
    for table in ("sandboxes", "executions", "pod_runs"):
        assert count(own_server, table) == 1
    letters = look(own_server, "select kind, uid, payload from soulbox.dead_letter order by id")
    assert [letter[0] for letter in letters].count("Execution") == 2
    (line,) = [letter for letter in letters if letter[0] == "SpoolLine"]
    assert line[1] == f"{path.name}:3"
    assert line[2] == "so\x00mething else\n"
    assert files(tmp_path) == []


async def test_what_cannot_be_kept_is_not_recorded_and_is_told(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror, tmp_path: Path
) -> None:
    own_server.kill()
    mirror = make_mirror(on=own_store)
    objects = an_object_of_each()
    with pytest.raises(SpoolUnavailable, match="spool_directory"):
        await keep(mirror, objects)
    directory = tmp_path / "spool"
    directory.mkdir()
    with_spool(mirror, directory)
    directory.rmdir()
    with pytest.raises(SpoolUnavailable, match="No such file"):
        await keep(mirror, objects)
    await mirror.spooler.probe()
    statistics = mirror.spooler.statistics()
    assert (statistics.objects, statistics.failures) == (0, 2)
    assert "No such file" in statistics.problem
    assert not any(mirror.is_recorded(one["metadata"]["uid"]) for _, one in objects)
    directory.mkdir()
    await mirror.spooler.probe()
    assert mirror.spooler.statistics().problem == ""
    own_server.start()


async def test_file_that_cannot_be_removed_is_not_written_again_and_again(
    own_server: PostgresServer,
    own_store: Store,
    make_mirror: MakeMirror,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    own_server.kill()
    await keep(with_spool(make_mirror(on=own_store), tmp_path), an_object_of_each())
    await asyncio.to_thread(own_server.start)
    after = with_spool(make_mirror(on=own_store), tmp_path)

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", read_only)
    async with running(after):
        await until(lambda: after.spooler.statistics().failures == 1)
        after.offer(Kind.SANDBOX, make_running_sandbox())
        await drained(after)
        assert after.spooler.statistics().failures == 1
    assert count(own_server, "sandboxes") == 2
    assert len(files(tmp_path)) == 1


async def test_objects_are_overdue_by_their_deletion_pods_first(
    make_mirror: MakeMirror, tmp_path: Path
) -> None:
    mirror = make_mirror()
    objects = an_object_of_each()
    objects.append((Kind.SANDBOX, make_running_sandbox()))
    fresh = merge(
        make_running_sandbox(), {"metadata": {"deletionTimestamp": "2999-01-01T00:00:00Z"}}
    )
    for kind, manifest in (*objects, (Kind.SANDBOX, fresh)):
        mirror.offer(kind, manifest)
    found = mirror.spooler.overdue(600)
    assert [kind for kind, _ in found] == [Kind.POD, Kind.SANDBOX, Kind.EXECUTION]
    unfinished = merge(make_pod(uid=new_uid(), started="2026-11-22T10:30:00Z"), DELETED)
    sighting = mirror.sighting(Kind.POD, unfinished)
    assert sighting is not None
    assert not mirror.spooler.is_last(sighting)
