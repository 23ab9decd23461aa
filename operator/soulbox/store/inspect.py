"""What `soulbox doctor` asks of PostgreSQL, over one connection of its own."""

import time
from datetime import UTC, datetime

import psycopg
from psycopg.rows import dict_row

from soulbox.model.errors import ConfigError
from soulbox.pure.doctor.database import DatabaseSeen
from soulbox.pure.doctor.finding import Unseen
from soulbox.store.errors import check_dsn, describe
from soulbox.store.files import load_queries
from soulbox.store.migrate import load_migrations, plan_migrations


def inspect_database(
    dsn: str, *, pool_max_size: int, connect_timeout_seconds: float, skew_seconds: float | None
) -> DatabaseSeen | Unseen:
    """Look, with the login of the DSN; nothing is written. Blocks: call it in a thread.

    Args:
        pool_max_size: the operator's, to compare with the server's room.
        skew_seconds: our clock minus the API server's; None: that is not known.
    """
    try:
        check_dsn(dsn)
        with psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=max(1, round(connect_timeout_seconds)),
            application_name="soulbox doctor",
            client_encoding="utf8",
            prepare_threshold=None,
            row_factory=dict_row,
        ) as connection:
            return _inspect(connection, pool_max_size, skew_seconds)
    except psycopg.Error as error:
        words, _ = describe(error)
        return Unseen(why=words)
    except ConfigError as error:
        return Unseen(why=str(error))


def _inspect(
    connection: psycopg.Connection[dict[str, object]],
    pool_max_size: int,
    skew_seconds: float | None,
) -> DatabaseSeen:
    queries = load_queries("inspect")
    asked = time.monotonic()
    row = connection.execute(queries["server"]).fetchone()
    answer_seconds = time.monotonic() - asked
    assert row is not None
    now = row["now"]
    assert isinstance(now, datetime)
    ahead = (now - datetime.now(UTC)).total_seconds()
    problem, pending = _schema(connection)
    lacking: list[str] = []
    excess: list[str] = []
    if not problem and not pending:
        found = connection.execute(queries["lacking_rights"]).fetchall()
        lacking = [str(one["lacking"]) for one in found]
        rights = connection.execute(queries["ledger_rights"]).fetchall()
        excess = [f"{one['privilege']} bills" for one in rights]
    return DatabaseSeen(
        version=int(str(row["version"])),
        login=str(row["login"]),
        in_recovery=bool(row["in_recovery"]),
        max_connections=int(str(row["max_connections"])),
        pool_max_size=pool_max_size,
        answer_seconds=answer_seconds,
        schema_problem=problem,
        pending=pending,
        lacking=tuple(lacking),
        excess=tuple(excess),
        skew_seconds=None if skew_seconds is None else ahead + skew_seconds,
    )


def _schema(connection: psycopg.Connection[dict[str, object]]) -> tuple[str, tuple[str, ...]]:
    """What is wrong with the schema, and the migrations that are still to come."""
    queries = load_queries("migrations")
    rows: list[dict[str, object]] = []
    try:
        record = connection.execute(queries["has_record"]).fetchone()
        if record is not None and record["has_record"]:
            rows = connection.execute(queries["applied"]).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return "the login may not read schema soulbox: grant it soulbox_writer", ()
    applied = {int(str(one["version"])): (str(one["name"]), str(one["sha256"])) for one in rows}
    try:
        pending = plan_migrations(load_migrations(), applied)
    except ConfigError as error:
        return str(error), ()
    return "", tuple(migration.name for migration in pending)
