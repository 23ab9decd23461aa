"""What lies in the database, or in the server, and would hold every bill up: absurd prices, a
full NOTIFY queue, one pod that ran for ten years."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Any

import psycopg
import pytest

from soulbox.model.states import Kind
from soulbox.store.files import sql_directory
from soulbox.store.migrate import migrate
from soulbox.store.pool import open_store
from tests.support.fix_mirror import MakeMirror, Recorded, drained, running, until
from tests.support.make_mirrored import (
    make_execution,
    make_finished_execution,
    make_pod,
    make_running_sandbox,
)
from tests.support.postgres_server import PostgresServer, version_under_test

START, END = "2026-11-22T10:00:00Z", "2026-11-22T10:30:00Z"
INSERT_PLAN = (
    "insert into soulbox.price_plans"
    " (name, sku, tier, rate, valid, free_units, minimum_seconds, increment_seconds)"
    " values (%(name)s, 's', 't', %(rate)s, %(valid)s, %(free_units)s, %(minimum)s, %(increment)s)"
)
PLAN: dict[str, Any] = {
    "name": "n",
    "rate": "1",
    "valid": "[2030-01-01,)",
    "free_units": "0",
    "minimum": 0,
    "increment": 0,
}
RANGES = (
    "[2030-01-01,infinity)",
    "[infinity,)",
    "[-infinity,2031-01-01)",
    "[0044-03-15 BC,2031-01-01)",
    "[2030-01-01,20000-01-01)",
    "[20000-01-01,)",
)


def count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(f"select count(*) from soulbox.{table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    "change",
    [
        *({"valid": valid} for valid in RANGES),
        {"rate": "NaN"},
        {"free_units": "NaN"},
        {"rate": "9999999999.9999999999"},
        {"minimum": 2**62},
        {"increment": 2**62},
    ],
    ids=str,
)
def test_price_that_cannot_be_counted_with_is_refused(
    sql_connection: psycopg.Connection, change: dict[str, Any]
) -> None:
    sql_connection.execute(INSERT_PLAN, PLAN)
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NumericValueOutOfRange)):
        sql_connection.execute(INSERT_PLAN, {**PLAN, "name": "bad", **change})


@pytest.mark.parametrize("valid", RANGES)
def test_tier_at_a_time_that_cannot_be_read_is_refused(
    sql_connection: psycopg.Connection, valid: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        sql_connection.execute(
            "insert into soulbox.account_tiers (tenant, tier, valid) values ('a', 't', %s)",
            (valid,),
        )
    assert raised.value.diag.constraint_name == "account_tiers_valid_bounded"


async def test_absurd_prices_of_before_are_mended_by_the_migration(empty_dsn: str) -> None:
    migrate(empty_dsn, until=26)
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        for name, sku, rate, valid in (
            ("forever", "a", "1", "[2020-01-01,infinity)"),
            ("always", "b", "1", "[-infinity,2030-01-01)"),
            ("nan", "c", "NaN", "[2020-01-01,)"),
            ("never", "d", "1", "[infinity,)"),
        ):
            connection.execute(
                "insert into soulbox.price_plans (name, sku, tier, rate, valid)"
                " values (%s, %s, 'free', %s, %s)",
                (name, sku, rate, valid),
            )
        connection.execute(
            "insert into soulbox.account_tiers (tenant, tier, valid)"
            " values ('acme', 'gold', '[2026-01-01,infinity)')"
        )
        assert "0030_bounded_prices" in migrate(empty_dsn)
        plans = connection.execute(
            "select name, lower(valid), upper(valid) from soulbox.price_plans order by name"
        ).fetchall()
        assert [row[0] for row in plans] == ["always", "default-free-1", "forever"]
        assert plans[2][2] is None
        tier = connection.execute("select upper(valid) from soulbox.account_tiers").fetchone()
        assert tier == (None,)
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute("update soulbox.price_plans set rate = 2 where name = 'forever'")


async def test_price_that_cannot_be_read_blames_no_object_and_is_told(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    """As if a constraint had been dropped: everything waits, nothing is buried, /metrics says
    so, and all is billed once the plan is mended."""
    sql_connection.execute(
        "alter table soulbox.price_plans drop constraint price_plans_valid_bounded"
    )
    sql_connection.execute(INSERT_PLAN, {**PLAN, "valid": "[2030-01-01,infinity)"})
    pods = [make_pod(started=START, finished=END) for _ in range(3)]
    async with running(make_mirror()) as mirror:
        for pod in pods:
            mirror.offer(Kind.POD, pod)
        await until(lambda: mirror.statistics().failures >= 3)
        assert not mirror.statistics().healthy
        assert count(sql_connection, "dead_letter") == 0
        sql_connection.execute("delete from soulbox.price_plans where name = 'n'")
        for pod in pods:
            await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
        await until(lambda: mirror.statistics().healthy)
    assert count(sql_connection, "billing_events") == 3


async def test_number_in_the_ledger_is_a_number(sql_connection: psycopg.Connection) -> None:
    columns = (
        "insert into soulbox.billing_events (event_id, cluster, tenant, kind, pod_uid,"
        " window_hour, starts_at, ends_at, quantity, compute_units, amount, sku, tier,"
        " occurred_at) values (gen_random_uuid(), gen_random_uuid(), 'a', 'execution',"
        " gen_random_uuid(), '2026-11-22 10:00Z', '2026-11-22 10:00Z', '2026-11-22 10:00Z', 0,"
    )
    for values in ("'NaN', 0, 's', 't', now())", "0, 0, 's', 't', 'infinity')"):
        with pytest.raises(psycopg.errors.CheckViolation):
            sql_connection.execute(columns + values)


@pytest.mark.parametrize(
    "times",
    [
        ("2026-11-22T10:00:00Z", "2126-11-22T10:00:00Z"),
        ("9999-12-31T23:30:00Z", "9999-12-31T23:59:59Z"),
    ],
)
async def test_pod_of_absurd_times_is_buried_alone(
    make_mirror: MakeMirror,
    sql_connection: psycopg.Connection,
    recorded: Recorded,
    times: tuple[str, str],
) -> None:
    absurd = make_pod(started=times[0], finished=times[1])
    good = make_pod(started=START, finished=END)
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, absurd)
        mirror.offer(Kind.POD, good)
        mirror.offer(Kind.EXECUTION, make_finished_execution())
        await recorded.wait_for(Kind.POD, good["metadata"]["uid"])
        await drained(mirror)
        assert mirror.statistics().healthy
    assert count(sql_connection, "executions") == count(sql_connection, "billing_events") == 1
    letters = sql_connection.execute("select uid, error from soulbox.dead_letter").fetchall()
    assert [row[0] for row in letters] == [absurd["metadata"]["uid"]]
    assert "lies after the pod was seen" in letters[0][1]


async def test_lease_of_another_age_proves_nothing(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    far = datetime.fromisoformat("2999-01-01T00:00:00Z")
    await make_mirror().meter_running([make_pod(started=START)], lambda _: far)
    assert count(sql_connection, "billing_events") == 0


async def test_objects_no_builder_foresaw_are_buried_alone(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    inner: dict[str, Any] = {}
    for _ in range(30_000):
        inner = {"in": inner}
    deep = make_execution(status={"state": "Failed"})
    deep["status"]["error"] = inner  # merge() would recurse
    nul = make_execution(metadata={"namespace": "team\x00"}, status={"state": "Odd"})
    async with running(make_mirror()) as mirror:
        for manifest in (deep, nul, make_finished_execution()):
            mirror.offer(Kind.EXECUTION, manifest)
        await drained(mirror)
        assert mirror.statistics().healthy
    assert count(sql_connection, "executions") == 1
    letters = sql_connection.execute("select namespace from soulbox.dead_letter").fetchall()
    assert {row[0] for row in letters} == {"team-a", "team\ufffd"}


async def test_object_that_takes_too_long_holds_no_other_up_and_is_not_buried(
    dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """A trigger plays the object: it outlasts statement_timeout while a lock is held."""
    slow = make_running_sandbox(metadata={"name": "slow"})
    sql_connection.execute(
        """
        CREATE FUNCTION soulbox.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.name = 'slow' THEN PERFORM pg_advisory_xact_lock(7); END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER dawdle BEFORE INSERT ON soulbox.sandboxes
            FOR EACH ROW EXECUTE FUNCTION soulbox.dawdle()"""
    )
    sql_connection.execute("select pg_advisory_lock(7)")
    store = await open_store(dsn, statement_timeout_seconds=0.3)
    try:
        async with running(make_mirror(on=store)) as mirror:
            mirror.offer(Kind.SANDBOX, slow)
            for _ in range(3):
                mirror.offer(Kind.SANDBOX, make_running_sandbox())
            await until(lambda: count(sql_connection, "sandboxes") == 3)
            assert count(sql_connection, "dead_letter") == 0
            sql_connection.execute("select pg_advisory_unlock(7)")
            await until(lambda: count(sql_connection, "sandboxes") == 4)
    finally:
        await store.close()


async def test_full_notify_queue_costs_no_row(make_mirror: MakeMirror) -> None:
    """Any login fills it: it listens in an open transaction, and notifies."""
    if version_under_test() < (17,):
        pytest.skip("the queue's size, 8 GB, can be set from PostgreSQL 17 on")
    with PostgresServer(settings={"max_notify_queue_pages": "64"}) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as probe:
            probe.execute("create database full_queue")
        dsn = server.dsn("full_queue")
        await asyncio.to_thread(migrate, dsn)
        store = await open_store(dsn)
        try:
            with (
                psycopg.connect(dsn) as listener,
                psycopg.connect(dsn, autocommit=True) as filler,
            ):
                listener.execute("listen x")
                listener.commit()
                listener.execute("select 1")  # its transaction stays open

                def fill() -> None:
                    with suppress(psycopg.errors.ProgramLimitExceeded):
                        while True:
                            filler.execute(
                                "select pg_notify('x', g || repeat('y', 7000))"
                                " from generate_series(1, 20) g"
                            )

                await asyncio.to_thread(fill)
                async with running(make_mirror(on=store)) as mirror:
                    for _ in range(5):
                        mirror.offer(Kind.EXECUTION, make_finished_execution())
                        mirror.offer(Kind.SANDBOX, make_running_sandbox())
                    await until(lambda: count(filler, "executions") == 5)
                    await drained(mirror)
                    assert mirror.statistics().healthy
                    await until(lambda: mirror.database_figures() is not None)
                    figures = mirror.database_figures()
                    assert figures is not None
                    assert figures.notification_queue_ratio > 0.5
                assert count(filler, "sandboxes") == 5
                assert count(filler, "dead_letter") == 0
        finally:
            await store.close()


def test_no_trigger_notifies() -> None:
    """A NOTIFY in the rows' transaction is refused with them where the queue is full."""
    assert "pg_notify" not in (sql_directory() / "schema.sql").read_text()
