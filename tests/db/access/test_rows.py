"""Each login sees its own rows and no others, whatever it asks."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import psycopg
import pytest

from soulbox.model.errors import NotFound
from soulbox.store.outputs import readable_output
from soulbox.store.pool import open_store
from soulbox.store.rollups import Rebuild, fold_usage, rollup_differences
from tests.support.fix_access import TENANTS, USERS, Logins

A, B = TENANTS
Refused = psycopg.errors.InsufficientPrivilege
# No rows of tenants are in these; everybody who may read may read them as they are. Everything
# else is closed to a tenant's login.
WITHOUT_TENANTS = {
    "mirror_state",
    "schema_migrations",
    "rollup_state",
    "v_partitions",
    "v_table_health",
    "v_database_health",
}
# What the fixture writes no rows into.
UNFILLED = {"generates_metrics"}
# How all of what a tenant's login may read of a relation is asked for, where the function of its
# name wants an argument.
CALLS = {
    "execution_outputs": "soulbox.executions() e cross join lateral"
    " (select o.tenant from soulbox.execution_outputs(e.uid) o) x (tenant_too)",
    "execution_logs": "soulbox.executions() e cross join lateral"
    " (select l.tenant from soulbox.execution_logs(e.uid) l) x (tenant_too)",
    "resource_metrics": "soulbox.resource_metrics(from_at => '2000-01-01')",
    "generates": "soulbox.generates(from_at => '2000-01-01')",
    "generates_metrics": "soulbox.executions() e cross join lateral"
    " (select m.tenant from soulbox.generates_metrics(e.uid) m) x (tenant_too)",
}


def calls(connection: psycopg.Connection) -> dict[str, str]:
    """By relation of tenants' rows, how a tenant's login reads it: by the function of its name."""
    rows = connection.execute(
        "select distinct p.proname from pg_proc p"
        " where p.pronamespace = 'soulbox'::regnamespace and p.proretset"
    ).fetchall()
    named = {name for name, has_tenant in relations(connection).items() if has_tenant}
    return {name: CALLS.get(name, f"soulbox.{name}()") for (name,) in rows if name in named}


def relations(connection: psycopg.Connection) -> dict[str, bool]:
    """Tables and views, and whether they name a tenant."""
    rows = connection.execute(
        "select c.relname, exists (select from pg_attribute a where a.attrelid = c.oid"
        "       and a.attname = 'tenant' and not a.attisdropped)"
        "  from pg_class c where c.relnamespace = 'soulbox'::regnamespace"
        "   and c.relkind in ('r', 'p', 'v') and not c.relispartition"
    ).fetchall()
    return dict(rows)


def seen(dsn: str, relation: str, *setup: str) -> set[str]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in setup:
            connection.execute(statement)
        name = "x.tenant_too" if "tenant_too" in relation else "tenant"
        rows = connection.execute(f"select distinct {name} from {relation}".encode()).fetchall()
    return {row[0] for row in rows}


def test_every_relation_shows_each_login_its_own(
    logins: Logins, sql_connection: psycopg.Connection
) -> None:
    found = relations(sql_connection)
    read_by = calls(sql_connection)
    assert CALLS.keys() <= read_by.keys()
    tenant_a = f"set app.tenant = '{A}'"
    for relation in (name for name, has_tenant in found.items() if has_tenant):
        filled = seen(logins.trial, f"soulbox.{relation}")
        if relation in read_by.keys() - UNFILLED:
            assert filled == {A, B}, relation
        for all_of_them in (logins.admin_reader, logins.writer, logins.owner):
            assert seen(all_of_them, f"soulbox.{relation}") == filled, relation
        if relation not in read_by:  # the operator's own: no tenant's login reads it at all
            for tenant in (logins.reader_a, logins.app):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    seen(tenant, f"soulbox.{relation}")
            continue
        call = read_by[relation]
        assert seen(logins.reader_a, call) == filled & {A}, relation
        assert seen(logins.reader_b, call) == filled & {B}, relation
        assert seen(logins.stranger, call) == set(), relation
        assert seen(logins.app, call) == set(), relation
        assert seen(logins.app, call, tenant_a) == filled & {A}, relation
        for all_of_them in (logins.admin_reader, logins.writer, logins.owner, logins.trial):
            assert seen(all_of_them, call) == filled, relation


def test_no_relation_that_holds_rows_of_tenants_is_open_to_their_logins(
    logins: Logins, sql_connection: psycopg.Connection
) -> None:
    found = relations(sql_connection)
    for dsn in (logins.reader_a, logins.stranger, logins.app):
        open_ones = set()
        with psycopg.connect(dsn, autocommit=True) as connection:
            for relation in found:
                try:
                    connection.execute(f"explain select from soulbox.{relation}".encode())
                except Refused:
                    continue
                open_ones.add(relation)
        assert open_ones == WITHOUT_TENANTS


@pytest.mark.parametrize(
    "attempt",
    [
        f"set app.tenant = '{B}'",
        "set role soulbox_reader",
        "set search_path = pg_temp, soulbox",
        "set session characteristics as transaction isolation level serializable",
    ],
)
def test_no_setting_shows_a_reader_more(as_reader_a: psycopg.Connection, attempt: str) -> None:
    as_reader_a.execute(attempt)
    rows = as_reader_a.execute("select distinct tenant from soulbox.executions()").fetchall()
    assert rows == [(A,)]


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        ("set role soulbox_admin_reader", psycopg.errors.InsufficientPrivilege),
        ("set role soulbox_owner", psycopg.errors.InsufficientPrivilege),
        ("set session authorization postgres", psycopg.Error),
        ("select * from soulbox.executions_y2026m11", psycopg.errors.InsufficientPrivilege),
        (
            "set row_security = off; select * from soulbox.executions",
            psycopg.errors.InsufficientPrivilege,
        ),
        (
            f"insert into soulbox.tenant_roles values (session_user, '{B}')",
            psycopg.errors.InsufficientPrivilege,
        ),
        ("call soulbox.apply_access()", psycopg.errors.InsufficientPrivilege),
        (
            "select soulbox.drop_expired('executions', '30 days')",
            psycopg.errors.InsufficientPrivilege,
        ),
        ("update soulbox.sandboxes set name = 'mine'", psycopg.errors.InsufficientPrivilege),
        ("drop policy reader on soulbox.executions", psycopg.errors.InsufficientPrivilege),
    ],
)
def test_reader_may_not(
    as_reader_a: psycopg.Connection, attempt: str, error: type[psycopg.Error]
) -> None:
    with pytest.raises(error):
        as_reader_a.execute(attempt)


def test_reader_learns_nothing_by_a_function_that_tells(
    logins: Logins, sql_connection: psycopg.Connection
) -> None:
    """A cheap function in WHERE that reports what it was shown is not shown others' rows."""
    database = sql_connection.info.dbname
    sql_connection.execute(f'grant temporary on database "{database}" to public')
    told: list[str] = []
    with psycopg.connect(logins.reader_a, autocommit=True) as connection:
        connection.add_notice_handler(lambda diag: told.append(str(diag.message_primary)))
        connection.execute(
            "create function pg_temp.tell(t text) returns boolean language plpgsql"
            " cost 0.0000001 as $$ begin raise notice '%', t; return true; end $$"
        )
        connection.execute("select * from soulbox.executions() where pg_temp.tell(tenant)")
        connection.execute("select * from soulbox.programs() where pg_temp.tell(code)")
    assert told
    assert not any("team-b" in line for line in told)


