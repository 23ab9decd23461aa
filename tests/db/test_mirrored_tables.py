"""What SQL must know of every table that shows objects: a kind forgotten there fails by name."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from soulbox.kinds.registry import ENTRIES
from soulbox.model.kinds import INFO
from soulbox.model.tables import Table
from soulbox.store.state import MONTHLY


def names(connection: psycopg.Connection, query: str, *values: Any) -> set[str]:
    return {str(row[0]) for row in connection.execute(query, values).fetchall()}


@pytest.mark.parametrize("table", [pytest.param(e.row_type.TABLE, id=e.kind) for e in ENTRIES])
def test_table_of_a_mirrored_kind_is_whole(
    sql_connection: psycopg.Connection, table: Table
) -> None:
    of = f"soulbox.{table.name}"
    granted = names(
        sql_connection,
        "select privilege from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as privilege"
        " where has_table_privilege('soulbox_writer', %s::regclass, privilege)",
        of,
    )
    assert granted == {"SELECT", "INSERT", "UPDATE"}, "the mirror may write it, and remove nothing"
    policies = names(
        sql_connection, "select polname from pg_policy where polrelid = %s::regclass", of
    )
    assert policies >= {"writer", "admin_reader"}
    triggers = names(
        sql_connection,
        "select tgname from pg_trigger where tgrelid = %s::regclass and not tgisinternal",
        of,
    )
    assert f"{table.name}_touch" in triggers, "updated_at: what repair goes by"
    key = names(
        sql_connection,
        "select a.attname from pg_index i join pg_attribute a"
        "    on a.attrelid = i.indrelid and a.attnum = any (i.indkey)"
        " where i.indrelid = %s::regclass and i.indisprimary",
        of,
    )
    assert key == set(table.key)
    partitioned = names(
        sql_connection, "select relkind from pg_class where oid = %s::regclass", of
    ) == {"p"}
    assert partitioned == (table.month is not None) == (table.name in MONTHLY)


def test_feed_takes_the_kinds_of_changes_that_are_told(
    sql_connection: psycopg.Connection,
) -> None:
    (check,) = names(
        sql_connection,
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'changes_kind_known'",
    )
    told = {entry.row_type.TABLE.feed.kind for entry in ENTRIES if entry.row_type.TABLE.feed}
    assert set(re.findall(r"'(\w+)'", check)) == told | {"metric"}


def test_states_that_are_not_counted_as_use_are_those_nothing_has_ended_in() -> None:
    for entry in ENTRIES:
        final = {state.lower() for state in INFO[entry.kind].final_states}
        assert bool(entry.row_type.TABLE.open_states) == bool(final)
        assert not final & set(entry.row_type.TABLE.open_states)
