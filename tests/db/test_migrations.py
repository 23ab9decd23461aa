"""The migrations runner on a real server, and the schema it makes."""

from __future__ import annotations

import re
import shutil
import threading
import uuid
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from soulbox.model.billing import BillingKind, EndSource
from soulbox.model.errors import ConfigError, StoreUnavailable
from soulbox.model.states import ExecutionKind, ExecutionState, FunctionState, SandboxState
from soulbox.pure.log_lines import LogLevel
from soulbox.store import dictionary
from soulbox.store.files import load_queries, sql_directory
from soulbox.store.migrate import check_schema, load_migrations, migrate
from soulbox.store.pool import Store, open_store
from tests.support.catalog import read_catalog
from tests.support.fix_db import TestServer
from tests.support.postgres_server import PostgresServer

NAMES = [migration.name for migration in load_migrations()]
NEXT = max(migration.version for migration in load_migrations()) + 1


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A copy of this release's migrations, to edit."""
    folder = tmp_path / "migrations"
    shutil.copytree(sql_directory() / "migrations", folder)
    return folder


def tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select relname from pg_class where relnamespace = to_regnamespace('soulbox')"
            " and relkind in ('r', 'p')"
        ).fetchall()
    return {row[0] for row in rows}


def test_empty_database_is_migrated_and_then_left_alone(empty_dsn: str) -> None:
    assert migrate(empty_dsn) == NAMES
    assert {"executions", "billing_events", "schema_migrations"} <= tables(empty_dsn)
    before = read_catalog(empty_dsn)
    assert migrate(empty_dsn) == []
    assert read_catalog(empty_dsn) == before


def test_dry_run_tells_and_writes_nothing(empty_dsn: str) -> None:
    assert migrate(empty_dsn, dry_run=True) == NAMES
    assert tables(empty_dsn) == set()
    migrate(empty_dsn)
    assert migrate(empty_dsn, dry_run=True) == []


def test_two_runners_at_once_apply_each_file_once(empty_dsn: str) -> None:
    results: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: results.append(migrate(empty_dsn))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(results) == 4
    assert sorted(name for names in results for name in names) == NAMES


def test_runner_waits_for_another_only_so_long(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn) as connection:
        connection.execute(load_queries("migrations")["lock"])
        with pytest.raises(ConfigError, match="another migration is running"):
            migrate(empty_dsn, lock_wait_seconds=0.2)
    assert migrate(empty_dsn, lock_wait_seconds=30) == NAMES


def test_runner_waits_for_no_lock_that_any_login_can_take(empty_dsn: str) -> None:
    migrate(empty_dsn, until=int(NAMES[-2][:4]))
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("select pg_advisory_lock(hashtextextended('soulbox.migrate', 0))")
        connection.execute("lock table soulbox.schema_migrations in access share mode")
        assert migrate(empty_dsn, lock_wait_seconds=30) == NAMES[-1:]


def test_schema_sql_is_what_the_migrations_make(pg_server: TestServer, empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn) as connection:
        for query in ("make_roles", "become_owner"):
            connection.execute(load_queries("migrations")[query])
        connection.execute((sql_directory() / "schema.sql").read_bytes())
    migrated = pg_server.create(template=pg_server.template)
    try:
        assert read_catalog(empty_dsn) == read_catalog(pg_server.database_dsn(migrated))
    finally:
        pg_server.drop(migrated)


def test_edited_migration_is_refused(empty_dsn: str, release: Path) -> None:
    migrate(empty_dsn, directory=release)
    (release / f"{NAMES[1]}.sql").write_text("SELECT 1;")
    with pytest.raises(ConfigError, match=f"{NAMES[1]} differs .* put the released file back"):
        migrate(empty_dsn, directory=release)


def test_newer_database_is_refused(empty_dsn: str, release: Path) -> None:
    (release / f"{NEXT:04}_later.sql").write_text("SELECT 1;")
    migrate(empty_dsn, directory=release)
    with pytest.raises(ConfigError, match=r"newer than this release: it has .*_later"):
        migrate(empty_dsn)


def test_older_database_is_brought_up(empty_dsn: str, release: Path) -> None:
    migrate(empty_dsn)
    later = f"{NEXT:04}_later"
    (release / f"{later}.sql").write_text("CREATE TABLE soulbox.later (a int);")
    assert migrate(empty_dsn, directory=release) == [later]
    assert "later" in tables(empty_dsn)


def test_failing_migration_leaves_nothing_of_itself(empty_dsn: str, release: Path) -> None:
    later = f"{NEXT:04}_broken"
    (release / f"{later}.sql").write_text(
        "CREATE TABLE soulbox.half (a int); INSERT INTO soulbox.half VALUES (1); SELECT 1/0;"
    )
    with pytest.raises(ConfigError, match=f"{later} failed and left nothing behind"):
        migrate(empty_dsn, directory=release)
    assert "half" not in tables(empty_dsn)
    assert migrate(empty_dsn) == []


def test_runner_killed_in_the_middle_leaves_a_database_that_can_go_on(
    own_server: PostgresServer, release: Path
) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE half")
    dsn = own_server.dsn("half")
    (release / f"{NAMES[2]}.sql").write_text("SELECT pg_sleep(600);")
    failure: list[BaseException] = []

    def run() -> None:
        try:
            migrate(dsn, directory=release)
        except ConfigError as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        while not connection.execute(
            "select 1 from pg_stat_activity where query like 'SELECT pg_sleep(600)%'"
        ).fetchone():
            pass
    own_server.kill()
    thread.join(timeout=60)
    assert isinstance(failure[0], ConfigError)
    own_server.start()
    assert migrate(dsn) == NAMES[2:]


