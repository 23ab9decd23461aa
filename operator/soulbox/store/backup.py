"""Backups: one file by pg_dump, and beside it what a restored database is compared with.

The figures (rows of each table, the ledger's sums and hash) are taken in the very snapshot
that pg_dump writes, so they must agree to the row. A restore puts the old schema aside and
drops it only when the new one is there and proved; it raises the database's epoch, since
transaction ids, and with them cursors, do not survive a restore.

A backup of the schema holds what an empty database needs to be worked with: the record of
migrations and the prices too. One of the data is loaded into a schema that the migrations make
anew, up to the one it was taken at.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import orjson
import psycopg
from psycopg.rows import dict_row

from soulbox.model.errors import ConfigError, Terminal
from soulbox.store.errors import check_dsn, describe
from soulbox.store.files import load_queries
from soulbox.store.migrate import migrate
from soulbox.store.tools import find_tool, run_tool, tool_version

What = Literal["full", "schema", "data"]
# Tables that an older schema lacks, and what counts their rows.
_LATER: Final = {
    "functions": "count_functions",
    "function_versions": "count_function_versions",
    "execution_logs": "count_execution_logs",
}
_NAME: Final = re.compile(r"soulbox-(\d{8}T\d{6}Z)-(full|schema|data)\.dump")


class BackupWrong(Terminal):
    """A backup is damaged, or what was restored from it is not what it was made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup as it lies there.

    Attributes:
        figures: of its database at that time; of a backup of the schema its prices alone.
        sha256: of the file.
        tool_version: of the pg_dump that wrote it, 180004 for 18.4; no older pg_restore reads it.
        schema_version: number of its newest migration.
        partitions: by table, a moment in each of its partitions.
        removed: older backups that were removed for it.
    """

    path: Path
    what: str
    figures: Mapping[str, Any]
    sha256: str
    size_bytes: int
    tool_version: int
    schema_version: int
    partitions: Mapping[str, list[str]]
    removed: tuple[Path, ...] = ()


def back_up(
    dsn: str,
    folder: Path,
    *,
    what: What = "full",
    compress: int = 6,
    keep_days: int | None = None,
    pg_bin: Path | None = None,
) -> Backup:
    """Write a backup of schema soulbox into a folder. An interrupted one leaves only a file
    that ends in .partial.

    Args:
        compress: 0 (none) to 9.
        keep_days: remove backups of ours that are older, once the new one is complete; None
            keeps all.
        pg_bin: folder of pg_dump; None looks for it.

    Raises:
        ConfigError: no database, no pg_dump new enough, or the login may not see all rows.
        ToolFailed: pg_dump's own words.
    """
    check_dsn(dsn)
    queries = load_queries("backup")
    now = datetime.now(UTC)
    path = folder / f"soulbox-{now:%Y%m%dT%H%M%SZ}-{what}.dump"
    partial = path.with_suffix(".partial")
    with _one_line(), _connect(dsn) as connection:
        _require_schema(connection)
        tool = find_tool("pg_dump", connection.info.server_version, pg_bin)
        _make_folder(folder)
        connection.execute(queries["unfiltered"])
        connection.execute(queries["repeatable"])
        snapshot = connection.execute(queries["export_snapshot"]).fetchone()
        assert snapshot is not None
        if what == "schema":
            figures = {"price_plans": _value(connection, "count_of_prices")}
        else:
            figures = _figures(connection)
        version = int(_value(connection, "schema_version"))
        partitions = _value(connection, "partitions")
        run_tool(
            tool,
            [
                "--format=custom",
                f"--compress={compress}",
                "--schema=soulbox",
                # A server without lz4 could not read it; it is chosen anew by each.
                "--no-toast-compression",
                f"--snapshot={snapshot['pg_export_snapshot']}",
                f"--file={partial}",
                *_dump_words(connection, what),
            ],
            dsn,
        )
    backup = Backup(
        path=path,
        what=what,
        figures=figures,
        sha256=_hash(partial),
        size_bytes=partial.stat().st_size,
        tool_version=tool_version(tool),
        schema_version=version,
        partitions=partitions,
    )
    _write_manifest(backup)
    partial.rename(path)
    _sync(folder)
    removed = () if keep_days is None else _remove_older(folder, now - timedelta(days=keep_days))
    return replace_fields(backup, removed=removed)


def verify_backup(path: Path, *, pg_bin: Path | None = None) -> Backup:
    """Look whether a backup is whole: its checksum, and that pg_restore can read it.

    Raises:
        BackupWrong: it is not, or is none.
        ConfigError: there is no such file, or no pg_restore.
        ToolFailed: pg_restore's own words.
    """
    manifest = _read_manifest(path)
    if _hash(path) != manifest.get("sha256"):
        raise BackupWrong(
            f"{path}: it is not what was written (its checksum differs); use another backup"
        )
    tool = find_tool("pg_restore", int(manifest.get("tool_version", 0)), pg_bin)
    listed = run_tool(tool, ["--list", str(path)])
    if " soulbox" not in listed:
        raise BackupWrong(f"{path}: schema soulbox is not in it; use another backup")
    return Backup(
        path=path,
        what=str(manifest.get("what")),
        figures=dict(manifest.get("figures") or {}),
        sha256=str(manifest["sha256"]),
        size_bytes=path.stat().st_size,
        tool_version=int(manifest.get("tool_version", 0)),
        schema_version=int(manifest.get("schema_version", 0)),
        partitions=dict(manifest.get("partitions") or {}),
    )


def restore(
    dsn: str, path: Path, *, replace: bool = False, pg_bin: Path | None = None
) -> Mapping[str, Any]:
    """Restore a backup, bring it to this release's schema, prove it, raise its epoch.

    Args:
        replace: over the schema that is there; it is kept until the restored one is proved.

    Returns:
        The figures of the restored database, equal to those of the backup.

    Raises:
        ConfigError: the database is not empty and replace is not given, or the backup is of
            the schema alone; an operator is connected; no tools.
        BackupWrong: the file is damaged, or what came out of it differs; nothing changed.
        ToolFailed: pg_restore's own words; nothing changed.
    """
    check_dsn(dsn)
    backup = verify_backup(path, pg_bin=pg_bin)
    queries = load_queries("backup")
    with _one_line(), _connect(dsn) as connection:
        is_there = _value(connection, "has_schema") or _value(connection, "has_replaced")
        if is_there and backup.what == "schema":
            raise ConfigError(
                f"{path} holds only the schema and would delete all rows; give the DSN of an empty"
                " database"
            )
        if is_there and not replace:
            raise ConfigError(
                "the database already has a schema soulbox; give --replace, or the DSN of an empty"
                " database"
            )
        if _value(connection, "other_writers"):
            raise ConfigError("an operator is connected to this database; stop it first")
        _undo_killed(connection)
        old_epoch = _value(connection, "old_epoch") if is_there else 0
        connection.execute(load_queries("migrations")["make_roles"])
        tool = find_tool("pg_restore", connection.info.server_version, pg_bin)
        if is_there:
            connection.execute(queries["put_aside"])
        try:
            if backup.what == "data":
                _make_empty(connection, dsn, backup)
            _load(connection, tool, dsn, backup)
            # At once, and again once it is proved: killed in between, nobody takes it for the
            # database that the backup was made of.
            connection.execute(queries["next_database_epoch"], {"old_epoch": old_epoch})
            migrate(dsn)
            connection.execute(queries["unfiltered"])
            found = _figures(connection)
            figures = {name: found.get(name) for name in backup.figures}
            if figures != backup.figures:
                raise BackupWrong(
                    "what was restored differs from the backup in"
                    f" {_differences(backup, figures)}; the database is left as it was"
                )
            connection.execute(queries["next_database_epoch"], {"old_epoch": old_epoch})
        except BaseException:
            connection.execute(queries["drop_unproved"])
            if is_there:
                connection.execute(queries["put_back"])
            raise
        connection.execute(queries["drop_replaced"])
    return figures


def _undo_killed(connection: "psycopg.Connection[Any]") -> None:
    """Put back what a restore that was killed had put aside; what it had loaded is unproved."""
    if not _value(connection, "has_replaced"):
        return
    queries = load_queries("backup")
    connection.execute(queries["end_restores"])
    with connection.transaction():
        connection.execute(queries["drop_unproved"])
        connection.execute(queries["put_back"])


def _dump_words(connection: "psycopg.Connection[Any]", what: What) -> Iterator[str]:
    """What pg_dump is told about what to leave out."""
    if what == "data":
        yield "--data-only"
        yield "--load-via-partition-root"
        # The migrations that make its schema write their record themselves.
        yield "--exclude-table-data=soulbox.schema_migrations"
    elif what == "schema":
        # Not --schema-only: nobody could migrate what does not say what it is.
        for row in connection.execute(load_queries("backup")["tables_of_rows"]):
            yield f"--exclude-table-data=soulbox.{row['name']}"


def _make_empty(connection: "psycopg.Connection[Any]", dsn: str, backup: Backup) -> None:
    """The schema a backup of the data was taken of, without a row, to load it into.

    Triggers rest until it is loaded: they guard against people, and refuse a price whose time
    has come."""
    if not backup.schema_version:
        raise BackupWrong(
            f"{backup.path}: it does not say which schema it was taken of; use another backup"
        )
    queries = load_queries("backup")
    migrate(dsn, until=backup.schema_version)
    _switch_triggers(connection, "DISABLE")
    connection.execute(queries["empty_seeds"])
    for parent, moments in backup.partitions.items():
        connection.execute(queries["make_partitions"], {"parent": parent, "moments": moments})


def _switch_triggers(
    connection: "psycopg.Connection[Any]", verb: Literal["DISABLE", "ENABLE"]
) -> None:
    query = load_queries("backup")["switch_triggers"]
    for row in connection.execute(query, {"verb": verb}).fetchall():
        connection.execute(row["command"])


def _load(connection: "psycopg.Connection[Any]", tool: Path, dsn: str, backup: Backup) -> None:
    queries = load_queries("backup")
    # No more rights for functions that run with their owner's than soulbox_owner has.
    owner = ["--role=soulbox_owner"] if _value(connection, "may_become_owner") else []
    rights = [] if _value(connection, "has_group_roles") else ["--no-privileges"]
    words = ["--exit-on-error", "--single-transaction", "--no-owner", *owner, *rights]
    run_tool(tool, [*words, str(backup.path)], dsn)
    if backup.what == "data":
        _switch_triggers(connection, "ENABLE")
    elif backup.what == "schema":
        connection.execute(queries["first_rollup_state"])


def _differences(backup: Backup, figures: Mapping[str, Any]) -> str:
    names = sorted(name for name in figures if figures[name] != backup.figures.get(name))
    return ", ".join(f"{name} ({backup.figures.get(name)}, now {figures[name]})" for name in names)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigError(
            "the login may not do this to all rows; use the one that migrates (soulbox_owner)"
        ) from error
    except psycopg.Error as error:
        raise ConfigError(describe(error)[0]) from error


def _connect(dsn: str) -> "psycopg.Connection[Any]":
    connection: psycopg.Connection[Any] = psycopg.connect(
        dsn,
        autocommit=True,
        connect_timeout=5,
        row_factory=dict_row,
        application_name="soulbox db",
        client_encoding="utf8",
    )
    connection.execute(load_queries("backup")["same_words"])
    return connection


def _value(connection: "psycopg.Connection[Any]", name: str) -> Any:
    row = connection.execute(load_queries("backup")[name]).fetchone()
    assert row is not None
    return next(iter(row.values()))


def _require_schema(connection: "psycopg.Connection[Any]") -> None:
    if not _value(connection, "has_schema"):
        raise ConfigError("there is no schema soulbox in this database; check SOULBOX_DSN")


def _figures(connection: "psycopg.Connection[Any]") -> dict[str, Any]:
    row = connection.execute(load_queries("backup")["figures"]).fetchone()
    assert row is not None
    there = _value(connection, "tables")
    later = {table: query for table, query in _LATER.items() if table in there}
    return dict(row) | {table: _value(connection, query) for table, query in later.items()}


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder}: {error.strerror}") from None


def _hash(path: Path) -> str:
    """SHA-256, hex; the bytes are on the disk afterwards."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()


