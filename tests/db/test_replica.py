"""Reads from a real streaming replica: how old the answer is, and the primary when it is not."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from soulbox.app.cli import app
from soulbox.model.errors import StoreUnavailable
from soulbox.store.migrate import migrate
from soulbox.store.pool import Store, Transaction, open_store
from soulbox.store.reader import Reader
from tests.support.fix_mirror import until
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.slow


class Standby(PostgresServer):
    """A copy of another server that follows it."""

    def follow(self, primary: PostgresServer) -> None:
        """Replace the data of this server, which runs, by a copy of the other's."""
        self.stop()
        data = self.folder.path
        for file in data.iterdir():  # the folder itself is the server's user's
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        self.folder.installation.run(
            "pg_basebackup", "-D", data, "-d", primary.dsn(), "-R", "-c", "fast", folder=data
        )
        self.start()


@pytest.fixture
def servers() -> Iterator[tuple[PostgresServer, Standby]]:
    with PostgresServer(settings={"wal_level": "replica"}) as primary, Standby() as standby:
        standby.follow(primary)
        yield primary, standby


@asynccontextmanager
async def opened(*dsns: str) -> AsyncIterator[list[Store]]:
    stores = [await open_store(dsn, connect_timeout_seconds=2) for dsn in dsns]
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()


async def count(tx: Transaction) -> int:
    rows = await tx.fetch(
        "select count(*) as n, pg_is_in_recovery() as r from soulbox.tenant_roles"
    )
    return -rows[0]["n"] if rows[0]["r"] else rows[0]["n"]


async def test_replica_answers_and_says_how_old_the_answer_is(
    servers: tuple[PostgresServer, Standby], tmp_path: Path
) -> None:
    primary, standby = servers
    migrate(primary.dsn())
    with psycopg.connect(primary.dsn(), autocommit=True) as connection:
        connection.execute("insert into soulbox.tenant_roles values ('a', 'b')")
    async with opened(primary.dsn(), standby.dsn()) as (first, second):
        reader = Reader(first, second)

        async def is_there() -> bool:
            try:
                return (await reader.read(count))[0] == -1
            except StoreUnavailable:
                return False

        await until(is_there)
        _, source = await reader.read(count)
        assert source.problem is None
        assert source.replica_lag_seconds is not None
        assert source.replica_lag_seconds < 60
        # One that no longer follows is passed over once it is too far behind.
        with psycopg.connect(standby.dsn(), autocommit=True) as connection:
            connection.execute("select pg_wal_replay_pause()")
        with psycopg.connect(primary.dsn(), autocommit=True) as connection:
            connection.execute("insert into soulbox.tenant_roles values ('c', 'd')")

        async def is_passed_over() -> bool:
            answer, source = await Reader(first, second, max_lag_seconds=0.0).read(count)
            return answer == 2 and "behind" in (source.problem or "")

        await until(is_passed_over)
        assert (await Reader(first, second, max_lag_seconds=3600).read(count))[0] == -1
        standby.stop()
        answer, source = await reader.read(count)
        assert answer == 2
        assert "cannot be read" in (source.problem or "")


def test_command_says_where_the_answer_is_from(servers: tuple[PostgresServer, Standby]) -> None:
    primary, standby = servers
    migrate(primary.dsn())

    def ask() -> str:
        runner = CliRunner(env={"SOULBOX_DSN": primary.dsn(), "SOULBOX_DSN_READ": standby.dsn()})
        return runner.invoke(app, ["query", "health"]).stderr

    for _ in range(200):
        said = ask()
        if said.startswith("from a replica"):
            break
    assert "s behind" in said
    assert said.startswith("from a replica, ")
    standby.stop()
    assert ask().startswith("from the primary: the replica cannot be read")
