"""The migrations runner: db/migrations/NNNN_what.sql, in order, once each.

Each file runs in one transaction together with its row in schema_migrations, so a crash
leaves a database between two files, never inside one. That transaction takes an advisory lock
and looks again what is applied, so that of several runners each file is one's; lock, role and
settings end with it, so that a pooler's connection goes to its next client as it was. Files are
append-only: an edited, missing or unknown one is refused rather than guessed around.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, LiteralString, TypeVar

import psycopg

from soulbox.model.errors import ConfigError
from soulbox.store.errors import check_dsn, describe
from soulbox.store.files import load_queries, sql_directory
from soulbox.store.pool import Store

# Debian 12 ships 15, the oldest that has security_invoker views.
MINIMUM_SERVER: Final = 150_000
OWNER_ROLE: Final = "soulbox_owner"
_DEADLOCK_TRIES: Final = 10
_Result = TypeVar("_Result")
_FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file. `name` is the file name without .sql, `sha256` hex of its bytes."""

    version: int
    name: str
    sha256: str
    sql: LiteralString


def load_migrations(directory: Path | None = None) -> tuple[Migration, ...]:
    """The migrations in order.

    Args:
        directory: where the files are; None for those this release comes with.

    Raises:
        ConfigError: a file whose name is not NNNN_what.sql, or a double number.
    """
    directory = sql_directory() / "migrations" if directory is None else directory
    found: list[Migration] = []
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ConfigError(f"migration {path.name} is not named NNNN_what.sql; rename it")
        content = path.read_bytes()
        found.append(
            Migration(
                version=int(match[1]),
                name=path.stem,
                sha256=hashlib.sha256(content).hexdigest(),
                sql=content.decode("utf-8"),  # our own file, not input
            )
        )
    # Gaps are no fault: parts of a release were numbered apart. That a file is missing is
    # found by comparison with the database.
    doubles = {one.version for one in found if [m.version for m in found].count(one.version) > 1}
    if doubles or (found and found[0].version != 1):
        wrong = f"number {min(doubles):04} twice" if doubles else "no number 0001"
        raise ConfigError(f"migrations in {directory} have {wrong}; reinstall this release")
    return tuple(found)


def plan_migrations(
    files: Sequence[Migration], applied: Mapping[int, tuple[str, str]]
) -> tuple[Migration, ...]:
    """Which files are still to be applied.

    Args:
        applied: name and sha256 by version, as the database has them.

    Raises:
        ConfigError: the database and the files do not belong together.
    """
    newest = files[-1].version if files else 0
    unknown = [f"{name}" for version, (name, _) in sorted(applied.items()) if version > newest]
    if unknown:
        raise ConfigError(
            f"the database is newer than this release: it has {', '.join(unknown)}; "
            "run the release that made it, or a later one"
        )
    missing = sorted(applied.keys() - {migration.version for migration in files})
    if missing:
        raise ConfigError(
            f"this release lacks migration {applied[missing[0]][0]}, which the database has; "
            "reinstall this release"
        )
    for migration in files:
        if migration.version not in applied:
            continue
        name, sha256 = applied[migration.version]
        if (name, sha256) != (migration.name, migration.sha256):
            raise ConfigError(
                f"migration {migration.name} differs from {name} as it was applied; "
                "put the released file back, and change the schema in a new migration"
            )
    pending = tuple(migration for migration in files if migration.version not in applied)
    if pending and applied and pending[0].version < max(applied):
        raise ConfigError(
            f"migration {pending[0].name} was left out of this database although later ones "
            "are in it; restore the database from a backup"
        )
    return pending


def migrate(
    dsn: str,
    *,
    dry_run: bool = False,
    directory: Path | None = None,
    until: int | None = None,
    lock_wait_seconds: float = 60,
) -> list[str]:
    """Bring a database to the schema of this release. Safe to repeat and to run twice at
    once.

    Also makes the group roles where the login may, and gives them their rights; where it is
    a member of soulbox_owner, that role owns what is made.

    Args:
        dry_run: only tell what would be applied; nothing is written.
        directory: other migrations than this release's own (tests).
        until: number of the last one to apply; None applies all.
        lock_wait_seconds: how long to wait for another runner.

    Returns:
        Names of the migrations applied (dry run: to apply), in order.

    Raises:
        ConfigError: the DSN, the server, the role or the files are wrong; one line that
            says what to do. The files before the failing one stay applied.
    """
    files = load_migrations(directory)
    if until is not None:
        files = tuple(file for file in files if file.version <= until)
        if not files or files[-1].version != until:
            raise ConfigError(f"this release lacks migration {until:04}; run the one that has it")
    check_dsn(dsn)
    with (
        _one_line(),
        psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=5,
            application_name="soulbox migrate",
            client_encoding="utf8",
            prepare_threshold=None,
        ) as connection,
    ):
        _check_server(connection)
        queries = load_queries("migrations")
        if dry_run:
            return [migration.name for migration in plan_migrations(files, _applied(connection))]
        alone = partial(_alone, connection, lock_wait_seconds)
        with alone():
            if not plan_migrations(files, _applied(connection)):
                return []
            connection.execute(queries["make_roles"])
        done: list[str] = []
        while (name := _apply_next(connection, files, alone)) is not None:
            done.append(name)
        _outlast(lambda: _give_rights(connection, alone))
        return done


