"""Partitions are made ahead, and dropped whole once all in them is old enough."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from soulbox.app.cli import app
from soulbox.model.errors import StoreRefused
from soulbox.model.retention import RetentionPolicy
from soulbox.model.states import Kind
from soulbox.store.files import load_queries
from soulbox.store.pool import Store
from soulbox.store.retention import partition_horizon, retain
from soulbox.store.state import DAILY, MONTHLY
from tests.support.fix_mirror import MakeMirror, drained, running, until
from tests.support.make_mirrored import make_execution, make_finished_execution, make_sandbox

NOW = datetime.now(UTC)


def partitions(connection: psycopg.Connection, parent: str) -> list[str]:
    rows = connection.execute(
        "select name from soulbox.v_partitions where parent = %s order by starts_at", (parent,)
    ).fetchall()
    return [row[0] for row in rows]


async def partitions_beside(connection: psycopg.Connection, parent: str) -> list[str]:
    """For a mirror of this event loop: to look may have to wait until it has dropped one."""
    return await asyncio.to_thread(partitions, connection, parent)


def ensure(connection: psycopg.Connection, parent: str, *moments: datetime) -> None:
    for moment in moments:
        connection.execute("select soulbox.ensure_partition(%s, %s)", (parent, moment))


def name_of_day(moment: datetime) -> str:
    return moment.strftime("resource_metrics_y%Ym%md%d")


def test_daily_partition_holds_exactly_its_day(sql_connection: psycopg.Connection) -> None:
    ensure(sql_connection, "resource_metrics", datetime(2026, 11, 25, 23, 59, 59, tzinfo=UTC))
    row = sql_connection.execute(
        "select name, starts_at, ends_at from soulbox.v_partitions "
        " where parent = 'resource_metrics'"
    ).fetchone()
    assert row == (
        "resource_metrics_y2026m11d25",
        datetime(2026, 11, 25, tzinfo=UTC),
        datetime(2026, 11, 26, tzinfo=UTC),
    )


@pytest.mark.parametrize("style", ["ISO, MDY", "German", "SQL, DMY", "Postgres, MDY"])
def test_partitions_are_told_right_in_any_date_style(
    sql_connection: psycopg.Connection, style: str
) -> None:
    ensure(sql_connection, "resource_metrics", datetime(2026, 11, 5, tzinfo=UTC))
    for setting, value in (("datestyle", style), ("timezone", "UTC")):
        sql_connection.execute("select set_config(%s, %s, false)", (setting, value))
    row = sql_connection.execute(
        "select extract(epoch from starts_at)::bigint from soulbox.v_partitions"
        " where parent = 'resource_metrics'"
    ).fetchone()
    assert row == (int(datetime(2026, 11, 5, tzinfo=UTC).timestamp()),)


async def test_only_partitions_past_the_policy_go(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    policy = RetentionPolicy(metrics_days=3, outputs_days=3, logs_days=3, executions_months=2)
    # A partition's end decides: the day that ended 3 days ago goes, the one after stays.
    days = [NOW - timedelta(days=back) for back in (5, 4, 3, 0)]
    ensure(sql_connection, "resource_metrics", *days)
    for parent in MONTHLY:
        ensure(sql_connection, parent, NOW - timedelta(days=200), NOW)
    would = await retain(store, policy, dry_run=True)
    assert partitions(sql_connection, "resource_metrics") == [name_of_day(day) for day in days]
    dropped = await retain(store, policy)
    assert dropped == would
    old = (NOW - timedelta(days=200)).strftime("_y%Ym%m")
    assert set(dropped) == {
        name_of_day(days[0]),
        name_of_day(days[1]),
        f"executions{old}",
        f"execution_outputs{old}",
        f"execution_logs{old}",
    }
    assert partitions(sql_connection, "resource_metrics") == [name_of_day(day) for day in days[2:]]
    assert await retain(store, policy) == []


@pytest.mark.parametrize(
    ("parent", "days"),
    [
        pytest.param("billing_events", 400, id="the ledger"),
        pytest.param("pod_runs", 400, id="what proves the ledger"),
        pytest.param(None, 400, id="no table"),
        pytest.param("resource_metrics", 0, id="everything"),
        pytest.param("executions", -400, id="the future"),
    ],
)
async def test_what_must_stay_is_refused(store: Store, parent: str | None, days: int) -> None:
    with pytest.raises(StoreRefused):
        async with store.transaction() as tx:
            await tx.fetch(
                load_queries("state")["drop_expired"],
                {"parent": parent, "days": days, "months": 0},
            )


@pytest.fixture
def reader_in_the_way(dsn: str) -> Iterator[psycopg.Connection]:
    """Somebody who has read an old partition and not ended his transaction."""
    with psycopg.connect(dsn) as connection:
        ensure(connection, "resource_metrics", NOW - timedelta(days=60))
        connection.commit()
        connection.execute("select count(*) from soulbox.resource_metrics").fetchone()
        yield connection
        connection.rollback()


@pytest.mark.slow
async def test_old_partition_that_somebody_reads_is_waited_for_5_s_and_dropped_later(
    make_mirror: MakeMirror,
    sql_connection: psycopg.Connection,
    reader_in_the_way: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also by a mirror that has nothing else to do."""

    def refusals() -> list[str]:
        return [record.error for record in caplog.records if hasattr(record, "error")]

    async with running(make_mirror(retain_retry_seconds=0.5)):
        await until(lambda: len(refusals()) > 0)
        assert "55P03" in refusals()[0]
        old = name_of_day(NOW - timedelta(days=60))
        assert old in await partitions_beside(sql_connection, "resource_metrics")
        reader_in_the_way.rollback()

        async def is_gone() -> bool:
            return old not in await partitions_beside(sql_connection, "resource_metrics")

        await until(is_gone)


