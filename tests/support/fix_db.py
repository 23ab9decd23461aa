"""Fixtures for tests on a real PostgreSQL.

SOULBOX_TEST_DSN names a server where given (its login must be able to make databases and
roles); else one is started, once a session and worker. Each test gets a database of its
own, copied from a migrated template.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import conninfo, sql

from soulbox.store.migrate import migrate
from soulbox.store.pool import Store, open_store
from tests.support.postgres_server import PostgresServer


@dataclass(frozen=True)
class TestServer:
    """A server the tests may make databases on, and the name of a migrated one."""

    __test__ = False

    dsn: str
    template: str

    def database_dsn(self, database: str) -> str:
        return conninfo.make_conninfo(self.dsn, dbname=database)

    def create(self, *, template: str | None = None) -> str:
        """Make a database (empty without a template) and return its name."""
        name = f"soulbox_test_{uuid.uuid4().hex[:16]}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template or "template0")
        )
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement)
        return name

    def drop(self, database: str) -> None:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
            sql.Identifier(database)
        )
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def pg_server() -> Iterator[TestServer]:
    """The session's server with its template."""
    given = os.environ.get("SOULBOX_TEST_DSN")
    if given:
        yield from _with_template(given)
        return
    with PostgresServer() as server:
        yield from _with_template(server.dsn())


def _with_template(dsn: str) -> Iterator[TestServer]:
    bare = TestServer(dsn=dsn, template="")
    template = bare.create()
    try:
        migrate(bare.database_dsn(template))
        yield TestServer(dsn=dsn, template=template)
    finally:
        bare.drop(template)


@pytest.fixture
def empty_dsn(pg_server: TestServer) -> Iterator[str]:
    """An empty database, not migrated."""
    name = pg_server.create()
    yield pg_server.database_dsn(name)
    pg_server.drop(name)


@pytest.fixture
def dsn(pg_server: TestServer) -> Iterator[str]:
    """A migrated database without rows."""
    name = pg_server.create(template=pg_server.template)
    yield pg_server.database_dsn(name)
    pg_server.drop(name)


@pytest.fixture
def sql_connection(dsn: str) -> Iterator[psycopg.Connection]:
    """A plain connection to `dsn`, to look with; each statement commits by itself."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[Store]:
    """An open store on `dsn`."""
    opened = await open_store(dsn)
    yield opened
    await opened.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server of the test's own, to kill and freeze."""
    with PostgresServer() as server:
        yield server
