"""`soulbox db grant-reader`: a login of a tenant within bounds; `soulbox db doctor` misses them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from soulbox.model.errors import InvalidRequest
from soulbox.pure.doctor.care import judge_care
from soulbox.store.access import grant_reader
from soulbox.store.care import look_at
from soulbox.store.pool import Store
from tests.support.fix_access import Logins

BOUNDS = {"connections": 2, "statement_seconds": 7}


@pytest.fixture
async def login(sql_connection: psycopg.Connection) -> AsyncIterator[str]:
    name = f"analyst_{uuid.uuid4().hex[:8]}"
    sql_connection.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
    yield name
    sql_connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
    sql_connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


async def findings(store: Store) -> dict[str, str]:
    return {one.check: one.found for one in judge_care(await look_at(store, ()))}


async def test_reader_is_made_within_bounds(
    dsn: str, store: Store, sql_connection: psycopg.Connection, login: str
) -> None:
    sql_connection.execute(sql.SQL("grant soulbox_reader to {}").format(sql.Identifier(login)))
    assert login in (await findings(store))["logins"]
    for _ in range(2):  # it may be repeated
        done = await grant_reader(store, login=login, tenants=["team-a", "team-b"], **BOUNDS)
    assert done[0] == "at most 2 connections"
    assert login not in (await findings(store)).get("logins", "")
    as_login = conninfo.make_conninfo(dsn, user=login)
    with psycopg.connect(as_login) as one, psycopg.connect(as_login):
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            psycopg.connect(as_login)
        shown: dict[str, Any] = {
            name: one.execute(f"show {name}".encode()).fetchone()
            for name in (
                *("statement_timeout", "idle_in_transaction_session_timeout"),
                *("idle_session_timeout", "temp_file_limit"),
            )
        }
        tenants = one.execute("select soulbox.visible_tenants()").fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            one.execute("create temporary table mine ()")
    assert shown == {
        "statement_timeout": ("7s",),
        "idle_in_transaction_session_timeout": ("7s",),
        "idle_session_timeout": ("1d",),
        "temp_file_limit": ("1GB",),
    }
    assert tenants is not None
    assert sorted(tenants[0]) == ["team-a", "team-b"]


async def test_whatever_writes_keeps_its_temporary_tables(
    store: Store, sql_connection: psycopg.Connection, login: str, logins: Logins
) -> None:
    """Rights given by hand too: without these tables neither operator nor adjustments write."""
    database = sql.Identifier(sql_connection.info.dbname)
    sql_connection.execute(
        sql.SQL("revoke temporary on database {} from soulbox_writer").format(database)
    )
    await grant_reader(store, login=login, tenants=["team-a"], **BOUNDS)
    for dsn in (logins.writer, logins.owner):
        with psycopg.connect(dsn) as connection:
            connection.execute("create temporary table mine ()")
    for dsn in (logins.reader_a, logins.stranger):
        with (
            psycopg.connect(dsn) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("create temporary table mine ()")


async def test_login_that_is_none_or_sees_all_is_refused(store: Store, logins: Logins) -> None:
    with psycopg.connect(logins.writer) as connection:
        writer = connection.info.user
    for name, words in (("nobody", "does not exist"), (writer, "already sees all tenants")):
        with pytest.raises(InvalidRequest, match=words):
            await grant_reader(store, login=name, tenants=["team-a"], **BOUNDS)


async def test_doctor_finds_a_table_that_was_opened_again(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    assert "walls" not in await findings(store)
    sql_connection.execute("grant select (stdout) on soulbox.executions to soulbox_reader")
    assert "executions" in (await findings(store))["walls"]
    sql_connection.execute("call soulbox.apply_access()")
    assert "walls" not in await findings(store)
