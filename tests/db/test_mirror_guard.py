"""Newer versions win whatever the order, and what is read back is what was written."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from soulbox.kinds.execution.rows import build_execution_row, build_program_row
from soulbox.kinds.registry import ENTRIES
from soulbox.kinds.sandbox.rows import build_sandbox_row
from soulbox.mirror.fence import Fence
from soulbox.mirror.items import ItemBuilder
from soulbox.mirror.pending import Sighting
from soulbox.mirror.tracker import Tracker
from soulbox.mirror.writer import BatchResult, BatchWriter
from soulbox.model.billing import BillingEvent, BillingKind
from soulbox.model.errors import StoreRefused
from soulbox.model.rows import DeadLetterRow, ExecutionRow, PodRunRow, SandboxRow
from soulbox.model.states import Kind
from soulbox.pure.pods.sight import build_pod_sight
from soulbox.store.feed import FeedStore
from soulbox.store.ledger import LedgerStore, PriceStore
from soulbox.store.objects import ObjectStore, ProgramStore
from soulbox.store.pool import Store, Transaction
from soulbox.store.state import Epochs, StateStore
from tests.support.fix_mirror import CONTEXT, MakeMirror, drained, running, until
from tests.support.make_mirrored import (
    make_execution,
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    make_sandbox,
    merge,
    new_uid,
)

EPOCHS = Epochs(leader_epoch=1, mirror_epoch=1, database_epoch=1)
CREATED = datetime(2026, 11, 22, 10, tzinfo=UTC)


def sighting(kind: Kind, manifest: dict[str, Any], *, deleted: bool = False) -> Sighting:
    return Sighting(
        kind=kind,
        uid=manifest["metadata"]["uid"],
        manifest=manifest,
        version=int(manifest["metadata"]["resourceVersion"]),
        deleted=deleted,
        seen_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        waiting_since=0.0,
    )


def sandboxes(tx: Transaction) -> ObjectStore[SandboxRow]:
    return ObjectStore(tx, SandboxRow)


def executions(tx: Transaction) -> ObjectStore[ExecutionRow]:
    return ObjectStore(tx, ExecutionRow)


def pod_runs(tx: Transaction) -> ObjectStore[PodRunRow]:
    return ObjectStore(tx, PodRunRow)


async def write(store: Store, batch: Sequence[Sighting]) -> BatchResult:
    """As another process would: with a memory and an epoch of its own."""
    result = BatchResult()
    fence = Fence(store, CONTEXT.cluster_uid, None)
    writer = BatchWriter(store, ItemBuilder(ENTRIES, CONTEXT), fence, Tracker(ENTRIES))
    await writer.write(batch, result)
    return result


async def test_rows_are_read_back_as_they_were_written(store: Store) -> None:
    sandbox = build_sandbox_row(make_running_sandbox(), CONTEXT)
    execution = build_execution_row(make_finished_execution(), CONTEXT)
    bare = build_execution_row(make_execution(status=None), CONTEXT)
    program = build_program_row(make_execution(), CONTEXT)
    run = build_pod_sight(
        make_pod(started="2026-11-22T10:00:00Z", finished="2026-11-22T10:00:09Z"),
        CONTEXT,
        seen_at=CREATED,
    ).run
    assert program is not None
    assert run is not None
    async with store.transaction() as tx:
        await StateStore(tx).ensure_partitions([CREATED])
        await sandboxes(tx).upsert([sandbox], EPOCHS)
        await executions(tx).upsert([execution, bare], EPOCHS)
        await ProgramStore(tx).insert([program])
        await pod_runs(tx).upsert([run], EPOCHS)
    async with store.transaction() as tx:
        assert await sandboxes(tx).by_uid([sandbox.uid]) == {sandbox.uid: sandbox}
        both = {execution.uid: execution, bare.uid: bare}
        assert await executions(tx).by_uid([*both]) == both
        assert await ProgramStore(tx).get(program.tenant, program.code_sha256) == program
        assert await pod_runs(tx).by_uid([run.pod_uid]) == {run.pod_uid: run}


async def test_what_is_not_there_is_none(store: Store) -> None:
    async with store.transaction() as tx:
        await StateStore(tx).ensure_partitions([CREATED])
        for objects in (sandboxes(tx), executions(tx), pod_runs(tx)):
            assert await objects.by_uid([UUID(int=1)]) == {}
        assert await ProgramStore(tx).get("t", "0" * 64) is None
        assert await LedgerStore(tx).of_pods([UUID(int=1)]) == []
        assert await FeedStore(tx).dead_letters(UUID(int=1)) == []


async def test_ledger_rows_dead_letters_and_plans_are_read_back(store: Store) -> None:
    from decimal import Decimal

    event = BillingEvent(
        event_id=UUID(int=1),
        cluster=UUID(int=2),
        tenant="t",
        user_name="ada",
        kind=BillingKind.EXECUTION,
        pod_uid=UUID(int=3),
        window_hour=CREATED,
        sandbox_uid=None,
        execution_uid=UUID(int=4),
        starts_at=CREATED,
        ends_at=CREATED.replace(microsecond=1),
        quantity=Decimal("0.000001"),
        rounding_seconds=Decimal("59.999999"),
        unit="seconds",
        compute_units=Decimal("0.0000000001"),
        amount=Decimal(0),
        currency="USD",
        price_plan="default-free-1",
        sku="default",
        tier="free",
        occurred_at=CREATED.replace(microsecond=1),
        metadata={"note": ["x"]},
    )
    letter = DeadLetterRow(
        cluster=UUID(int=2),
        tenant=None,
        user_name=None,
        kind="Pod",
        uid="u",
        namespace=None,
        name=None,
        resource_version="1",
        sqlstate="23514",
        constraint_name="c",
        error="e",
        payload='{"a":"\\u0000\\ud800"}',
    )
    async with store.transaction() as tx:
        again = replace(event, event_id=UUID(int=9))
        assert await LedgerStore(tx).insert([event, event, again]) == 1
        await FeedStore(tx).bury(letter)
        await FeedStore(tx).bury(replace(letter, error="again"))
    async with store.transaction() as tx:
        assert await LedgerStore(tx).of_pods([UUID(int=3)]) == [event]
        want = replace(letter, error="again", refusals=2)
        assert await FeedStore(tx).dead_letters(UUID(int=2)) == [want]
        (plan,) = await PriceStore(tx).plans()
    assert (plan.name, plan.sku, plan.tier, plan.valid_to) == (
        "default-free-1",
        "default",
        "free",
        None,
    )
    assert plan.rate == Decimal("0.00002")


@pytest.mark.parametrize("seed", range(3))
async def test_newest_version_stands_after_shuffle_and_replay(
    store: Store, sql_connection: psycopg.Connection, seed: int
) -> None:
    """500 objects of 4 versions each, offered in any order, in any batches, some twice."""
    dice = random.Random(seed)
    versions: list[Sighting] = []
    for index in range(500):
        uid = new_uid()
        for version, state in enumerate(("Queued", "Running", "Running", "Completed"), start=1):
            manifest = make_execution(uid=uid, name=f"run-{index}")
            manifest["metadata"]["resourceVersion"] = str(index * 10 + version)
            manifest["status"] = {"state": state, "message": f"v{version}"}
            versions.append(sighting(Kind.EXECUTION, manifest))
    offered = versions + dice.sample(versions, 500)
    dice.shuffle(offered)
    start = 0
    while start < len(offered):
        batch = {one.uid: one for one in offered[start : start + dice.randint(1, 300)]}
        start += len(batch)
        await write(store, list(batch.values()))
    await write(store, list({one.uid: one for one in versions}.values()))
    rows = sql_connection.execute(
        "select state, message, count(*) from soulbox.executions group by 1, 2"
    ).fetchall()
    assert rows == [("completed", "v4", 500)]


async def test_same_version_again_changes_nothing_but_the_news_that_it_is_gone(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    sandbox, execution = make_running_sandbox(), make_execution()
    batch = [sighting(Kind.SANDBOX, sandbox), sighting(Kind.EXECUTION, execution)]
    assert (await write(store, batch)).rows_written == 3
    assert (await write(store, batch)).rows_written == 0
    gone = [replace(one, deleted=True) for one in batch]
    assert (await write(store, gone)).rows_written == 2
    assert (await write(store, gone)).rows_written == 0
    assert (await write(store, batch)).rows_written == 0
    ops = sql_connection.execute(
        "select kind, op from soulbox.changes order by kind, seq"
    ).fetchall()
    assert ops == [
        ("execution", "insert"),
        ("execution", "delete"),
        ("sandbox", "insert"),
        ("sandbox", "delete"),
    ]


async def test_tenant_and_user_stay_as_first_written(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    manifest = make_running_sandbox()
    await write(store, [sighting(Kind.SANDBOX, manifest)])
    moved = merge(manifest, {"metadata": {"resourceVersion": "999999", "namespace": "other"}})
    await write(store, [sighting(Kind.SANDBOX, merge(moved, {"spec": {"user": "eve"}}))])
    row = sql_connection.execute(
        "select tenant, user_name, namespace, resource_version from soulbox.sandboxes"
    ).fetchone()
    assert row == ("tenant-team-a", "ada", "team-a", 999999)


async def test_updated_at_is_kept_by_trigger_and_changes_tell_the_operation(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    manifest = make_sandbox()
    await write(store, [sighting(Kind.SANDBOX, manifest)])
    later = merge(manifest, {"metadata": {"resourceVersion": "999999"}})
    await write(store, [sighting(Kind.SANDBOX, later)])
    row = sql_connection.execute(
        "select recorded_at < updated_at from soulbox.sandboxes"
    ).fetchone()
    assert row == (True,)
    found = sql_connection.execute(
        "select op, payload ->> 'resource_version', epoch, xid8 is not null"
        " from soulbox.changes order by seq"
    ).fetchall()
    assert [one[0] for one in found] == ["insert", "update"]
    assert found[1][1:] == ("999999", 1, True)


async def test_each_flush_hints_to_listeners_once(make_mirror: MakeMirror, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("LISTEN soulbox_changes")
        async with running(make_mirror()) as mirror:
            for index in range(20):
                mirror.offer(Kind.SANDBOX, make_sandbox(name=f"box-{index}"))
            await drained(mirror)
        heard = list(listener.notifies(timeout=0.5))
    assert [one.payload for one in heard] == [CONTEXT.cluster_uid]


@pytest.mark.parametrize("created", ["2000-01-01T00:00:00Z", "2031-02-28T23:59:59Z"])
async def test_rows_of_odd_dates_get_a_partition_of_their_own(
    store: Store, sql_connection: psycopg.Connection, created: str
) -> None:
    manifest = make_execution(created=created)
    result = await write(store, [sighting(Kind.EXECUTION, manifest)])
    assert result.dead_letters == 0
    row = sql_connection.execute(
        "select tableoid::regclass::text, created_at from soulbox.executions"
    ).fetchone()
    assert row is not None
    assert row[0] == f"soulbox.executions_y{created[:4]}m{created[5:7]}"


async def test_partition_that_was_dropped_is_made_again(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, make_execution())
        await drained(mirror)
        # In a thread: it waits for a transaction the event loop may have open.
        await asyncio.to_thread(sql_connection.execute, "DROP TABLE soulbox.executions_y2026m11")
        mirror.offer(Kind.EXECUTION, make_execution())
        mirror.offer(Kind.EXECUTION, make_execution())
        await drained(mirror)
        assert mirror.statistics().dead_letters == 0
    assert sql_connection.execute("select count(*) from soulbox.executions").fetchone() == (2,)


async def test_partitions_are_made_ahead(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror(partitions_ahead=2)) as mirror:
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await drained(mirror)
        want = sql_connection.execute(
            "select array_agg(to_char(now() at time zone 'UTC' + make_interval(months => m),"
            ' \'"soulbox.executions_y"YYYY"m"MM\') order by m) from generate_series(0, 2) m'
        ).fetchone()

        def made() -> bool:
            have = sql_connection.execute(
                "select array_agg(inhrelid::regclass::text order by inhrelid::regclass::text)"
                " from pg_inherits where inhparent = 'soulbox.executions'::regclass"
            ).fetchone()
            return have == want

        await until(made)


@pytest.mark.parametrize(
    ("parent", "moment", "sqlstate"),
    [
        ("sandboxes", "2026-11-22T00:00:00Z", "22023"),
        ("executions", "1999-12-31T23:59:59Z", "22008"),
        ("executions", "2200-01-01T00:00:00Z", "22008"),
        ("executions", None, "22008"),
    ],
)
def test_partitions_of_nonsense_are_refused(
    sql_connection: psycopg.Connection, parent: str, moment: str | None, sqlstate: str
) -> None:
    with pytest.raises(psycopg.Error) as raised:
        sql_connection.execute("select soulbox.ensure_partition(%s, %s)", (parent, moment))
    assert raised.value.sqlstate == sqlstate


async def test_refused_row_rolls_the_whole_transaction_back(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    good = build_sandbox_row(make_running_sandbox(), CONTEXT)
    bad = replace(build_sandbox_row(make_sandbox(), CONTEXT), state="odd")
    run = build_pod_sight(make_pod(started="2026-11-22T10:00:00Z"), CONTEXT, seen_at=CREATED).run
    assert run is not None

    async def write_both() -> None:
        async with store.transaction() as tx:
            await pod_runs(tx).upsert([run], EPOCHS)
            await sandboxes(tx).upsert([good, bad], EPOCHS)

    with pytest.raises(StoreRefused) as raised:
        await write_both()
    assert raised.value.constraint == "sandboxes_state_known"
    assert store.healthy()
    for table in ("pod_runs", "sandboxes", "changes"):
        count = sql_connection.execute(f"select count(*) from soulbox.{table}").fetchone()
        assert count == (0,)


async def test_error_of_the_caller_rolls_back_and_the_connection_serves_on(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    row = build_sandbox_row(make_sandbox(), CONTEXT)

    async def write_twice() -> None:
        async with store.transaction() as tx:
            await sandboxes(tx).upsert([row], EPOCHS)
            await sandboxes(tx).upsert([row], EPOCHS)

    with pytest.raises(RuntimeError, match="stages SandboxRows once"):
        await write_twice()
    await store.ping()
    assert sql_connection.execute("select count(*) from soulbox.sandboxes").fetchone() == (0,)
