"""PostgreSQL down, killed, frozen, slow, read-only or without rights: nothing is lost or
doubled, and nothing but the mirror waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from soulbox.kinds.registry import ENTRIES
from soulbox.mirror.items import ItemBuilder
from soulbox.model.errors import StoreUnavailable
from soulbox.model.states import Kind
from soulbox.store.migrate import migrate
from soulbox.store.pool import Store, open_store
from tests.support.fix_mirror import MakeMirror, Recorded, drained, running, until
from tests.support.make_mirrored import (
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    make_sandbox,
    newer,
)
from tests.support.postgres_server import PostgresServer


@pytest.fixture
async def own_store(own_server: PostgresServer) -> AsyncIterator[Store]:
    """A store on a migrated database of `own_server`, quick to give up."""
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE soulbox")
    migrate(own_server.dsn("soulbox"))
    opened = await open_store(
        own_server.dsn("soulbox"), connect_timeout_seconds=1, statement_timeout_seconds=1
    )
    yield opened
    await opened.close()


def count(server: PostgresServer, table: str) -> int:
    with psycopg.connect(server.dsn("soulbox")) as connection:
        row = connection.execute(
            sql.SQL("select count(*) from soulbox.{}").format(sql.Identifier(table))
        ).fetchone()
    assert row is not None
    found: int = row[0]
    return found


async def test_objects_offered_while_postgresql_is_down_are_written_when_it_is_back(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror, recorded: Recorded
) -> None:
    own_server.kill()
    sandbox = make_running_sandbox()
    execution = make_finished_execution()
    async with running(make_mirror(on=own_store)) as mirror:
        mirror.offer(Kind.SANDBOX, make_running_sandbox())
        mirror.offer(Kind.EXECUTION, execution)
        for _ in range(50):
            sandbox = newer(sandbox)
            mirror.offer(Kind.SANDBOX, sandbox)
        await until(lambda: mirror.statistics().failures >= 2)
        statistics = mirror.statistics()
        assert (statistics.pending, statistics.healthy) == (3, False)
        assert statistics.oldest_pending_seconds > 0
        assert not mirror.is_recorded(execution["metadata"]["uid"])
        await asyncio.to_thread(own_server.start)
        await recorded.wait_for(Kind.EXECUTION, execution["metadata"]["uid"])
        await drained(mirror)
        await until(lambda: mirror.statistics().healthy)
    assert count(own_server, "sandboxes") == 2


async def test_kill_nine_in_the_middle_of_transactions_loses_and_doubles_nothing(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror, recorded: Recorded
) -> None:
    """The server is killed and started five times while 1,500 objects are written."""
    pods = [
        make_pod(started="2026-11-22T10:30:00Z", finished="2026-11-22T11:30:00Z")
        for _ in range(500)
    ]
    executions = [make_finished_execution(name=f"run-{index}") for index in range(500)]
    sandboxes = [make_sandbox(name=f"box-{index}") for index in range(500)]
    offers: list[tuple[Kind, dict[str, Any]]] = [
        *((Kind.POD, pod) for pod in pods),
        *((Kind.EXECUTION, execution) for execution in executions),
        *((Kind.SANDBOX, sandbox) for sandbox in sandboxes),
    ]
    # Small batches: many transactions to be killed in.
    async with running(make_mirror(on=own_store, batch_size=20)) as mirror:
        for kill in range(5):
            for kind, manifest in offers[kill * 300 : (kill + 1) * 300]:
                mirror.offer(kind, manifest)
            wanted = mirror.statistics().batches + 4
            await until(lambda wanted=wanted: mirror.statistics().batches >= wanted)
            own_server.kill()
            await until(lambda: not mirror.statistics().healthy)
            await asyncio.to_thread(own_server.start)
        for pod in pods:
            await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
        for execution in executions:
            await recorded.wait_for(Kind.EXECUTION, execution["metadata"]["uid"])
        await drained(mirror)
        assert mirror.statistics().dead_letters == 0
    assert len(recorded) == len(set(recorded)) == 1000
    assert count(own_server, "sandboxes") == 500
    assert count(own_server, "executions") == 500
    assert count(own_server, "pod_runs") == 500
    with psycopg.connect(own_server.dsn("soulbox")) as connection:
        row = connection.execute(
            "select count(*), sum(quantity), count(distinct event_id) from soulbox.billing_events"
        ).fetchone()
        assert row == (1000, 500 * 3600, 1000)
        changes = connection.execute(
            "select kind, count(*), count(distinct uid) from soulbox.changes group by 1 order by 1"
        ).fetchall()
    assert changes == [("execution", 500, 500), ("sandbox", 500, 500)]


async def test_frozen_server_is_given_up_and_written_to_when_it_answers(
    own_server: PostgresServer,
    own_store: Store,
    make_mirror: MakeMirror,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped processes answer nothing and close nothing: only our own timer ends that."""
    monkeypatch.setattr(own_store, "_deadline_seconds", 0.5)
    async with running(make_mirror(on=own_store)) as mirror:
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await drained(mirror)
        own_server.freeze()
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await until(lambda: not mirror.statistics().healthy)
        assert mirror.statistics().pending == 1
        own_server.thaw()
        await drained(mirror)
    assert count(own_server, "sandboxes") == 2


