"""Repair against complete lists, fencing of an earlier leader, and two writers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg
import pytest

from soulbox.kinds.registry import ENTRIES
from soulbox.mirror import LeaderFenced, acquire_epoch
from soulbox.mirror.items import ItemBuilder
from soulbox.model.errors import StoreUnavailable
from soulbox.model.states import Kind
from soulbox.store.pool import Store
from tests.support.fix_mirror import CONTEXT, MakeMirror, Recorded, drained, running, until
from tests.support.make_mirrored import (
    make_execution,
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    make_sandbox,
    merge,
    newer,
)

UNBORN = "00000000-0000-0000-0000-0000000000ff"
Lists = Mapping[Kind, Sequence[dict[str, Any]]]


async def lister(lists: Lists) -> AsyncIterator[tuple[Kind, Sequence[dict[str, Any]]]]:
    for kind in (Kind.SANDBOX, Kind.EXECUTION, Kind.POD):
        yield kind, lists.get(kind, [])


def rows(connection: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


async def test_repair_writes_what_is_missing_and_what_is_older(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    known = make_sandbox(name="known")
    finished = make_finished_execution()
    pod = make_pod(started="2026-11-22T10:00:00Z", finished="2026-11-22T10:00:30Z")
    mirror = make_mirror()
    await mirror.repair(lister({Kind.SANDBOX: [known]}))
    changed = newer(known, status={"state": "Running"})
    missed = make_sandbox(name="missed")
    await make_mirror().repair(
        lister(
            {
                Kind.SANDBOX: [changed, missed],
                Kind.EXECUTION: [finished, make_execution()],
                Kind.POD: [pod, make_pod()],
            }
        )
    )
    assert rows(sql_connection, "select name, state from soulbox.sandboxes order by name") == [
        ("known", "running"),
        ("missed", "created"),
    ]
    assert rows(sql_connection, "select count(*) from soulbox.executions") == [(2,)]
    assert rows(sql_connection, "select quantity::int from soulbox.billing_events") == [(30,)]
    assert set(recorded) == {
        (Kind.EXECUTION, finished["metadata"]["uid"]),
        (Kind.POD, pod["metadata"]["uid"]),
    }


async def test_repair_again_writes_nothing(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    lists: Lists = {
        Kind.SANDBOX: [make_sandbox() for _ in range(30)],
        Kind.EXECUTION: [make_finished_execution() for _ in range(30)],
        Kind.POD: [
            make_pod(started="2026-11-22T10:00:00Z", finished="2026-11-22T10:00:30Z")
            for _ in range(30)
        ],
    }
    mirror = make_mirror()
    await mirror.repair(lister(lists))
    before = rows(sql_connection, "select count(*), max(seq) from soulbox.changes")
    batches = mirror.statistics().batches
    await mirror.repair(lister(lists))
    assert mirror.statistics().batches == batches
    assert rows(sql_connection, "select count(*), max(seq) from soulbox.changes") == before
    # After a restart what has ended is looked at once more, to let go of finalizers.
    await make_mirror().repair(lister(lists))
    assert rows(sql_connection, "select count(*), max(seq) from soulbox.changes") == before


async def test_repair_marks_what_is_gone_and_makes_up_no_time(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    sandbox = make_running_sandbox()
    execution = make_execution(status={"state": "Running", "startTime": "2026-11-22T10:00:01Z"})
    pod = make_pod(started="2026-11-22T10:00:00Z")
    mirror = make_mirror()
    await mirror.repair(
        lister({Kind.SANDBOX: [sandbox], Kind.EXECUTION: [execution], Kind.POD: [pod]})
    )
    await mirror.repair(lister({}))
    assert mirror.statistics().ends_unknown == 1
    assert rows(
        sql_connection,
        "select state, terminated_at, deleted_at is not null from soulbox.sandboxes",
    ) == [("terminated", None, True)]
    assert rows(
        sql_connection,
        "select state, completed_at, deleted_at is not null from soulbox.executions",
    ) == [("running", None, True)]
    assert rows(
        sql_connection, "select finished_at, deleted_at is not null from soulbox.pod_runs"
    ) == [(None, True)]
    assert rows(sql_connection, "select count(*) from soulbox.billing_events") == [(0,)]
    assert rows(
        sql_connection, "select kind, op from soulbox.changes where op = 'delete' order by kind"
    ) == [("execution", "delete"), ("sandbox", "delete")]


async def test_end_that_is_told_after_a_repair_found_the_object_gone_is_not_lost(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """Its finalizer was taken while it ran: its code is ended first, which takes seconds."""
    execution = make_execution(status={"state": "Running", "startTime": "2026-11-22T10:00:01Z"})
    mirror = make_mirror()
    await mirror.repair(lister({Kind.EXECUTION: [execution]}))
    await mirror.repair(lister({}))
    query = "select state, reason, completed_at is null, deleted_at is null from soulbox.executions"
    assert rows(sql_connection, query) == [("running", None, True, False)]
    end = {"state": "Cancelled", "reason": "Cancelled", "completionTime": "2026-11-22T10:00:09Z"}
    mirror.offer(Kind.EXECUTION, merge(execution, {"status": end}), deleted=True)
    async with running(mirror):
        await drained(mirror)
    assert rows(sql_connection, query) == [("cancelled", "Cancelled", False, False)]
    marks = "select state, ended_at at time zone 'UTC' = '2026-11-22 10:00:09' from"
    assert rows(sql_connection, f"{marks} soulbox.usage_marks") == [("cancelled", True)]


async def test_repair_leaves_alone_what_was_written_after_the_list_began(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """An object made while the list was on its way is not in it, and not gone."""
    fresh = make_sandbox(name="fresh")
    async with running(make_mirror()) as mirror:

        async def slow_lister() -> AsyncIterator[tuple[Kind, Sequence[dict[str, Any]]]]:
            mirror.offer(Kind.SANDBOX, fresh)
            await drained(mirror)
            yield Kind.SANDBOX, []

        await mirror.repair(slow_lister())
        assert mirror.is_recorded("unknown") is False
    assert rows(sql_connection, "select name, deleted_at from soulbox.sandboxes") == [
        ("fresh", None)
    ]


async def test_repair_touches_only_its_own_cluster(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, store: Store
) -> None:
    await make_mirror().repair(lister({Kind.SANDBOX: [make_sandbox()]}))
    sql_connection.execute("update soulbox.sandboxes set cluster = gen_random_uuid()")
    await make_mirror().repair(lister({}))
    assert rows(sql_connection, "select deleted_at from soulbox.sandboxes") == [(None,)]


async def test_repair_touches_only_the_namespaces_it_lists(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """An operator that serves fewer than before knows nothing of the others' objects."""
    lists: dict[Kind, list[dict[str, Any]]] = {Kind.SANDBOX: [], Kind.EXECUTION: [], Kind.POD: []}
    for namespace in ("served", "other"):
        where = {"namespace": namespace}
        lists[Kind.SANDBOX].append(make_running_sandbox(metadata=where))
        lists[Kind.EXECUTION].append(make_execution(metadata=where))
        lists[Kind.POD].append(make_pod(started="2026-11-22T10:00:00Z", metadata=where))
    await make_mirror().repair(lister(lists))
    narrow = make_mirror(namespaces=("served", "also"))
    await narrow.repair(lister({}))
    assert narrow.statistics().ends_unknown == 1
    for table in ("sandboxes", "executions", "pod_runs"):
        gone = f"select namespace, deleted_at is not null from soulbox.{table} order by 1"
        assert rows(sql_connection, gone) == [("other", False), ("served", True)], table


