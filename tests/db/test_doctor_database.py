"""What the doctor sees of a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import conninfo, sql

from soulbox.pure.doctor.database import DatabaseSeen
from soulbox.pure.doctor.finding import Unseen
from soulbox.store.inspect import inspect_database
from soulbox.store.migrate import migrate


def look(dsn: str, skew_seconds: float | None = 0.0) -> DatabaseSeen:
    """A look that must succeed."""
    seen = inspect_database(
        dsn, pool_max_size=10, connect_timeout_seconds=5, skew_seconds=skew_seconds
    )
    assert isinstance(seen, DatabaseSeen), seen
    return seen


@pytest.fixture
def login(dsn: str, sql_connection: psycopg.Connection) -> Iterator[tuple[str, str]]:
    """A login without rights, and a DSN that uses it."""
    name = f"doctor_{sql_connection.info.dbname[-12:]}"
    role = sql.Identifier(name)
    sql_connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(role))
    yield name, conninfo.make_conninfo(dsn, user=name, password="p")
    sql_connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    sql_connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_migrated_database_is_in_order_but_for_its_superuser(dsn: str) -> None:
    seen = look(dsn)
    assert seen.version >= 150_000
    assert (seen.schema_problem, seen.pending, seen.lacking) == ("", (), ())
    assert seen.excess == ("delete bills", "truncate bills", "update bills")
    assert not seen.in_recovery
    assert seen.skew_seconds is not None
    assert abs(seen.skew_seconds) < 5


def test_clock_is_compared_with_the_api_servers(dsn: str) -> None:
    """We are a minute ahead of the API server, and the database has our clock."""
    seen = look(dsn, skew_seconds=60.0)
    assert seen.skew_seconds is not None
    assert 55 < seen.skew_seconds < 65
    assert look(dsn, skew_seconds=None).skew_seconds is None


def test_empty_database_lacks_every_migration(empty_dsn: str) -> None:
    seen = look(empty_dsn)
    assert seen.pending[0] == "0001_base"
    assert len(seen.pending) >= 6


def test_database_of_a_later_release_says_so(dsn: str, sql_connection: psycopg.Connection) -> None:
    sql_connection.execute(
        "insert into soulbox.schema_migrations (version, name, sha256)"
        " values (9999, '9999_later', repeat('0', 64))"
    )
    assert "newer than this release" in look(dsn).schema_problem


def test_member_of_the_writers_has_what_it_needs_and_no_more(
    login: tuple[str, str], sql_connection: psycopg.Connection
) -> None:
    name, dsn = login
    grant = sql.SQL("GRANT soulbox_writer TO {}").format(sql.Identifier(name))
    sql_connection.execute(grant)
    seen = look(dsn)
    assert (seen.login, seen.lacking, seen.excess) == (name, (), ())


def test_login_of_the_readers_lacks_the_right_to_write(
    login: tuple[str, str], sql_connection: psycopg.Connection
) -> None:
    name, dsn = login
    grant = sql.SQL("GRANT soulbox_reader TO {}").format(sql.Identifier(name))
    sql_connection.execute(grant)
    seen = look(dsn)
    assert "INSERT on executions" in seen.lacking
    assert "SELECT on executions" in seen.lacking
    assert "SELECT on mirror_state" not in seen.lacking


def test_login_without_any_right_says_what_to_grant(login: tuple[str, str]) -> None:
    assert look(login[1]).schema_problem.endswith("grant it soulbox_writer")


def test_server_that_is_not_there_is_a_line_without_the_password() -> None:
    seen = inspect_database(
        "postgresql://nobody:s3cret@127.0.0.1:1/none",
        pool_max_size=10,
        connect_timeout_seconds=2,
        skew_seconds=0.0,
    )
    assert isinstance(seen, Unseen)
    assert "cannot connect" in seen.why
    assert "s3cret" not in seen.why


def test_looking_writes_nothing(empty_dsn: str) -> None:
    look(empty_dsn)
    with psycopg.connect(empty_dsn) as connection:
        found = connection.execute("select to_regnamespace('soulbox') is null").fetchone()
    assert found == (True,)
    assert migrate(empty_dsn)  # it was empty still