def _check_server(connection: psycopg.Connection) -> None:
    version = connection.info.server_version
    if version < MINIMUM_SERVER:
        raise ConfigError(f"PostgreSQL {version // 10_000} is too old; SoulBox needs 15 or later")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigError(
            f"the database's encoding is {encoding}, which cannot hold every text that a program"
            " prints; make another: CREATE DATABASE NAME TEMPLATE template0 ENCODING 'UTF8'"
        )


@contextmanager
def _alone(connection: psycopg.Connection, wait_seconds: float) -> Iterator[None]:
    """A transaction in which no other runner works; ends with all that it set."""
    queries = load_queries("migrations")
    with connection.transaction():
        connection.execute(queries["set_lock_wait"], {"wait": f"{round(wait_seconds * 1000)}ms"})
        try:
            connection.execute(queries["lock"])
        except psycopg.errors.LockNotAvailable:
            raise ConfigError(
                "another migration is running on this database; wait for it or end it"
            ) from None
        yield


def _give_rights(
    connection: psycopg.Connection, alone: Callable[[], AbstractContextManager[None]]
) -> None:
    queries = load_queries("migrations")
    with alone():
        row = connection.execute(queries["has_access"]).fetchone()
        if row is not None and row[0]:
            connection.execute(queries["become_owner"])
            connection.execute(queries["apply_access"])


def _applied(connection: psycopg.Connection) -> dict[int, tuple[str, str]]:
    queries = load_queries("migrations")
    row = connection.execute(queries["has_record"]).fetchone()
    if row is None or not row[0]:
        return {}
    rows = connection.execute(queries["applied"]).fetchall()
    return {version: (name, sha256) for version, name, sha256 in rows}


def _apply_next(
    connection: psycopg.Connection,
    files: Sequence[Migration],
    alone: Callable[[], AbstractContextManager[None]],
) -> str | None:
    """Apply the first file that is pending; its name, None when none is."""
    queries = load_queries("migrations")
    tried: Migration | None = None

    def run() -> str | None:
        nonlocal tried
        with alone():
            pending = plan_migrations(files, _applied(connection))
            if not pending:
                return None
            tried = pending[0]
            connection.execute(queries["become_owner"])
            connection.execute(tried.sql)
            connection.execute(
                queries["record"],
                {"version": tried.version, "name": tried.name, "sha256": tried.sha256},
            )
            return tried.name

    try:
        return _outlast(run)
    except psycopg.Error as error:
        if tried is None:
            raise
        words, sqlstate = describe(error)
        if sqlstate == "42501":
            words = f"42501 {type(error).__name__}: {_lacking_right(connection)}"
        raise ConfigError(
            f"migration {tried.name} failed and left nothing behind: {words}"
        ) from error


def _lacking_right(connection: psycopg.Connection) -> str:
    row = connection.execute(load_queries("migrations")["schema_owner"]).fetchone()
    if row is None or row[0] is None:
        return (
            "the login may not make schema soulbox here; GRANT CREATE ON DATABASE to it, or migrate"
            " as a superuser"
        )
    return (
        f'schema soulbox belongs to role "{row[0]}", whose rights the login does not have; migrate'
        " as that role or a superuser, or make the login a member of it"
    )


def _outlast(run: Callable[[], _Result]) -> _Result:
    """Run what takes many locks beside an operator at work: of two that wait for each other
    PostgreSQL ends one, and it may be us; and rights of a table are not given while a
    partition is attached to it ("tuple concurrently updated", XX000)."""
    for _ in range(_DEADLOCK_TRIES - 1):
        with suppress(psycopg.errors.DeadlockDetected, psycopg.errors.InternalError_):
            return run()
    return run()


@contextmanager
def _one_line() -> Iterator[None]:
    """Every way PostgreSQL can say no, as one line for the person at the terminal."""
    try:
        yield
    except psycopg.Error as error:
        words, _ = describe(error)
        raise ConfigError(words) from error


async def check_schema(store: Store) -> None:
    """Make sure that the database has exactly the schema of this release.

    Raises:
        ConfigError: migrations are missing, edited or newer than this release.
        StoreUnavailable: PostgreSQL cannot be asked now.
    """
    queries = load_queries("migrations")
    async with store.transaction() as tx:
        rows = await tx.fetch(queries["has_replaced"])
        if rows[0]["has_replaced"]:
            raise ConfigError(
                "a restore of this database was interrupted, and its content is not verified; run"
                " soulbox db restore FILE --replace again"
            )
        rows = await tx.fetch(queries["has_record"])
        applied = await tx.fetch(queries["applied"]) if rows[0]["has_record"] else []
    pending = plan_migrations(
        load_migrations(),
        {row["version"]: (row["name"], row["sha256"]) for row in applied},
    )
    if pending:
        raise ConfigError(
            f"the database lacks {', '.join(migration.name for migration in pending)}; "
            "run soulbox migrate"
        )
