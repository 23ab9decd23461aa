"""Whatever stands before the server, or is set in it, and whatever its password is by now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from soulbox.model.errors import ConfigError, StoreUnavailable
from soulbox.model.states import Kind
from soulbox.schema.load_settings import load_settings
from soulbox.store.live import ChangeFilter, Feed
from soulbox.store.migrate import load_migrations, migrate
from soulbox.store.pool import open_store
from tests.support.fix_mirror import MakeMirror, Recorded, drained, running, until
from tests.support.make_mirrored import make_finished_execution, make_pod, make_running_sandbox
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres_server import PostgresServer

START, END = "2026-11-22T10:00:00Z", "2026-11-22T10:30:00Z"
# What an administrator may set for a role, and what would break what we read and write.
ODD: dict[str, str] = {
    "client_encoding": "LATIN1",
    "datestyle": "German, DMY",
    "intervalstyle": "iso_8601",
    "timezone": "Asia/Kolkata",
    "search_path": "odd",
    "extra_float_digits": "-10",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "row_security": "off",
}


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_settings_of_the_role_change_nothing(
    own_server: PostgresServer, make_mirror: MakeMirror, recorded: Recorded, encoding: str
) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("create database odd")
        connection.execute("create role odd login superuser")
        for name, value in {**ODD, "client_encoding": encoding}.items():
            setting = sql.SQL("alter role odd set {} = {}")
            connection.execute(setting.format(sql.Identifier(name), sql.Literal(value)))
    dsn = own_server.dsn("odd", user="odd")
    with psycopg.connect(dsn) as connection:
        # A namesake on the role's path, before ours.
        connection.execute("create schema odd")
        connection.execute("create function odd.now() returns text language sql return 'never'")
    await asyncio.to_thread(migrate, dsn)
    store = await open_store(dsn)
    try:
        pod, run = make_pod(started=START, finished=END), make_finished_execution(stdout="5 €\n")
        async with running(make_mirror(on=store)) as mirror:
            mirror.offer(Kind.POD, pod)
            mirror.offer(Kind.EXECUTION, run)
            await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
            await drained(mirror)
            await until(lambda: mirror.database_figures() is not None)
            assert mirror.statistics().healthy
    finally:
        await store.close()
    with psycopg.connect(own_server.dsn("odd")) as connection:
        found = connection.execute("select stdout from soulbox.executions").fetchone()
        billed = connection.execute(
            "select starts_at, ends_at - starts_at from soulbox.billing_events"
        ).fetchall()
        assert connection.execute("select error from soulbox.dead_letter").fetchall() == []
    assert found == ("5 €\n",)
    assert billed == [(datetime(2026, 11, 22, 10, tzinfo=UTC), timedelta(minutes=30))]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_database_that_cannot_hold_the_text_is_refused(
    own_server: PostgresServer, encoding: str
) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database poor template template0 encoding {}").format(
                sql.Literal(encoding)
            )
        )
    with pytest.raises(ConfigError, match=f"encoding is {encoding}, .* ENCODING 'UTF8'"):
        migrate(own_server.dsn("poor"))


async def test_password_that_was_changed_is_read_again(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    """As Vault or CloudNativePG do it: the role's password, then the file, then the sessions."""
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("create role rotated login password 'first'")
        own_server.demand_password("rotated")
        file = tmp_path / "dsn"
        dsn = own_server.dsn(user="rotated:{}")
        file.write_text(dsn.format("first"))
        settings = load_settings(dsn_file=str(file))
        store = await open_store(
            lambda: settings.database_url.get_secret_value(),  # noqa: PLW0108 - a property
            connect_timeout_seconds=5,
        )
        try:
            await store.ping()
            connection.execute("alter role rotated password 'second'")
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'rotated'"
            )
            with pytest.raises(StoreUnavailable, match="password was refused"):
                await refused(store.ping)
            file.write_text(dsn.format("second"))

            async def answers() -> bool:
                try:
                    await store.ping()
                except StoreUnavailable:
                    return False
                return True

            await until(answers)
        finally:
            await store.close()


async def refused(ask: Any) -> None:
    """Until it fails for the password: the connections that were ended fail otherwise."""
    async with asyncio.timeout(60):
        while True:
            try:
                await ask()
            except StoreUnavailable as error:
                if "password" in str(error):
                    raise


@pytest.fixture
def bouncer(own_server: PostgresServer) -> Iterator[PgBouncer]:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("create database pooled")
    with PgBouncer(own_server, server_connections=3) as running_bouncer:
        yield running_bouncer