def _manifest(path: Path) -> Path:
    return path.with_suffix(".json")


def _write_manifest(backup: Backup) -> None:
    content = {
        "what": backup.what,
        "sha256": backup.sha256,
        "size_bytes": backup.size_bytes,
        "tool_version": backup.tool_version,
        "schema_version": backup.schema_version,
        "partitions": dict(backup.partitions),
        "figures": dict(backup.figures),
    }
    with _manifest(backup.path).open("wb") as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        os.fsync(file.fileno())


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"there is no backup {path}; name the .dump file")
    try:
        manifest = orjson.loads(_manifest(path).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        manifest = None
    if not isinstance(manifest, dict) or "sha256" not in manifest:
        raise BackupWrong(
            f"{_manifest(path)}: missing or unreadable; every backup of soulbox has this file"
            " beside it"
        )
    return manifest


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_older(folder: Path, oldest: datetime) -> tuple[Path, ...]:
    """Backups of ours of before this, and unfinished ones; nothing else in the folder."""
    removed = []
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name.replace(".partial", ".dump"))
        if match is None or path.suffix not in (".dump", ".partial"):
            continue
        made = datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if made < oldest:
            path.unlink()
            with suppress(FileNotFoundError):
                _manifest(path).unlink()
            removed.append(path)
    return tuple(removed)
