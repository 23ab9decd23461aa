"""Backups on real servers: restored into a new one, over an old one, damaged, interrupted."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql
from typer.testing import CliRunner

from soulbox.app.cli import app
from soulbox.kinds.registry import ENTRIES
from soulbox.mirror import Mirror
from soulbox.mirror.items import ItemBuilder
from soulbox.model.errors import ConfigError, CursorExpired
from soulbox.store.backup import BackupWrong, back_up, restore, verify_backup
from soulbox.store.migrate import check_schema, migrate
from soulbox.store.pool import Store, open_store
from soulbox.store.reading import Filter, History
from soulbox.store.tools import ToolFailed, find_tool
from tests.support.catalog import read_catalog
from tests.support.fix_access import write_both
from tests.support.fix_db import TestServer
from tests.support.fix_mirror import CONTEXT, MakeMirror, until
from tests.support.postgres_server import PostgresServer
from tests.support.tools import add_tool, add_version

pytestmark = pytest.mark.slow
OPERATORS = (
    "select count(*) from pg_stat_activity"
    " where application_name = 'soulbox' and datname = current_database()"
)
# Of a version that cannot be called any more: triggers must leave it alone.
WITHDRAWN = datetime(2026, 11, 1, tzinfo=UTC)
IS_KEPT = (
    "select withdrawn_at = '2026-11-01 00:00:00+00' from soulbox.function_versions"
    " where version = '1'"
)


@pytest.fixture
async def filled(dsn: str, store: Store, make_mirror: MakeMirror) -> str:
    await write_both(make_mirror)
    with psycopg.connect(dsn, autocommit=True) as connection:
        tool = add_tool(connection, version="2")
        add_version(connection, tool, version="1", withdrawn_at=WITHDRAWN)
        connection.execute(
            "insert into soulbox.execution_logs"
            " (uid, created_at, seq, cluster, tenant, level, message)"
            " select uid, created_at, 0, cluster, tenant, 'info', 'hello'"
            "   from soulbox.executions limit 1"
        )
    await close(store, dsn)
    return dsn


async def close(store: Store, dsn: str) -> None:
    """Close a store, and wait until the server has noticed: else it counts as an operator."""
    await store.close()
    await until(lambda: value(dsn, OPERATORS) == 0)


def value(dsn: str, query: str) -> Any:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row and row[0]


def new_database(server: PostgresServer) -> str:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("create database restored")
    return server.dsn("restored")


async def test_backup_is_restored_into_a_new_server_and_proved(
    filled: str, own_server: PostgresServer, tmp_path: Path
) -> None:
    backup = back_up(filled, tmp_path / "backups")
    assert backup.figures["billing_events"] == 4
    assert backup.figures["executions"] == 8
    assert (backup.figures["function_versions"], backup.figures["execution_logs"]) == (2, 1)
    assert verify_backup(backup.path).figures == backup.figures
    target = new_database(own_server)
    with psycopg.connect(target, autocommit=True) as connection:
        # Its figures are those of the first one whatever its clock shows.
        connection.execute("alter database restored set timezone = 'Asia/Kolkata'")
        connection.execute("alter database restored set datestyle = 'German, DMY'")
    assert restore(target, backup.path) == backup.figures
    assert value(target, IS_KEPT)
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("alter database restored reset all")
    # The same schema, rights, policies and owners, function by function.
    assert read_catalog(target) == read_catalog(filled)
    assert migrate(target) == []
    ledger = "select md5(string_agg(b::text, '|' order by event_id)) from soulbox.billing_events b"
    assert value(target, ledger) == value(filled, ledger)
    # It goes on from there: the ledger is append-only as before.
    with pytest.raises(psycopg.errors.RestrictViolation), psycopg.connect(target) as connection:
        connection.execute("delete from soulbox.billing_events")


async def test_restore_over_an_existing_database(
    filled: str, make_mirror: MakeMirror, tmp_path: Path
) -> None:
    store = await open_store(filled)
    async with store.transaction() as tx:
        page = await History(tx).executions(Filter(), limit=1)
    await close(store, filled)
    backup = back_up(filled, tmp_path)
    epoch = value(filled, "select max(database_epoch) from soulbox.mirror_state")
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute("delete from soulbox.sandboxes")
        connection.execute("create table soulbox.left_over (a int)")
        connection.execute("select soulbox.ensure_partition('executions', '2031-01-01Z')")
    with pytest.raises(ConfigError, match="give --replace"):
        restore(filled, backup.path)
    assert value(filled, "select count(*) from soulbox.sandboxes") == 0
    with (
        psycopg.connect(filled, application_name="soulbox"),
        pytest.raises(ConfigError, match="an operator is connected"),
    ):
        restore(filled, backup.path, replace=True)
    await until(lambda: value(filled, OPERATORS) == 0)
    restore(filled, backup.path, replace=True)
    assert value(filled, "select count(*) from soulbox.sandboxes") == 4
    assert value(filled, "select to_regclass('soulbox.left_over')::text") is None
    assert value(filled, "select to_regnamespace('soulbox_replaced')::text") is None
    assert value(filled, "select max(database_epoch) from soulbox.mirror_state") > epoch
    store = await open_store(filled)
    try:
        async with store.transaction() as tx:
            with pytest.raises(CursorExpired):
                await History(tx).executions(Filter(), limit=1, cursor=page.next_cursor)
    finally:
        await store.close()


async def test_failed_restore_leaves_the_database_as_it_was(filled: str, tmp_path: Path) -> None:
    backup = back_up(filled, tmp_path)
    before = read_catalog(filled)
    content = bytearray(backup.path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    backup.path.write_bytes(content)
    with pytest.raises(BackupWrong, match="not what was written"):
        restore(filled, backup.path, replace=True)
    # A manifest that agrees with the damage: pg_restore or the figures find it. Cut short, for a
    # single wrong byte may lie where nothing is restored from (how to drop a table, say).
    import hashlib

    import orjson

    content = content[: len(content) * 3 // 4]
    backup.path.write_bytes(content)
    manifest = backup.path.with_suffix(".json")
    told = orjson.loads(manifest.read_bytes())
    told["sha256"] = hashlib.sha256(content).hexdigest()
    manifest.write_bytes(orjson.dumps(told))
    with pytest.raises((ToolFailed, BackupWrong)):
        restore(filled, backup.path, replace=True)
    assert read_catalog(filled) == before
    assert value(filled, "select count(*) from soulbox.executions") == 8


async def test_restore_that_was_killed_is_repeated(filled: str, tmp_path: Path) -> None:
    """SIGKILL while pg_restore waits for a lock, with the old schema put aside."""
    backup = back_up(filled, tmp_path)
    epoch = value(filled, "select max(database_epoch) from soulbox.mirror_state")
    tools = "select count(*) from pg_stat_activity where application_name = 'soulbox pg_restore'"
    with psycopg.connect(filled) as blocker:
        # The load makes functions: it waits for the catalog.
        blocker.execute("lock table pg_catalog.pg_proc in share mode")
        words = ["-m", "soulbox.app.cli", "db", "restore", str(backup.path), "--replace"]
        command = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            env={**os.environ, "SOULBOX_DSN": filled},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await until(
            lambda: (
                bool(value(filled, "select to_regnamespace('soulbox_replaced') is not null"))
                and value(filled, tools) == 1
            )
        )
        command.kill()
        await command.wait()
    # Its tool ends with it, by itself.
    await until(lambda: value(filled, tools) == 0)
    store = await open_store(filled)
    try:
        with pytest.raises(ConfigError, match="restore FILE --replace again"):
            await check_schema(store)
    finally:
        await close(store, filled)
    with pytest.raises(ConfigError, match="give --replace"):
        restore(filled, backup.path)
    assert restore(filled, backup.path, replace=True) == backup.figures
    assert value(filled, "select to_regnamespace('soulbox_replaced')::text") is None
    assert value(filled, "select max(database_epoch) from soulbox.mirror_state") > epoch


async def test_figures_that_differ_are_named_and_undone(filled: str, tmp_path: Path) -> None:
    import orjson

    backup = back_up(filled, tmp_path)
    manifest = backup.path.with_suffix(".json")
    told = orjson.loads(manifest.read_bytes())
    told["figures"]["ledger_amount"] = "1.0"
    manifest.write_bytes(orjson.dumps(told))
    with pytest.raises(BackupWrong, match=r"differs from the backup in ledger_amount \(1.0, now 0"):
        restore(filled, backup.path, replace=True)
    assert value(filled, "select count(*) from soulbox.executions") == 8


async def test_schema_alone_is_an_empty_database_to_work_with(
    filled: str, own_server: PostgresServer, tmp_path: Path
) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute(
            "insert into soulbox.price_plans (name, sku, tier, rate, valid, description) values"
            " ('dear', 'gold', 'free', 9, '[2040-01-01Z,)', 'later')"
        )
    backup = back_up(filled, tmp_path, what="schema")
    assert verify_backup(backup.path).what == "schema"
    with pytest.raises(ConfigError, match="would delete all rows"):
        restore(filled, backup.path, replace=True)
    assert value(filled, "select count(*) from soulbox.executions") == 8
    target = new_database(own_server)
    assert restore(target, backup.path) == {"price_plans": 2}
    assert read_catalog(target) == read_catalog(filled)
    assert migrate(target) == []
    for table in ("executions", "billing_events", "mirror_state", "changes", "tenant_roles"):
        assert value(target, f"select count(*) from soulbox.{table}") == 0, table
    # An operator that comes to it writes, bills and sums up.
    store = await open_store(target)
    mirror = Mirror(store, ItemBuilder(ENTRIES, CONTEXT), on_recorded=lambda *_: None)
    await write_both(lambda: mirror)
    await close(store, target)
    ledger = "select sum(amount) from soulbox.billing_events"
    assert value(target, ledger) == value(filled, ledger)
    assert value(target, "select sum(total_cost) from soulbox.v_usage_monthly") == value(
        filled, ledger
    )


@pytest.mark.parametrize("is_first_schema", [False, True], ids=["empty", "over-its-schema"])
def test_data_alone_brings_its_schema_along(
    filled: str, own_server: PostgresServer, tmp_path: Path, is_first_schema: bool
) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute("select soulbox.ensure_partition('executions', '2031-01-01Z')")
    backup = back_up(filled, tmp_path, what="data", compress=0)
    target = new_database(own_server)
    if is_first_schema:
        restore(target, back_up(filled, tmp_path, what="schema").path)
        with pytest.raises(ConfigError, match="give --replace"):
            restore(target, backup.path)
    assert restore(target, backup.path, replace=is_first_schema) == backup.figures
    assert value(target, IS_KEPT)
    # Its partitions, guards and rights too, as a full backup would.
    assert read_catalog(target) == read_catalog(filled)
    assert migrate(target) == []
    for table in ("billing_events", "executions", "price_plans", "pod_runs", "changes"):
        rows = f"select md5(string_agg(t::text, '|' order by t::text)) from soulbox.{table} t"
        assert value(target, rows) == value(filled, rows), table
    with pytest.raises(psycopg.errors.RestrictViolation), psycopg.connect(target) as connection:
        connection.execute("delete from soulbox.billing_events")


def test_data_of_another_schema_is_refused_and_changes_nothing(filled: str, tmp_path: Path) -> None:
    import orjson

    backup = back_up(filled, tmp_path, what="data")
    manifest = backup.path.with_suffix(".json")
    told = orjson.loads(manifest.read_bytes())
    for version, error, words in (
        (9999, ConfigError, "lacks migration 9999"),
        (0, BackupWrong, "does not say which schema"),
    ):
        manifest.write_bytes(orjson.dumps(told | {"schema_version": version}))
        with pytest.raises(error, match=words):
            restore(filled, backup.path, replace=True)
        assert value(filled, "select count(*) from soulbox.executions") == 8


def test_data_of_an_older_schema_is_migrated(
    filled: str, own_server: PostgresServer, tmp_path: Path
) -> None:
    """Taken at migration 25, restored by this release."""
    source = new_database(own_server)
    migrate(source, until=25)
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute("update soulbox.price_plans set description = 'kept'")
    backup = back_up(source, tmp_path, what="data")
    restore(source, backup.path, replace=True)
    assert migrate(source) == []
    assert value(source, "select description from soulbox.price_plans limit 1") == "kept"


def test_old_backups_are_removed_and_nothing_else(filled: str, tmp_path: Path) -> None:
    old = datetime.now(UTC) - timedelta(days=8)
    names = [f"soulbox-{old:%Y%m%dT%H%M%SZ}-full.{end}" for end in ("dump", "json", "partial")]
    for name in (*names, "notes.txt", "soulbox-mine.dump"):
        (tmp_path / name).write_text("x")
    backup = back_up(filled, tmp_path, keep_days=7)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        backup.path.name,
        backup.path.with_suffix(".json").name,
        "notes.txt",
        "soulbox-mine.dump",
    }
    assert len(backup.removed) == 2


def test_backup_that_would_be_filtered_is_refused(
    filled: str, pg_server: TestServer, tmp_path: Path
) -> None:
    role = f"filtered_{os.getpid()}_{time.monotonic_ns()}"
    name = sql.Identifier(role)
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute(sql.SQL("create role {} login in role soulbox_reader").format(name))
    try:
        with pytest.raises(ConfigError, match="use the one that migrates"):
            back_up(conninfo.make_conninfo(filled, user=role), tmp_path)
        assert list(tmp_path.glob("*.dump")) == []
    finally:
        with psycopg.connect(filled, autocommit=True) as connection:
            connection.execute(sql.SQL("drop role {}").format(name))


def test_tools_that_are_missing_or_too_old(tmp_path: Path) -> None:
    tool = tmp_path / "pg_dump"
    tool.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
    tool.chmod(0o755)
    with pytest.raises(ConfigError, match=r"PostgreSQL 15 or later .* \(found: 9\)"):
        find_tool("pg_dump", 150_004, tmp_path)
    with pytest.raises(ConfigError, match="found: none"):
        find_tool("pg_restore", 150_004, tmp_path)


def test_tools_own_words_are_told_without_the_password(filled: str, tmp_path: Path) -> None:
    tool = tmp_path / "pg_dump"
    tool.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo "pg_dump (PostgreSQL) 99.1"; exit; fi\n'
        'echo "$@" >> "$0.words"\necho "pg_dump: error: disk is on fire" >&2\nexit 3\n'
    )
    tool.chmod(0o755)
    with pytest.raises(ToolFailed, match=r"exit code 3.*disk is on fire"):
        back_up(conninfo.make_conninfo(filled, password="SECRET"), tmp_path / "b", pg_bin=tmp_path)
    assert "SECRET" not in (tmp_path / "pg_dump.words").read_text()
    assert list((tmp_path / "b").glob("*.dump")) == []


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (["verify", "/nowhere.dump"], "there is no backup /nowhere.dump"),
        (["restore", "/nowhere.dump"], "there is no backup /nowhere.dump"),
        (["backup", "/tmp", "--what", "odd"], "take full, schema or data"),
    ],
)
def test_command_says_what_is_wrong(dsn: str, words: list[str], want: str) -> None:
    result = CliRunner(env={"SOULBOX_DSN": dsn}).invoke(app, ["db", *words])
    assert want in str(result.exception)


def test_commands(filled: str, own_server: PostgresServer, tmp_path: Path) -> None:
    runner = CliRunner(env={"SOULBOX_DSN": filled})
    said = runner.invoke(app, ["db", "backup", str(tmp_path)]).output
    path = said.splitlines()[0].split()[1]
    assert runner.invoke(app, ["db", "verify", path]).output.startswith(f"whole: {path} (full")
    target = new_database(own_server)
    restored = CliRunner(env={"SOULBOX_DSN": target}).invoke(app, ["db", "restore", path])
    assert restored.output.startswith(f"restored: {path}\n")
    assert "billing_events 4: as in the backup" in restored.output
