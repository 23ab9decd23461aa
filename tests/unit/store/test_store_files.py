"""SQL files, the plan of migrations, staging types, the data dictionary: no server needed."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from soulbox.model.billing import BillingEvent
from soulbox.model.errors import ConfigError
from soulbox.model.rows import ExecutionRow, PodRunRow, ProgramRow, SandboxRow
from soulbox.store import dictionary
from soulbox.store.files import aggregates, load_queries, sql_directory
from soulbox.store.migrate import Migration, _check_server, load_migrations, plan_migrations
from soulbox.store.staging import column_types, values_of

ROOT = Path(__file__).parents[3]
STORE = ROOT / "operator" / "soulbox" / "store"
STAGED = (SandboxRow, ExecutionRow, ProgramRow, PodRunRow, BillingEvent)


def query_names() -> list[tuple[str, str]]:
    return [(aggregate, name) for aggregate in aggregates() for name in load_queries(aggregate)]


@pytest.mark.parametrize(("aggregate", "name"), query_names())
def test_query_is_used_and_tells_its_purpose(aggregate: str, name: str) -> None:
    code = "".join(path.read_text() for path in STORE.glob("*.py"))
    assert f'"{name}"' in code
    assert re.match(r"-- \S", load_queries(aggregate)[name])


def test_code_asks_for_no_query_that_is_not_there() -> None:
    known = {name for _, name in query_names()}
    for path in STORE.glob("*.py"):
        asked = set(re.findall(r"queries(?:\(\"\w+\"\))?\[\"(\w+)\"\]", path.read_text()))
        assert asked <= known, path.name


def test_queries_with_one_name_twice_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "odd.sql").write_text("-- a --\nSELECT 1;\n-- a --\nSELECT 2;\n")
    monkeypatch.setattr("soulbox.store.files._CHECKOUT", tmp_path)
    with pytest.raises(ValueError, match="names a query twice"):
        load_queries("odd")


def files(*names: str) -> tuple[Migration, ...]:
    return tuple(
        Migration(version=index, name=name, sha256=f"{index:064x}", sql="")
        for index, name in enumerate(names, start=1)
    )


FILES = files("0001_a", "0002_b", "0003_c")
ALL = {one.version: (one.name, one.sha256) for one in FILES}


@pytest.mark.parametrize(
    ("applied", "want"),
    [
        pytest.param({}, ["0001_a", "0002_b", "0003_c"], id="an empty database"),
        pytest.param({1: ALL[1]}, ["0002_b", "0003_c"], id="an older database"),
        pytest.param(ALL, [], id="nothing to do"),
    ],
)
def test_plan(applied: Mapping[int, tuple[str, str]], want: list[str]) -> None:
    assert [one.name for one in plan_migrations(FILES, applied)] == want


@pytest.mark.parametrize(
    ("applied", "want"),
    [
        pytest.param({**ALL, 4: ("0004_d", "f" * 64)}, "newer than this release", id="newer"),
        pytest.param(
            {1: ("0001_a", "f" * 64)}, "0001_a differs from 0001_a as it was", id="edited"
        ),
        pytest.param({1: ("0001_x", ALL[1][1])}, "0001_a differs from 0001_x", id="renamed"),
        pytest.param({1: ALL[1], 3: ALL[3]}, "0002_b was left out", id="left out"),
        pytest.param(
            {**ALL, 0: ("0000_z", "f" * 64)}, "lacks migration 0000_z", id="a file is missing"
        ),
    ],
)
def test_plan_refuses(applied: Mapping[int, tuple[str, str]], want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        plan_migrations(FILES, applied)


def test_migrations_of_this_release_are_numbered_and_hashed() -> None:
    found = load_migrations()
    assert [one.version for one in found] == sorted({int(one.name[:4]) for one in found})
    first = sql_directory() / "migrations" / f"{found[0].name}.sql"
    assert found[0].sha256 == hashlib.sha256(first.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("names", "want"),
    [
        (["0002_b.sql"], "no number 0001"),
        (["0001_a.sql", "0003_b.sql", "0003_c.sql"], "number 0003 twice"),
        (["1_a.sql"], "not named NNNN_what.sql"),
        (["0001-a.sql"], "not named NNNN_what.sql"),
    ],
)
def test_migrations_with_odd_names_are_refused(tmp_path: Path, names: list[str], want: str) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match=want):
        load_migrations(tmp_path)


@pytest.mark.parametrize("row_type", STAGED)
def test_staged_integers_are_all_bigint(row_type: type) -> None:
    """A smaller type would cut a number that is too large for it, and say nothing."""
    tables = {table.name: table for table in dictionary.parse_tables(schema())}
    names = {
        SandboxRow: "sandboxes",
        ExecutionRow: "executions",
        ProgramRow: "programs",
        PodRunRow: "pod_runs",
        BillingEvent: "billing_events",
    }
    columns = {column.name: column.type for column in tables[names[row_type]].columns}
    words = {"int8": "bigint", "bool": "boolean"}
    for name, kind in column_types(row_type).items():
        assert columns[name].split("(")[0] == words.get(kind, kind), name


def test_server_that_is_too_old_is_refused() -> None:
    class Old:
        class info:
            server_version = 140_011

    with pytest.raises(ConfigError, match="PostgreSQL 14 is too old; SoulBox needs 15 or later"):
        _check_server(cast(Any, Old()))


def test_types_without_a_column_type_are_refused() -> None:
    @dataclasses.dataclass
    class Odd:
        value: float

    with pytest.raises(TypeError, match="has no column type"):
        column_types(Odd)


def test_values_are_in_order() -> None:
    @dataclasses.dataclass
    class Pair:
        uid: UUID
        at: datetime | None

    assert values_of(Pair)(Pair(UUID(int=1), None)) == (UUID(int=1), None)


def schema() -> str:
    return (sql_directory() / "schema.sql").read_text()


def test_dictionary_page_is_up_to_date() -> None:
    assert dictionary.main(["--check", "--page", str(ROOT / dictionary.PAGE)]) == 0


def test_dictionary_says_when_it_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "reference" / "tables.md"
    assert dictionary.main(["--check", "--page", str(page)]) == 1
    assert dictionary.COMMAND in capsys.readouterr().err
    assert dictionary.main(["--page", str(page)]) == 0
    assert dictionary.main(["--check", "--page", str(page)]) == 0
    page.write_text(page.read_text() + "edited")
    assert dictionary.main(["--check", "--page", str(page)]) == 1


def test_every_table_and_column_has_a_comment() -> None:
    for table in dictionary.parse_tables(schema()):
        assert table.comment, table.name
        assert table.key, table.name
        for column in table.columns:
            assert column.comment, f"{table.name}.{column.name}"