def test_statistics_of_the_planner_tell_no_reader_of_others(
    as_reader_a: psycopg.Connection, sql_connection: psycopg.Connection
) -> None:
    sql_connection.execute("analyze soulbox.executions, soulbox.sandboxes")
    rows = as_reader_a.execute("select * from pg_stats where schemaname = 'soulbox'").fetchall()
    assert not any("team-b" in str(row) for row in rows)


def users(connection: psycopg.Connection, relation: str) -> set[str]:
    rows = connection.execute(f"select tenant, user_name from soulbox.{relation}()").fetchall()
    return {f"{tenant}/{user}" for tenant, user in rows}


@pytest.mark.parametrize(
    "relation",
    [
        *("executions", "sandboxes", "v_executions", "owns", "runs", "programs", "changes"),
        *("billing_events", "pod_runs", "v_usage_daily", "v_usage_monthly", "v_focus"),
    ],
)
def test_back_end_narrows_itself_to_one_user(as_app: psycopg.Connection, relation: str) -> None:
    as_app.execute("select set_config('app.tenant', %s, false)", (A,))
    assert users(as_app, relation) == {f"{A}/{user}" for user in USERS}
    as_app.execute("select set_config('app.user', 'ada', false)")
    assert users(as_app, relation) == {f"{A}/ada"}
    as_app.execute("select set_config('app.user', '', false)")
    assert users(as_app, relation) == {f"{A}/{user}" for user in USERS}
    as_app.execute("set app.tenant = ''")
    assert users(as_app, relation) == set()


