"""Users are of a tenant: two of one name are two, and what one of them ran is theirs."""

from __future__ import annotations

import psycopg
import pytest

from soulbox.model.errors import InvalidRequest
from soulbox.store.pool import open_store
from soulbox.store.reports import parse_params, run_report
from tests.support.fix_access import TENANTS, Logins

A, B = TENANTS


def test_code_that_another_user_ran_first_is_seen_and_found(
    as_app: psycopg.Connection, sql_connection: psycopg.Connection
) -> None:
    """A program is kept once a tenant, with the user who ran it first."""
    sql_connection.execute(
        "update soulbox.executions e set code_sha256 = p.code_sha256 from soulbox.programs p"
        " where e.tenant = %s and e.user_name = 'bob' and p.tenant = e.tenant"
        " and p.user_name = 'ada' and p.code like '%%team-a ada%%'",
        (A,),
    )
    as_app.execute("select set_config('app.tenant', %s, false)", (A,))
    as_app.execute("select set_config('app.user', 'bob', false)")
    codes = {
        "v_executions": "select distinct code from soulbox.v_executions()",
        "programs": "select code from soulbox.programs() where user_name = 'ada'",
    }
    for query in codes.values():
        rows = as_app.execute(query.encode()).fetchall()
        assert [row[0] for row in rows if "ada" in row[0]], query
    found = as_app.execute("select user_name from soulbox.search_code('needle ada')").fetchall()
    assert found == [("ada",)]
    as_app.execute("select set_config('app.user', 'eve', false)")
    assert as_app.execute("select code from soulbox.programs()").fetchall() == []


async def test_dashboard_is_of_one_tenant(logins: Logins, as_reader_a: psycopg.Connection) -> None:
    row = as_reader_a.execute("select soulbox.dashboard('ada') ->> 'tenant'").fetchone()
    assert row == (A,)  # of the other tenant's it knows nothing
    store = await open_store(logins.admin_reader)
    try:
        with pytest.raises(InvalidRequest, match="tenant: user 'ada' is in several; name one"):
            async with store.transaction() as tx:
                await run_report(tx, "dashboard", parse_params("dashboard", {"user": "ada"}))
        async with store.transaction() as tx:
            params = parse_params("dashboard", {"user": "ada", "tenant": B})
            found = (await run_report(tx, "dashboard", params)).rows[0]["dashboard"]
            owned = await run_report(tx, "owns", parse_params("owns", {"user": "ada", "tenant": B}))
    finally:
        await store.close()
    assert {one["tenant"] for one in found["last_executions"]} == {B}
    assert {one["tenant"] for one in owned.rows} == {B}


def test_search_takes_beginnings_and_needs_a_word(as_reader_a: psycopg.Connection) -> None:
    def count(query: str) -> int:
        row = as_reader_a.execute(
            "select count(*) from soulbox.search_code(%s)", (query,)
        ).fetchone()
        assert row is not None
        return int(row[0])

    every = count("needle")
    assert every > 0
    assert count("nee*") == count("need*") == every
    assert count("nee") == count("-needle") == count("") == 0
    assert count("needle -bob") == count("nee* -bob") < every
    assert count("print* bob*") == every - count("needle -bob")


def test_statistics_name_what_is_not_known(
    as_reader_a: psycopg.Connection, sql_connection: psycopg.Connection
) -> None:
    sql_connection.execute("update soulbox.executions set language = null")
    keys = as_reader_a.execute("select key from soulbox.execution_stats(3660, 'language')")
    assert keys.fetchall() == [("(none)",)]