async def test_operator_drops_makes_ahead_and_tells_the_horizon(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    ensure(sql_connection, "resource_metrics", NOW - timedelta(days=60))
    async with running(
        make_mirror(metric_days_ahead=2, partitions_ahead=1, retain_retry_seconds=0.5)
    ) as mirror:
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await drained(mirror)
        tables = {*MONTHLY, *DAILY}
        await until(lambda: mirror.statistics().partition_horizon_seconds.keys() == tables)
        ahead = [name_of_day(NOW + timedelta(days=day)) for day in range(3)]

        async def is_done() -> bool:
            return await partitions_beside(sql_connection, "resource_metrics") == ahead

        await until(is_done)
        horizon = mirror.statistics().partition_horizon_seconds
    day = 86_400
    assert 2 * day < horizon["resource_metrics"] <= 3 * day
    assert 28 * day <= horizon["executions"] <= 62 * day
    assert set(await partition_horizon(store)) == set(horizon)


async def test_partition_that_was_dropped_meanwhile_is_made_again(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    """By `soulbox db retain`, say: the mirror knew of it and learns by a refusal."""
    created = NOW - timedelta(days=500)
    metadata = {"creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ")}
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await until(lambda: mirror._upkeep._retain_at > 0)  # not in between
        for code in ("one", "two", "three"):
            execution = make_finished_execution(metadata=metadata, spec={"code": code})
            mirror.offer(Kind.EXECUTION, execution)
            await drained(mirror)
            found = sql_connection.execute("select code from soulbox.v_executions").fetchall()
            assert found == [(code,)]
            assert created.strftime("executions_y%Ym%m") in await retain(store, RetentionPolicy())
        assert mirror.statistics().dead_letters == 0


async def test_repair_leaves_dropped_what_ended_before_the_retention(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    long_ago = (NOW - timedelta(days=500)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = {"creationTimestamp": long_ago}
    old = make_finished_execution(metadata=made, status={"completionTime": long_ago})
    runs = make_execution(metadata=made, status={"state": "Running", "startTime": long_ago})
    late = make_finished_execution(
        metadata=made, status={"completionTime": NOW.isoformat(timespec="seconds")}
    )

    async def lists() -> AsyncIterator[tuple[Kind, list[dict[str, Any]]]]:
        yield Kind.EXECUTION, [old, runs, late]

    mirror = make_mirror()
    await mirror.repair(lists())
    assert mirror.is_recorded(old["metadata"]["uid"]), "its finalizer may go"
    await retain(store, RetentionPolicy())
    await mirror.repair(lists())
    rows = sql_connection.execute("select uid::text from soulbox.executions").fetchall()
    assert {row[0] for row in rows} == {runs["metadata"]["uid"], late["metadata"]["uid"]}


def test_wide_columns_are_compressed_as_well_as_the_server_can(
    sql_connection: psycopg.Connection,
) -> None:
    has_lz4 = True
    with contextlib.suppress(psycopg.Error), sql_connection.transaction():
        sql_connection.execute("create temp table probe (a text compression lz4)")
    has_lz4 = sql_connection.execute("select to_regclass('pg_temp.probe')").fetchone() != (None,)
    ensure(sql_connection, "execution_outputs", NOW)
    rows = sql_connection.execute(
        "select distinct attcompression::text from pg_attribute a"
        " join pg_inherits on inhrelid = attrelid"
        " where inhparent = 'soulbox.execution_outputs'::regclass and attname = 'bytes'"
    ).fetchall()
    assert rows == [("l" if has_lz4 else "",)]


def test_command_drops_and_tells(dsn: str, sql_connection: psycopg.Connection) -> None:
    ensure(sql_connection, "resource_metrics", NOW - timedelta(days=60), NOW)
    old = name_of_day(NOW - timedelta(days=60))
    runner = CliRunner(env={"SOULBOX_DSN": dsn})
    assert f"would be dropped: {old}" in runner.invoke(app, ["db", "retain", "--dry-run"]).output
    assert runner.invoke(app, ["db", "retain"]).output == f"dropped: {old}\n"
    assert runner.invoke(app, ["db", "retain"]).output == "nothing is old enough to be dropped\n"
    assert partitions(sql_connection, "resource_metrics") == [name_of_day(NOW)]