def test_back_end_writes_its_own_rows_only(
    logins: Logins, sql_connection: psycopg.Connection
) -> None:
    """It may write nothing by itself; where an administrator lets it, the rows are its own."""
    insert = (
        "insert into soulbox.programs (tenant, code_sha256, cluster, user_name, code, code_bytes)"
        " values (%s, repeat(%s, 64), gen_random_uuid(), %s, 'x', 1)"
    )
    with psycopg.connect(logins.app, autocommit=True) as connection:
        connection.execute("select set_config('app.tenant', %s, false)", (A,))
        connection.execute("select set_config('app.user', 'ada', false)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            connection.execute(insert, (A, "a", "ada"))
        sql_connection.execute("grant insert, update, delete on soulbox.programs to soulbox_app")
        try:
            connection.execute(insert, (A, "a", "ada"))
            for tenant, user in ((B, "ada"), (A, "bob"), (B, "bob")):
                with pytest.raises(
                    psycopg.errors.InsufficientPrivilege, match="row-level security"
                ):
                    connection.execute(insert, (tenant, "b", user))
            with pytest.raises(Refused, match="row-level security"):
                connection.execute("update soulbox.programs set user_name = 'bob'")
            own = connection.execute("update soulbox.programs set code_bytes = 2").rowcount
            gone = connection.execute("delete from soulbox.programs").rowcount
        finally:
            sql_connection.execute(
                "revoke insert, update, delete on soulbox.programs from soulbox_app"
            )
    left = sql_connection.execute(
        "select count(*) from soulbox.programs where tenant = %s and user_name = 'ada'", (A,)
    ).fetchone()
    assert own == gone > 0
    assert left == (0,)
    assert sql_connection.execute("select count(*) from soulbox.programs").fetchone() != (0,)


def test_back_end_that_forgot_its_tenant_sees_nothing(as_app: psycopg.Connection) -> None:
    assert as_app.execute("select count(*) from soulbox.executions()").fetchone() == (0,)


def test_reader_of_two_tenants_sees_both(
    logins: Logins, sql_connection: psycopg.Connection
) -> None:
    with psycopg.connect(logins.reader_a) as connection:
        role = connection.info.user
    sql_connection.execute("insert into soulbox.tenant_roles values (%s, %s)", (role, B))
    assert seen(logins.reader_a, "soulbox.executions()") == {A, B}


def test_functions_know_what_a_login_sees(logins: Logins) -> None:
    want: dict[str, Any] = {
        "reader_a": [A],
        "reader_b": [B],
        "stranger": [],
        "app": [],
        "admin_reader": None,
        "writer": None,
        "owner": None,
        "trial": None,
    }
    have = {}
    for kind, dsn in asdict(logins).items():
        with psycopg.connect(dsn) as connection:
            row = connection.execute("select soulbox.visible_tenants()").fetchone()
            have[kind] = row[0] if row else "no row"
    assert have == want


# Functions and reports.

REPORTS = {
    "dashboard": "select t, soulbox.dashboard('ada', t)"
    " from unnest(array['tenant-team-a', 'tenant-team-b']) t"
    " where coalesce(t = any (soulbox.visible_tenants()), true)",
    "search of code": "select * from soulbox.search_code('needle', 200)",
    "search of output": "select * from soulbox.search_output('needle', 3660, 200)",
    "tools": "select * from soulbox.search_tools()",
    "search of tools": "select * from soulbox.search_tools('needle')",
    "counts of tools": "select * from soulbox.count_tools('namespace')",
    "calls of tools": "select * from soulbox.tool_stats(3660)",
    "a tool": "select * from unnest(array['team-a', 'team-b']) n,"
    " soulbox.find_tool(n || '/resize') t",
    "statistics": "select * from soulbox.execution_stats(3660, 'namespace')",
    "slowest": "select * from soulbox.slowest_programs(3660)",
    "failing": "select * from soulbox.failing_programs(3660)",
    "history": "select soulbox.history(uid) from soulbox.sandboxes()",
    "owns": "select * from soulbox.owns()",
    "use by month": "select * from soulbox.v_usage_monthly()",
    "use by day": "select * from soulbox.v_usage_daily()",
    "runs": "select * from soulbox.runs()",
    "generates": "select * from soulbox.generates()",
    "prices": "select * from soulbox.price_plans()",
    "tables": "select * from soulbox.v_table_health",
}


@pytest.mark.parametrize("report", REPORTS)
def test_reports_show_a_reader_nothing_of_others(logins: Logins, report: str) -> None:
    answers = {}
    for kind in ("reader_a", "reader_b", "stranger", "trial"):
        with psycopg.connect(getattr(logins, kind), autocommit=True) as connection:
            answers[kind] = str(connection.execute(REPORTS[report].encode()).fetchall())
    assert "team-b" not in answers["reader_a"]
    assert "team-a" not in answers["reader_b"]
    assert "team-" not in answers["stranger"]
    if report not in ("failing", "generates", "prices", "tables"):
        assert "team-a" in answers["trial"]
        assert "team-b" in answers["trial"]
        assert "team-a" in answers["reader_a"]
        assert "team-b" in answers["reader_b"]


def test_search_is_narrowed_to_a_back_ends_user(as_app: psycopg.Connection) -> None:
    query = "select distinct tenant, user_name from soulbox.search_code('needle', 200)"
    assert as_app.execute(query).fetchall() == []
    as_app.execute("select set_config('app.tenant', %s, false)", (A,))
    assert len(as_app.execute(query).fetchall()) == 2
    as_app.execute("select set_config('app.user', 'ada', false)")
    assert as_app.execute(query).fetchall() == [(A, "ada")]


def test_history_of_anothers_object_is_empty(
    as_reader_a: psycopg.Connection, sql_connection: psycopg.Connection
) -> None:
    row = sql_connection.execute(
        "select uid from soulbox.executions where tenant = %s limit 1", (B,)
    ).fetchone()
    assert row is not None
    assert as_reader_a.execute("select * from soulbox.history(%s)", row).fetchall() == []


async def test_writer_folds_and_rebuilds_and_a_reader_may_not(logins: Logins) -> None:
    store = await open_store(logins.writer)
    try:
        while await fold_usage(store):
            pass
        sums = Rebuild(store)
        while await sums.step() is not None:
            pass
        assert await rollup_differences(store) == []
    finally:
        await store.close()
    for attempt in (
        "update soulbox.usage_aggregates set total_cost = 0",
        "delete from soulbox.usage_daily",
        "delete from soulbox.usage_marks",
        "update soulbox.rollup_state set watermark = '0'",
    ):
        with psycopg.connect(logins.reader_a) as connection, pytest.raises(Refused):
            connection.execute(attempt.encode())
    with psycopg.connect(logins.writer) as connection, pytest.raises(Refused):
        connection.execute("delete from soulbox.usage_marks")


def test_admin_reader_takes_the_rest_of_a_sum_from_an_index(
    logins: Logins, sql_connection: psycopg.Connection
) -> None:
    """Row security does not keep the planner from it: its operators are leakproof."""
    sql_connection.execute(
        "insert into soulbox.usage_marks (execution_uid, cluster, tenant, state, ended_at,"
        " duration_ms, xid8) select gen_random_uuid(), gen_random_uuid(), 't', 'failed', now(), 1,"
        " '3' from generate_series(1, 20000)"
    )
    sql_connection.execute("analyze soulbox.usage_marks")
    with psycopg.connect(logins.admin_reader) as connection:
        rows = connection.execute(
            "explain (analyze, costs off, timing off) select sum(total_executions)"
            " from soulbox.v_usage_monthly where period = '2026-11'"
        ).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert re.search(r"usage_marks_fold_idx on usage_marks .*actual rows=4", plan), plan


async def test_output_is_read_by_whoever_sees_the_execution(logins: Logins) -> None:
    """As `soulbox logs` and `files` do with a DSN."""
    with psycopg.connect(logins.owner, autocommit=True) as owner:
        row = owner.execute(
            "update soulbox.executions set output_complete = true where uid = ("
            " select uid from soulbox.execution_outputs where tenant = 'tenant-team-a' limit 1)"
            " returning uid"
        ).fetchone()
    assert row is not None
    uid = row[0]

    async def read(dsn: str) -> bytes:
        store = await open_store(dsn, max_size=1)
        try:
            async with store.transaction() as tx:
                return b"".join([piece async for piece in readable_output(tx, uid, "stdout")])
        finally:
            await store.close()

    want = await read(logins.owner)
    assert want
    for dsn in (logins.reader_a, logins.admin_reader, logins.trial):
        assert await read(dsn) == want
    with pytest.raises(NotFound, match="or it is of another tenant"):
        await read(logins.reader_b)