async def test_cancelled_mirror_still_writes_what_waits(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror(linger_seconds=30.0)) as mirror:
        for index in range(30):
            mirror.offer(Kind.SANDBOX, make_sandbox(name=f"box-{index}"))
    assert sql_connection.execute("select count(*) from soulbox.sandboxes").fetchone() == (30,)


async def test_cancelled_mirror_ends_in_bounded_time_whatever_the_server_does(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror
) -> None:
    mirror = make_mirror(on=own_store, exit_flush_seconds=0.3)
    async with running(mirror):
        await until(lambda: mirror.statistics().healthy)
        own_server.freeze()
        mirror.offer(Kind.SANDBOX, make_sandbox())
        started = time.monotonic()
    seconds = time.monotonic() - started
    own_server.thaw()
    assert seconds < 2  # 0.3 s of grace, and as much to see the connection cut
    assert mirror.statistics().pending == 1


async def test_cancelled_mirror_without_postgresql_ends_and_says_so(
    own_server: PostgresServer,
    own_store: Store,
    make_mirror: MakeMirror,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own_server.kill()
    mirror = make_mirror(on=own_store)
    async with running(mirror):
        mirror.offer(Kind.SANDBOX, make_sandbox())
    assert mirror.statistics().pending == 1
    own_server.start()
    messages = [record.message for record in caplog.records]
    assert "not all objects were written before the end" in messages


async def test_slow_commits_are_waited_for(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """A deferred trigger makes each commit take half a second, as a slow disk would."""
    await asyncio.to_thread(
        sql_connection.execute,
        "CREATE FUNCTION soulbox.slow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON soulbox.sandboxes"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION soulbox.slow()",
    )
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await drained(mirror)
        assert mirror.statistics().failures == 0
    assert sql_connection.execute("select count(*) from soulbox.sandboxes").fetchone() == (1,)


async def test_read_only_server_is_waited_for(
    make_mirror: MakeMirror, dsn: str, sql_connection: psycopg.Connection
) -> None:
    database = sql.Identifier(str(conninfo.conninfo_to_dict(dsn)["dbname"]))
    switch = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    sql_connection.execute(switch.format(database, sql.SQL("on")))
    store = await open_store(dsn)
    async with running(make_mirror(on=store)) as mirror:
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await until(lambda: mirror.statistics().failures >= 2)
        assert mirror.statistics().dead_letters == 0
        sql_connection.execute("set default_transaction_read_only = off")
        sql_connection.execute(switch.format(database, sql.SQL("off")))
        # Connections made before keep the old setting, as those to a demoted primary would.
        await drained(mirror)
    await store.close()
    assert sql_connection.execute("select count(*) from soulbox.sandboxes").fetchone() == (1,)


async def test_role_without_rights_is_waited_for(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror
) -> None:
    await own_store.close()
    with psycopg.connect(own_server.dsn("soulbox"), autocommit=True) as connection:
        connection.execute("CREATE ROLE operator LOGIN")
        store = await open_store(own_server.dsn("soulbox", user="operator"))
        async with running(make_mirror(on=store)) as mirror:
            mirror.offer(Kind.SANDBOX, make_sandbox())
            await until(lambda: mirror.statistics().failures >= 2)
            connection.execute("GRANT soulbox_writer TO operator")
            await drained(mirror)
            assert mirror.statistics().dead_letters == 0
        await store.close()
    assert count(own_server, "sandboxes") == 1


async def test_full_server_is_waited_for(
    own_server: PostgresServer, own_store: Store, make_mirror: MakeMirror
) -> None:
    """No connection is left for the mirror."""
    await own_store.close()
    with psycopg.connect(own_server.dsn("soulbox"), autocommit=True) as connection:
        connection.execute("CREATE ROLE operator LOGIN CONNECTION LIMIT 1")
        connection.execute("GRANT soulbox_writer TO operator")
        dsn = own_server.dsn("soulbox", user="operator")
        with psycopg.connect(dsn):
            store = await open_store(dsn, connect_timeout_seconds=0.3)
            task = make_mirror(on=store)
            async with running(task) as mirror:
                mirror.offer(Kind.SANDBOX, make_sandbox())
                await until(lambda: mirror.statistics().failures >= 1)
        await store.close()


async def test_overflow_asks_for_a_relist_once_postgresql_is_back(
    own_server: PostgresServer, own_store: Store, recorded: Recorded
) -> None:
    from dataclasses import replace

    from soulbox.mirror import Mirror
    from tests.support.fix_mirror import CONTEXT, FAST

    asked: list[bool] = []
    own_server.kill()
    mirror = Mirror(
        own_store,
        ItemBuilder(ENTRIES, CONTEXT),
        on_recorded=recorded.add,
        settings=replace(FAST, max_pending=10),
        on_relist_needed=lambda: asked.append(True),
    )
    sandboxes = [make_sandbox(name=f"box-{index}") for index in range(25)]
    async with running(mirror):
        for sandbox in sandboxes:
            mirror.offer(Kind.SANDBOX, sandbox)
        await until(lambda: mirror.statistics().failures >= 1)
        assert (mirror.statistics().pending, mirror.statistics().relist_needed) == (10, True)
        assert asked == []
        await asyncio.to_thread(own_server.start)
        await until(lambda: asked == [True])
        await drained(mirror)
        assert count(own_server, "sandboxes") == 10

        async def lister() -> AsyncIterator[tuple[Kind, list[dict[str, Any]]]]:
            yield Kind.SANDBOX, sandboxes

        await mirror.repair(lister())
        assert not mirror.statistics().relist_needed
    assert count(own_server, "sandboxes") == 25


async def test_store_opens_while_postgresql_is_down_and_its_errors_hide_the_dsn() -> None:
    store = await open_store("postgresql://u:SECRET@127.0.0.1:1/d", connect_timeout_seconds=0.2)
    assert not store.healthy()
    with pytest.raises(StoreUnavailable) as raised:
        await store.ping()
    assert "SECRET" not in str(raised.value)
    assert "Connection refused" in str(raised.value)
    assert not store.healthy()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.ping()


async def test_wrong_password_reaches_no_log(
    own_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE ROLE locked LOGIN")
    dsn = conninfo.make_conninfo(
        own_server.dsn(),
        user="locked",
        password="SECRET",
        dbname="nosuch",
    )
    store = await open_store(dsn, connect_timeout_seconds=0.5)
    with pytest.raises(StoreUnavailable):
        await store.ping()
    await store.close()
    assert "SECRET" not in caplog.text


async def test_statement_that_takes_too_long_is_ended_by_the_server(own_store: Store) -> None:
    async def sleep() -> None:
        async with own_store.transaction() as tx:
            await tx.execute("select pg_sleep(30)")

    with pytest.raises(StoreUnavailable) as raised:
        await sleep()
    assert raised.value.sqlstate == "57014"
    await own_store.ping()
