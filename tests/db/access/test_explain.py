"""A tenant's login learns nothing of other tenants' rows by EXPLAIN, statistics or errors.

Whatever it asks, an answer for a right guess about another tenant is the answer for a wrong
one: rows, the whole plan with its estimates, counts and pages, what is told to the screen,
and the counters of its own transaction.
"""

from __future__ import annotations

import string
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.fix_access import TENANTS, Logins

A, B = TENANTS
Refused = psycopg.errors.InsufficientPrivilege
COUNTERS = """
    select relname, coalesce(seq_scan, 0), coalesce(seq_tup_read, 0), coalesce(idx_scan, 0),
           coalesce(idx_tup_fetch, 0)
      from pg_stat_xact_all_tables where schemaname = 'soulbox' order by relname"""
# How a tenant's login may make the planner work.
SETTINGS = {
    "as it is": (),
    "without indexes": ("enable_indexscan", "enable_bitmapscan", "enable_indexonlyscan"),
    "without scans of tables": ("enable_seqscan",),
    "without nested loops": ("enable_nestloop", "enable_memoize"),
}


@pytest.fixture(params=["reader", "app"])
def tenant_a(
    request: pytest.FixtureRequest, logins: Logins, sql_connection: psycopg.Connection
) -> Iterator[psycopg.Connection]:
    """A session of a login that sees the first tenant; the second has what it lacks."""
    sql_connection.execute(
        "update soulbox.executions set user_name = 'zoe' where uid = (%s)",
        (victim(sql_connection)[0],),
    )
    sql_connection.execute("analyze")
    with psycopg.connect(getattr(logins, {"reader": "reader_a", "app": "app"}[request.param])) as (
        connection
    ):
        connection.autocommit = True
        if request.param == "app":
            connection.execute("select set_config('app.tenant', %s, false)", (A,))
        yield connection


def victim(connection: psycopg.Connection) -> tuple[str, str, str, str]:
    """UID, output, code and its hash of an Execution of the other tenant."""
    row = connection.execute(
        "select e.uid::text, e.stdout, e.code, e.code_sha256 from soulbox.v_executions e"
        " where e.tenant = %s and e.code is not null and e.stdout <> '' order by e.uid limit 1",
        (B,),
    ).fetchone()
    assert row is not None
    return row


def answer(connection: psycopg.Connection, query: str, guess: str) -> list[object]:
    """All that a login can see of a query with a guess in it; the guess itself taken out."""
    told: list[str] = []

    def hear(diagnostic: psycopg.errors.Diagnostic) -> None:
        told.append(str(diagnostic.message_primary))

    text = query.replace("?", "'" + guess.replace("'", "''") + "'")
    for _ in range(2):  # the first fills the caches of the session
        connection.execute(text.encode()).fetchall()
    connection.add_notice_handler(hear)
    connection.execute("set client_min_messages = log")
    connection.execute("set debug_print_plan = on")
    with connection.transaction():
        # They count what was not reported yet, of transactions before this one too.
        before = connection.execute(COUNTERS).fetchall()
        told.clear()
        rows = connection.execute(text.encode()).fetchall()
        plans = len(told)
        after = connection.execute(COUNTERS).fetchall()
    counters = [
        (one[0], *(late - early for late, early in zip(one[1:], two[1:], strict=True)))
        for one, two in zip(after, before, strict=True)
    ]
    connection.execute("reset debug_print_plan")
    connection.execute("reset client_min_messages")
    connection.remove_notice_handler(hear)
    explained = connection.execute(
        f"explain (analyze, buffers, verbose, timing off, summary off) {text}".encode()
    ).fetchall()
    plan = "\n".join(line[0] for line in explained)
    quoted = guess.replace("'", "''")
    plan = plan.replace(f"'{quoted}'", "?").replace(f"'{{{quoted}}}'", "?")
    return [rows, plans, counters, plan.partition("\nPlanning:")[0]]


