"""Folds and rebuilds that are killed in the middle, and databases restored on other servers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from soulbox.model.errors import StoreUnavailable
from soulbox.model.states import Kind
from soulbox.store.backup import back_up, restore
from soulbox.store.migrate import migrate
from soulbox.store.pool import Store, open_store
from soulbox.store.rollups import Rebuild, fold_usage, look_at_rollups, rollup_differences
from tests.support.fix_mirror import MakeMirror, drained, running, until
from tests.support.make_mirrored import make_finished_execution
from tests.support.postgres_server import PostgresServer
from tests.support.usage import (
    add_event,
    add_mark,
    assert_exact,
    assert_views_exact,
    direct_sums,
    stored_sums,
)

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FOLDER = """
import asyncio, sys
from soulbox.store.pool import open_store
from soulbox.store.rollups import Rebuild, fold_usage

async def main():
    store = await open_store(sys.argv[1])
    print("ready", flush=True)
    while True:
        if sys.argv[2] == "rebuild":
            steps = Rebuild(store, portion=3)
            while await steps.step() is not None:
                print("step", flush=True)
        await fold_usage(store, portion=3)
        print("folded", flush=True)

asyncio.run(main())
"""


@asynccontextmanager
async def another_process(dsn: str, what: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that folds, or rebuilds, over and over; killed (-9) at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FOLDER, dsn, what),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline()
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def rebuild(store: Store) -> None:
    steps = Rebuild(store)
    while await steps.step() is not None:
        pass


async def fold_all(store: Store) -> None:
    while await fold_usage(store):
        pass


WAITS = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"


def count(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


async def test_process_killed_in_the_middle_of_a_fold_has_folded_nothing(
    dsn: str, store: Store, sql_connection: psycopg.Connection
) -> None:
    await rebuild(store)
    add_mark(sql_connection)
    await fold_all(store)
    add_event(sql_connection)
    add_mark(sql_connection, user="bob")
    with psycopg.connect(dsn) as holder:
        # A row that the fold must change, so that it stands still within its transaction.
        holder.execute("select from soulbox.usage_aggregates for update")
        async with another_process(dsn, "fold"):
            await until(lambda: count(sql_connection, WAITS) > 0)
            days = stored_sums(sql_connection, "usage_daily")
    assert len(days) == 1
    await until(lambda: count(sql_connection, WAITS) == 0)
    assert_views_exact(sql_connection)
    # The dead process's transaction ends when its server process finds nobody there.
    async with asyncio.timeout(30):
        while (await look_at_rollups(store)).waiting_seconds is not None:
            await fold_usage(store)
            await asyncio.sleep(0.01)
    assert_exact(sql_connection)


@pytest.mark.parametrize("what", ["fold", "rebuild"])
async def test_process_killed_again_and_again_loses_and_doubles_nothing(
    dsn: str, store: Store, sql_connection: psycopg.Connection, what: str
) -> None:
    await rebuild(store)
    for round_number in range(4):
        async with another_process(dsn, what) as process:
            assert process.stdout is not None
            async with asyncio.timeout(60):
                assert await process.stdout.readline()  # it is at it
            for index in range(5 + 7 * round_number):
                add_event(sql_connection, user=f"u{index % 3}")
                add_mark(sql_connection, user=f"u{index % 3}")
            process.send_signal(signal.SIGKILL)
            await process.wait()
        assert_views_exact(sql_connection)
    if what == "rebuild":
        await rebuild(store)
    async with asyncio.timeout(30):
        while (await look_at_rollups(store)).waiting_seconds is not None:
            await fold_usage(store)
            await asyncio.sleep(0.01)
    assert_exact(sql_connection)
    assert await rollup_differences(store) == []


async def test_server_killed_in_the_middle_of_a_fold(own_server: PostgresServer) -> None:
    dsn = own_server.dsn()
    migrate(dsn)
    store = await open_store(dsn, connect_timeout_seconds=2)
    try:
        await rebuild(store)
        with psycopg.connect(dsn, autocommit=True) as connection:
            for _ in range(3):
                add_event(connection)
                add_mark(connection)
        await fold_all(store)
        for _ in range(3):
            with psycopg.connect(dsn, autocommit=True) as connection:
                add_event(connection)
                add_mark(connection)
                holder = psycopg.connect(dsn)
                holder.execute("select from soulbox.usage_aggregates for update")
                fold = asyncio.create_task(fold_usage(store))
                await until(lambda look=connection: count(look, WAITS) > 0)  # type: ignore[misc]
                own_server.kill()
                with pytest.raises(StoreUnavailable):
                    await fold
            holder.close()
            own_server.start()
            with psycopg.connect(dsn, autocommit=True) as connection:
                assert_views_exact(connection)
                assert stored_sums(connection) != direct_sums(connection, monthly=True)
                async with asyncio.timeout(60):
                    while True:
                        with suppress(StoreUnavailable):
                            await fold_all(store)
                            break
                        await asyncio.sleep(0.05)
                assert_exact(connection)
    finally:
        await store.close()


async def test_backup_restored_on_a_younger_server_is_summed_right(
    dsn: str,
    store: Store,
    make_mirror: MakeMirror,
    sql_connection: psycopg.Connection,
    own_server: PostgresServer,
    tmp_path: Path,
) -> None:
    """Its rows are of transactions that the new server reaches only later."""
    mirror = make_mirror(rollup_seconds=0.02)
    async with running(mirror):
        for _ in range(5):
            mirror.offer(Kind.EXECUTION, make_finished_execution())
        await drained(mirror)
        await until(lambda: _is_folded(store))
    for _ in range(3):
        add_event(sql_connection)
    for _ in range(3000):  # transactions that the new server has not had
        sql_connection.execute("select pg_current_xact_id()")
    add_mark(sql_connection, user="not-folded")
    want = direct_sums(sql_connection, monthly=True)
    await store.close()
    await until(
        lambda: (
            count(
                sql_connection,
                "select count(*) from pg_stat_activity where application_name = 'soulbox'"
                " and datname = current_database()",
            )
            == 0
        )
    )
    backup = back_up(dsn, tmp_path)
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("create database restored")
    target = own_server.dsn("restored")
    restore(target, backup.path)
    restored = await open_store(target)
    try:
        with psycopg.connect(target, autocommit=True) as connection:
            newest = "select max(xid8::text::bigint) from soulbox.usage_marks"
            now = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            assert count(connection, newest) > count(connection, now)
            assert stored_sums(connection, "v_usage_monthly") == want
            mirror = make_mirror(on=restored, rollup_seconds=0.02)
            async with running(mirror):
                mirror.offer(Kind.EXECUTION, make_finished_execution())
                await drained(mirror)
                await until(lambda: _is_folded(restored))
            assert_exact(connection)
            # No old row is taken for a new one while the server catches up with their numbers.
            for _ in range(3500):
                connection.execute("select pg_current_xact_id()")
            add_event(connection)
            await fold_all(restored)
            assert_exact(connection)
            assert await rollup_differences(restored) == []
    finally:
        await restored.close()


async def _is_folded(store: Store) -> bool:
    look = await look_at_rollups(store)
    return look.is_built and look.waiting_seconds is None
