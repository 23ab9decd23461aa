"""Statements of mirrored rows are what the dataclasses say, and rows have the tables' columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from soulbox.model.rows import ExecutionRow, PodRunRow, SandboxRow, TableRow
from soulbox.model.tables import Rule, rules_of
from soulbox.store import objects_sql
from soulbox.store.dictionary import parse_tables
from soulbox.store.files import load_queries, sql_directory
from soulbox.store.staging import column_types

# What the database itself keeps in every table, and what is told with each write.
KEPT_BY_THE_DATABASE = {
    "recorded_at",
    "updated_at",
    "code_search",
    "is_current",
    "withdrawn_at",
    "search",
}
OF_THE_WRITE = {"mirror_epoch"}


def test_committed_statements_are_what_is_generated(tmp_path: Path) -> None:
    assert objects_sql.main([str(tmp_path)]) == 0
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    committed = sql_directory() / "queries" / "objects"
    assert made == {path.name: path.read_text() for path in committed.iterdir()}


@pytest.mark.parametrize("row_type", objects_sql.ROW_TYPES, ids=lambda row: row.__name__)
def test_row_has_the_columns_of_its_table(row_type: type[TableRow]) -> None:
    (table,) = (
        table
        for table in parse_tables((sql_directory() / "schema.sql").read_text())
        if table.name == row_type.TABLE.name
    )
    columns = {column.name for column in table.columns}
    assert set(column_types(row_type)) == columns - KEPT_BY_THE_DATABASE - OF_THE_WRITE
    assert row_type.TABLE.key == table.key


def test_a_row_that_names_no_rule_is_replaced_whole() -> None:
    rules = rules_of(SandboxRow)
    assert list(rules) == list(column_types(SandboxRow))
    assert (rules["state"], rules["tenant"]) == (Rule.NEWEST, Rule.FIRST)
    assert rules_of(ExecutionRow)["output_complete"] is Rule.SAVED


def test_columns_that_stay_as_first_written_are_never_set() -> None:
    """A change of them would move a row to another bill."""
    for row_type in (SandboxRow, ExecutionRow, PodRunRow):
        upsert = load_queries(f"objects/{row_type.TABLE.name}")["upsert"]
        for name in ("cluster", "tenant", "user_name", *row_type.TABLE.key):
            assert f" {name} = " not in upsert.partition("DO UPDATE SET")[2].partition("WHERE")[0]