@pytest.mark.parametrize(
    ("change", "want"),
    [
        pytest.param({"dbname": "nosuch"}, "the database does not exist", id="no database"),
        pytest.param({"user": "nosuch"}, "the login was refused", id="no such role"),
        pytest.param({"host": "127.0.0.1", "port": "1"}, "Connection refused", id="no server"),
    ],
)
def test_unreachable_server_is_one_clear_line(
    empty_dsn: str, change: dict[str, str], want: str
) -> None:
    dsn = conninfo.make_conninfo(empty_dsn, password="SECRET", **change)
    with pytest.raises(ConfigError, match=want) as raised:
        migrate(dsn)
    assert "\n" not in str(raised.value)
    assert "SECRET" not in str(raised.value)


def test_dsn_that_cannot_be_read_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match="the DSN cannot be read"):
        migrate("postgres//u:SECRET@h/d")


def test_role_without_rights_is_told_so(pg_server: TestServer, empty_dsn: str) -> None:
    role = f"plain_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    try:
        with pytest.raises(ConfigError, match="failed and left nothing behind: 42501"):
            migrate(conninfo.make_conninfo(empty_dsn, user=role))
    finally:
        with psycopg.connect(empty_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_migrating_role_that_may_not_make_roles_owns_what_it_makes(
    own_server: PostgresServer,
) -> None:
    """A database of one's own on somebody else's server: no group roles, no grants."""
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE ROLE alice LOGIN")
        connection.execute("CREATE DATABASE hers OWNER alice")
    assert migrate(own_server.dsn("hers", user="alice")) == NAMES
    with psycopg.connect(own_server.dsn("hers")) as connection:
        owner = connection.execute(
            "select pg_get_userbyid(relowner) from pg_class"
            " where oid = 'soulbox.executions'::regclass"
        ).fetchone()
        roles = connection.execute(
            "select rolname from pg_roles where rolname like 'soulbox%'"
        ).fetchall()
    assert owner == ("alice",)
    assert roles == []


def test_role_that_may_make_roles_but_is_no_superuser_migrates(
    own_server: PostgresServer,
) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE ROLE bob LOGIN CREATEROLE")
        connection.execute("CREATE DATABASE his OWNER bob")
    assert migrate(own_server.dsn("his", user="bob")) == NAMES
    with psycopg.connect(own_server.dsn("his", user="bob"), autocommit=True) as connection:
        owner = connection.execute(
            "select pg_get_userbyid(relowner) from pg_class"
            " where oid = 'soulbox.executions'::regclass"
        ).fetchone()
    assert owner == ("soulbox_owner",)
    assert migrate(own_server.dsn("his", user="bob")) == []


def test_read_only_server_is_told_so(empty_dsn: str) -> None:
    dsn = conninfo.make_conninfo(empty_dsn, options="-c default_transaction_read_only=on")
    with pytest.raises(ConfigError, match="read-only"):
        migrate(dsn)


async def test_check_schema(store: Store, empty_dsn: str, dsn: str) -> None:
    await check_schema(store)
    bare = await open_store(empty_dsn)
    with pytest.raises(ConfigError, match=r"lacks 0001_base.* run soulbox migrate"):
        await check_schema(bare)
    await bare.close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO soulbox.schema_migrations VALUES (99, 'x', repeat('0',64))")
    with pytest.raises(ConfigError, match="newer than this release"):
        await check_schema(store)
    down = await open_store("postgresql://nobody@127.0.0.1:1/x", connect_timeout_seconds=0.2)
    with pytest.raises(StoreUnavailable):
        await check_schema(down)
    await down.close()


def test_dictionary_is_read_as_the_catalog_says(dsn: str) -> None:
    want = {
        (table.name, column.name): (column.is_nullable, column.comment)
        for table in dictionary.parse_tables((sql_directory() / "schema.sql").read_text())
        for column in table.columns
    }
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select c.relname, a.attname, not a.attnotnull, col_description(c.oid, a.attnum)"
            " from pg_class c join pg_attribute a on a.attrelid = c.oid"
            " where c.relnamespace = 'soulbox'::regnamespace and c.relkind in ('r', 'p')"
            " and a.attnum > 0 and not a.attisdropped and not c.relispartition"
        ).fetchall()
    have = {(row[0], row[1]): (row[2], row[3]) for row in rows}
    # A generated column may be null to the catalog; it never is.
    assert have == want


def test_closed_sets_are_the_same_in_code_and_database(dsn: str) -> None:
    want = {
        "sandboxes_state_known": {state.lower() for state in SandboxState},
        "executions_state_known": {state.lower() for state in ExecutionState},
        "executions_kind_known": {kind.value for kind in ExecutionKind},
        "functions_state_known": {state.lower() for state in FunctionState},
        "execution_logs_level_known": {level.value for level in LogLevel},
        "billing_events_kind_known": {kind.value for kind in BillingKind},
        "pod_runs_end_source_known": {source.value for source in EndSource},
    }
    with psycopg.connect(dsn) as connection:
        for constraint, members in want.items():
            row = connection.execute(
                "select pg_get_constraintdef(oid) from pg_constraint"
                " where conname = %s and conislocal limit 1",
                (constraint,),
            ).fetchone()
            assert row is not None
            assert set(re.findall(r"'([a-z_]+)'", row[0])) == members