# A query, where ? is the guess.
UID, TENANT = "uid = '{uid}'", f"tenant = '{B}'"
CONTENT = {
    "output": f'select 1 from soulbox.executions() where {UID} and stdout collate "C" >= ?',
    "output, by UID": "select 1 from soulbox.executions(of_uid => '{uid}')"
    ' where stdout collate "C" >= ?',
    "output, by a subquery that is run or not": "select (select count(*) from soulbox.owns())"
    f' from soulbox.executions() where stdout collate "C" >= ? and {TENANT}',
    "code": f'select 1 from soulbox.v_executions() where {UID} and code collate "C" >= ?',
    "code, of programs": "select 1 from soulbox.programs()"
    f' where code collate "C" >= ? and {TENANT}',
    "code, by its hash": "select 1 from soulbox.programs(of_sha256 => '{sha256}')"
    ' where code collate "C" >= ?',
    "bytes": "select 1 from soulbox.execution_outputs('{uid}') where encode(bytes, 'escape') >= ?",
    "output, as a log": "select 1 from soulbox.execution_logs('{uid}')"
    ' where message collate "C" >= ?',
    "files": "select 1 from soulbox.execution_files('{uid}') where encode(content, 'escape') >= ?",
}
COUNT = "select count(*) from soulbox."
NAMES = {
    "a tenant": (f"{COUNT}executions(of_tenant => ?)", B, "nobody"),
    "a tenant's code": (f"{COUNT}programs(of_tenant => ?)", B, "nobody"),
    "a tenant's bill": (f"{COUNT}v_usage_monthly(of_tenant => ?)", B, "nobody"),
    "a tenant's ledger": (f"{COUNT}billing_events(of_tenant => ?)", B, "nobody"),
    "a tenant's changes": (f"{COUNT}changes(of_tenant => ?)", B, "nobody"),
    "a user": (f"{COUNT}executions(of_user => ?)", "zoe", "nobody"),
    "a user's sandboxes": (f"{COUNT}owns(of_user => ?)", "zoe", "nobody"),
    "a user's bill": (f"{COUNT}v_usage_daily(of_user => ?)", "zoe", "nobody"),
    "a user's dashboard": ("select soulbox.dashboard(?) - 'user'", "zoe", "nobody"),
    "a user's figures": (f"{COUNT}execution_stats(3660, 'user') where key = ?", "zoe", "nobody"),
    "words of code": (f"{COUNT}search_code(?)", "team-b", "team-q"),
    "words of code by stem": (f"{COUNT}search_code(?)", "printing team-b", "printing team-q"),
    "a word's beginning": (f"{COUNT}search_code(?)", "team-b*", "team-q*"),
    "words of tools": (f"{COUNT}search_tools(?)", "team-b", "team-q"),
    "a tool's tag": (f"{COUNT}search_tools(of_tags => array[?])", "b-tag", "q-tag"),
    "a tool": (f"{COUNT}find_tool(?)", "team-b/resize", "team-q/resize"),
    "a tenant's tools": (f"{COUNT}search_tools(of_tenant => ?)", B, "nobody"),
    "a tenant's counts": (f"{COUNT}count_tools('tag', ?)", B, "nobody"),
    "a tenant's calls": (f"{COUNT}tool_stats(3660, of_tenant => ?)", B, "nobody"),
    "a function": (f"{COUNT}functions(in_namespace => ?)", "team-b", "team-q"),
    "words of output": (f"{COUNT}search_output(?, 3660)", "team-b", "team-q"),
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_right_guess_is_answered_as_a_wrong_one(
    tenant_a: psycopg.Connection, sql_connection: psycopg.Connection, settings: str
) -> None:
    uid, output, code, sha256 = victim(sql_connection)
    for setting in SETTINGS[settings]:
        tenant_a.execute(f"set {setting} = off".encode())
    guesses = {"output": output, "code": code, "bytes": output, "files": "\x01"}
    for name, template in CONTENT.items():
        query = template.format(uid=uid, sha256=sha256)
        right = guesses[name.split(",")[0].split()[0]]
        assert answer(tenant_a, query, right[:1]) == answer(tenant_a, query, "~"), name
    for name, (query, right, wrong) in NAMES.items():
        assert answer(tenant_a, query, right) == answer(tenant_a, query, wrong), name


def test_attack_of_explain_reads_no_letter(
    tenant_a: psycopg.Connection, sql_connection: psycopg.Connection
) -> None:
    """The attack that once read all: what runs only for rows that pass a leakproof comparison."""
    uid, output, code, _ = victim(sql_connection)
    tables = {"executions": ("stdout", output), "v_executions": ("code", code)}
    for relation, (column, secret) in tables.items():
        question = (
            "explain (analyze, costs off, timing off, summary off)"
            " select (select 1 from pg_class limit 1) from soulbox.{0} where uid = '{1}'"
            " and {2} collate \"C\" >= '{3}'"
        )
        direct = question.format(relation, uid, column, secret[:1].replace("'", "''"))
        with pytest.raises(Refused):
            tenant_a.execute(direct.encode())
        # The first fills the caches of the session.
        tenant_a.execute(question.format(f"{relation}()", uid, column, "").encode())
        known = ""
        for _ in range(3):
            answers = {}
            for letter in string.printable[:95]:
                guess = (known + letter).replace("'", "''")
                asked = question.format(f"{relation}()", uid, column, guess)
                lines = tenant_a.execute(asked.encode()).fetchall()
                answers[letter] = "\n".join(line[0] for line in lines).replace(f"'{guess}'", "?")
            assert len(set(answers.values())) == 1
            known += secret[len(known)]


def test_no_plan_of_what_runs_within_is_told(tenant_a: psycopg.Connection) -> None:
    """A plan has the estimates of the planner, and these are of all tenants' rows."""
    told: list[str] = []
    tenant_a.add_notice_handler(
        lambda diagnostic: told.append(f"{diagnostic.message_primary}{diagnostic.message_detail}")
    )
    for setting in ("debug_print_plan", "debug_print_rewritten", "debug_print_parse"):
        tenant_a.execute(f"set {setting} = on".encode())
    tenant_a.execute("set client_min_messages = debug5")
    tenant_a.execute("select count(*) from soulbox.executions(of_user => 'zoe', max_rows => 3)")
    plans = [one for one in told if "PLANNEDSTMT" in one]
    assert len(plans) == 1
    assert ":relname executions" not in plans[0]


def test_functions_that_read_for_a_caller_have_their_walls(
    sql_connection: psycopg.Connection,
) -> None:
    rows = sql_connection.execute(
        "select p.oid::regprocedure::text, p.proconfig, has_function_privilege('public', p.oid,"
        " 'EXECUTE') from pg_proc p where p.pronamespace = 'soulbox'::regnamespace and p.prosecdef"
        " and p.provolatile = 's'"
    ).fetchall()
    assert len(rows) > 30
    for name, settings, is_public in rows:
        held = dict(one.split("=", 1) for one in settings)
        assert held["search_path"] == "pg_catalog, pg_temp", name
        assert held["client_min_messages"] == "notice", name
        assert held["jit"] == "off", name
        assert held["plan_cache_mode"].startswith("force_"), name
        assert not is_public, name


def test_statistics_and_catalogs_name_nothing(
    tenant_a: psycopg.Connection, sql_connection: psycopg.Connection
) -> None:
    sql_connection.execute(
        "create statistics soulbox.words on tenant, user_name from soulbox.sandboxes"
    )
    sql_connection.execute("analyze")
    for query in (
        "select * from pg_stats where schemaname = 'soulbox' and tablename not in"
        " ('schema_migrations', 'mirror_state', 'rollup_state')",
        "select * from pg_stats_ext where schemaname = 'soulbox'",
        "select * from pg_sequences where schemaname = 'soulbox' and last_value is not null",
        "select query from pg_stat_activity where query ilike '%team-b%'"
        " and usesysid <> (select oid from pg_roles where rolname = session_user)",
    ):
        assert tenant_a.execute(query.encode()).fetchall() == [], query
    for query in (
        "select * from pg_statistic",
        "select * from soulbox.executions for update",
        "declare c cursor with hold for select * from soulbox.sandboxes",
        "lock table soulbox.executions in access share mode",
        "copy soulbox.programs to stdout",
        "select * from soulbox.usage_sums('all', null, null, null, null)",
        "insert into soulbox.programs (tenant, code_sha256, cluster, code, code_bytes)"
        " select 'tenant-team-b', repeat('a', 64), gen_random_uuid(), 'x', 1",
    ):
        with pytest.raises(Refused), tenant_a.transaction():
            tenant_a.execute(query.encode())


def test_errors_of_a_condition_come_from_own_rows_alone(tenant_a: psycopg.Connection) -> None:
    for relation in ("executions", "programs", "billing_events", "v_usage_daily", "changes"):
        query = (
            f"select 1 / (case tenant when '{B}' then 0 else 1 end) from soulbox.{relation}()"
            f" where 1 / (case tenant when '{B}' then 0 else 1 end) = 1"
        )
        assert tenant_a.execute(query.encode()).fetchall()