async def test_versions_going_backwards_begin_a_new_epoch(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """etcd was restored: an object is older than its row, others have versions again that
    were used before."""
    sandbox = make_sandbox(metadata={"resourceVersion": "5000"}, status={"state": "Running"})
    other = make_sandbox(metadata={"resourceVersion": "4000"})
    mirror = make_mirror()
    await mirror.repair(lister({Kind.SANDBOX: [sandbox, other]}))
    older = merge(
        sandbox, {"metadata": {"resourceVersion": "300"}, "status": {"state": "Starting"}}
    )
    await mirror.repair(lister({Kind.SANDBOX: [older, other]}))
    assert rows(
        sql_connection,
        "select state, resource_version, mirror_epoch from soulbox.sandboxes order by 2",
    ) == [("starting", 300, 2), ("created", 4000, 2)]
    assert rows(sql_connection, "select mirror_epoch from soulbox.mirror_state") == [(2,)]
    # From now on the new timeline counts.
    async with running(mirror):
        mirror.offer(Kind.SANDBOX, newer(older, metadata={"resourceVersion": "301"}))
        await drained(mirror)
    await mirror.repair(lister({Kind.SANDBOX: [older, other]}))
    versions = "select resource_version, mirror_epoch from soulbox.sandboxes order by 1"
    assert rows(sql_connection, versions) == [(300, 3), (4000, 3)]


async def test_memory_ends_with_the_objects(make_mirror: MakeMirror) -> None:
    lists = [make_finished_execution() for _ in range(10)]
    async with running(make_mirror()) as mirror:
        await mirror.repair(lister({Kind.EXECUTION: lists}))
        assert len(mirror._batches.tracker) == 10
        mirror.offer(Kind.EXECUTION, lists[0], deleted=True)
        await drained(mirror)
        assert len(mirror._batches.tracker) == 9
        # The news of the others never came.
        await mirror.repair(lister({Kind.EXECUTION: lists[1:2]}))
        assert len(mirror._batches.tracker) == 1
        assert mirror.is_recorded(lists[1]["metadata"]["uid"])


async def test_repair_with_malformed_objects_buries_them_and_goes_on(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    odd: list[dict[str, Any]] = [
        {"metadata": {"uid": "not-a-uuid", "resourceVersion": "1"}},
        {"metadata": {"uid": "x", "creationTimestamp": "never"}},
        {"metadata": {"uid": UNBORN, "resourceVersion": "1", "creationTimestamp": "never"}},
        {"metadata": "odd"},
        {},
    ]
    mirror, good = make_mirror(), make_execution()
    for _ in range(2):
        await mirror.repair(lister({Kind.EXECUTION: [*odd, good]}))
    assert rows(sql_connection, "select deleted_at from soulbox.executions") == [(None,)]
    assert rows(sql_connection, "select uid, refusals from soulbox.dead_letter order by 1") == [
        (UNBORN, 1),
        ("not-a-uuid", 1),
        ("x", 1),
    ]


async def test_repair_ignores_kinds_that_have_no_rows(make_mirror: MakeMirror) -> None:
    mirror = make_mirror()
    mirror.offer(Kind.NAMESPACE, {"metadata": {"uid": "x"}})
    mirror.offer(Kind.SANDBOX, {"metadata": {}})
    assert mirror.statistics().pending == 0

    async def classes() -> AsyncIterator[tuple[Kind, Sequence[dict[str, Any]]]]:
        yield Kind.SANDBOX_CLASS, [make_sandbox()]

    await mirror.repair(classes())
    assert mirror.statistics().batches == 0


async def test_repair_before_an_offered_version_was_written(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """The list is older than what waits: the newer version is not forgotten."""
    old = make_sandbox()
    new = newer(old, status={"state": "Running"})
    mirror = make_mirror()
    mirror.offer(Kind.SANDBOX, new)
    await mirror.repair(lister({Kind.SANDBOX: [old]}))
    assert mirror.statistics().pending == 1
    async with running(mirror):
        await drained(mirror)
    assert rows(sql_connection, "select state from soulbox.sandboxes") == [("running",)]


async def test_repair_forgets_no_end_that_was_written_while_it_listed(
    make_mirror: MakeMirror,
) -> None:
    box = make_running_sandbox()
    ending = newer(box, metadata={"deletionTimestamp": "2026-11-22T11:00:00Z"})

    async with running(make_mirror()) as mirror:

        async def slowly() -> AsyncIterator[tuple[Kind, Sequence[dict[str, Any]]]]:
            mirror.offer(Kind.SANDBOX, ending)
            await drained(mirror)
            yield Kind.SANDBOX, [box]

        mirror.offer(Kind.SANDBOX, box)
        await drained(mirror)
        await mirror.repair(slowly())
        assert mirror.is_recorded(box["metadata"]["uid"])


async def test_repair_that_failed_is_asked_for_again(make_mirror: MakeMirror, store: Store) -> None:
    mirror = make_mirror()

    async def failing() -> AsyncIterator[tuple[Kind, Sequence[dict[str, Any]]]]:
        yield Kind.SANDBOX, []
        raise StoreUnavailable("lost in the middle")

    with pytest.raises(StoreUnavailable):
        await mirror.repair(failing())
    assert mirror.statistics().relist_needed
    await mirror.repair(lister({}))
    assert not mirror.statistics().relist_needed


# Fencing.


async def test_earlier_leader_is_fenced_out(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, store: Store
) -> None:
    old = make_mirror(epoch=await acquire_epoch(store, CONTEXT.cluster_uid))
    task = asyncio.create_task(old.run())
    old.offer(Kind.SANDBOX, make_sandbox())
    await drained(old)
    new = make_mirror(epoch=await acquire_epoch(store, CONTEXT.cluster_uid))
    stale = make_sandbox(name="stale")
    old.offer(Kind.SANDBOX, stale)
    with pytest.raises(LeaderFenced, match=r"leader epoch 1 is over \(now 2\)"):
        await task
    assert old.statistics().pending == 1
    async with running(new):
        new.offer(Kind.SANDBOX, stale)
        await drained(new)
    assert rows(sql_connection, "select count(*) from soulbox.sandboxes") == [(2,)]


async def test_leader_that_is_fenced_at_its_end_says_so(
    make_mirror: MakeMirror, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = make_mirror(epoch=await acquire_epoch(store, CONTEXT.cluster_uid), linger_seconds=30.0)
    async with running(mirror):
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await acquire_epoch(store, CONTEXT.cluster_uid)
    messages = [record.message for record in caplog.records]
    assert "the mirror failed at the end" in messages
    assert mirror.statistics().pending == 1


async def test_fenced_leader_can_write_nothing_else_either(
    make_mirror: MakeMirror, store: Store
) -> None:
    old = make_mirror(epoch=await acquire_epoch(store, CONTEXT.cluster_uid))
    await acquire_epoch(store, CONTEXT.cluster_uid)
    execution = make_execution()
    uid = execution["metadata"]["uid"]
    old.offer(Kind.EXECUTION, execution)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    from datetime import UTC, datetime

    created = datetime(2026, 11, 22, 10, tzinfo=UTC)
    for attempt in (
        old.repair(lister({})),
        old.save_output(uid, created, "stdout", chunks()),
        old.mark_output_complete(uid, created),
        old.meter_running(
            [make_pod(started="2026-11-22T08:00:00Z")],
            lambda _: datetime(2026, 11, 22, 10, tzinfo=UTC),
        ),
    ):
        with pytest.raises(LeaderFenced):
            await attempt


async def test_tasks_of_one_operator_do_not_fence_each_other(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """Batches, repair and outputs all need the epoch first."""
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await asyncio.gather(*(mirror.repair(lister({})) for _ in range(5)))
        await drained(mirror)
    assert rows(sql_connection, "select leader_epoch from soulbox.mirror_state") == [(1,)]


async def test_leaders_of_other_clusters_do_not_fence(store: Store) -> None:
    other = "11111111-2222-3333-4444-555555555555"
    assert await acquire_epoch(store, CONTEXT.cluster_uid) == 1
    assert await acquire_epoch(store, other) == 1
    assert await acquire_epoch(store, CONTEXT.cluster_uid) == 2


async def test_new_leader_waits_for_the_transaction_of_the_old_one(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    from soulbox.mirror.fence import Fence

    fence = Fence(store, CONTEXT.cluster_uid, await acquire_epoch(store, CONTEXT.cluster_uid))
    async with store.transaction() as tx:
        await fence.check(tx)
        following = asyncio.create_task(acquire_epoch(store, CONTEXT.cluster_uid))

        def waits() -> bool:
            return bool(
                rows(
                    sql_connection,
                    "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
                    " and query like '%leader_epoch%'",
                )
            )

        await until(waits)
        assert not following.done()
    assert await following == 2


async def test_database_that_was_emptied_fences_until_a_new_start(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, store: Store
) -> None:
    mirror = make_mirror(epoch=await acquire_epoch(store, CONTEXT.cluster_uid))
    sql_connection.execute("delete from soulbox.mirror_state")
    mirror.offer(Kind.SANDBOX, make_sandbox())
    with pytest.raises(LeaderFenced, match="now none"):
        await mirror.run()


async def test_two_clusters_write_side_by_side(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    """As many writers as may be at once: one a cluster, and one with no epoch of its own."""
    from dataclasses import replace

    from soulbox.mirror import Mirror
    from tests.support.fix_mirror import FAST

    contexts = [
        replace(CONTEXT, cluster_uid=f"00000000-0000-0000-0000-00000000000{index}")
        for index in range(4)
    ]
    mirrors = [
        Mirror(
            store,
            ItemBuilder(ENTRIES, one),
            on_recorded=lambda *_: None,
            settings=replace(FAST, batch_size=7),
        )
        for one in contexts
    ]
    created = [f"2026-{month:02}-01T00:00:00Z" for month in range(1, 13)]
    async with running(mirrors[0]), running(mirrors[1]), running(mirrors[2]), running(mirrors[3]):
        for index in range(120):
            for mirror in mirrors:
                mirror.offer(Kind.EXECUTION, make_finished_execution(), deleted=False)
                mirror.offer(
                    Kind.EXECUTION,
                    merge(
                        make_finished_execution(),
                        {"metadata": {"creationTimestamp": created[index % 12]}},
                    ),
                )
        for mirror in mirrors:
            await drained(mirror)
            assert mirror.statistics().failures == 0
    assert (
        rows(sql_connection, "select count(*) from soulbox.executions group by cluster")
        == [(240,)] * 4
    )