def session_state(bouncer: PgBouncer) -> list[tuple[Any, ...]]:
    """What the pooler's server connections carry from one client to the next, of each that
    can be had at once."""
    clients = [psycopg.connect(bouncer.dsn("pooled"), prepare_threshold=None) for _ in range(3)]
    try:
        return [
            client.execute(
                "select current_user, current_setting('lock_timeout'), current_setting('jit'),"
                " current_setting('statement_timeout'), current_setting('search_path'),"
                " (select count(*) from pg_prepared_statements),"
                " (select count(*) from pg_class where relname like 'incoming%'"
                "   and pg_table_is_visible(oid)),"
                " (select count(*) from pg_listening_channels()),"
                " (select count(*) from pg_locks where locktype = 'advisory')"
            ).fetchone()
            or ()
            for client in clients
        ]
    finally:
        for client in clients:
            client.close()


async def test_pgbouncer_in_transaction_mode(
    bouncer: PgBouncer, own_server: PostgresServer, make_mirror: MakeMirror, recorded: Recorded
) -> None:
    """Few server connections and other clients that keep them changing: all is written once,
    nothing fails, the feed is whole, and nobody inherits anything of ours."""
    before = session_state(bouncer)
    dsn = bouncer.dsn("pooled")
    assert await asyncio.to_thread(migrate, dsn) == [one.name for one in load_migrations()]
    assert session_state(bouncer) == before
    store = await open_store(dsn)
    ending = asyncio.Event()

    async def other_client() -> None:
        async with await psycopg.AsyncConnection.connect(
            dsn, autocommit=True, prepare_threshold=None
        ) as connection:
            while not ending.is_set():
                await connection.execute("select 1")

    others = [asyncio.create_task(other_client()) for _ in range(3)]
    changes: list[str] = []

    async def follow() -> None:
        feed = Feed(dsn, ChangeFilter(kind="execution"))
        async for change in feed.changes():
            changes.append(str(change.uid))  # noqa: PERF401 - seen while it goes on

    following = asyncio.create_task(follow())
    try:
        async with running(make_mirror(on=store, batch_size=5, rollup_seconds=0.1)) as mirror:
            for _ in range(20):
                run = make_finished_execution()
                pod = make_pod(started=START, finished=END)
                mirror.offer(Kind.EXECUTION, run)
                mirror.offer(Kind.SANDBOX, make_running_sandbox())
                mirror.offer(Kind.POD, pod)
                await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
                await recorded.wait_for(Kind.EXECUTION, run["metadata"]["uid"])
            await drained(mirror)
            assert mirror.statistics().failures == 0
            assert mirror.statistics().dead_letters == 0
            await until(lambda: len(changes) >= 1)
    finally:
        ending.set()
        await asyncio.gather(*others)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await store.close()
    assert len(changes) == len(set(changes))
    with psycopg.connect(own_server.dsn("pooled")) as connection:
        for table, want in (("executions", 20), ("billing_events", 20), ("dead_letter", 0)):
            row = connection.execute(f"select count(*) from soulbox.{table}").fetchone()
            assert (table, row) == (table, (want,))
        folded = connection.execute("select count(*) from soulbox.usage_daily").fetchone()
        assert folded is not None
        assert folded[0] > 0
    assert session_state(bouncer) == before, json.dumps(before)


def test_database_of_another_owner_is_brought_up_by_a_superuser(own_server: PostgresServer) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("create role somebody login")
        connection.execute("create role other login")
        connection.execute("create database hers owner somebody")
    until_version = load_migrations()[-2].version
    migrate(own_server.dsn("hers", user="somebody"), until=until_version)
    with psycopg.connect(own_server.dsn("hers"), autocommit=True) as connection:
        # As a later superuser's own migrate elsewhere, or an administrator, makes it.
        connection.execute("create role soulbox_owner")
        connection.execute("grant create on database hers to soulbox_owner")
        connection.execute("grant soulbox_owner to somebody")
        connection.execute("grant usage on schema soulbox to other")
        connection.execute("grant select on soulbox.schema_migrations to other")
    with pytest.raises(
        ConfigError, match=r'42501 .* belongs to role "somebody", whose rights the login'
    ):
        migrate(own_server.dsn("hers", user="other"))
    assert migrate(own_server.dsn("hers")) == [load_migrations()[-1].name]
    with psycopg.connect(own_server.dsn("hers"), autocommit=True) as connection:
        owners = connection.execute(
            "select distinct pg_get_userbyid(relowner) from pg_class"
            " where relnamespace = 'soulbox'::regnamespace"
        ).fetchall()
    assert owners == [("somebody",)]
