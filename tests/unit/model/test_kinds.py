"""The table of kinds agrees with what it stands for elsewhere."""

import re
from pathlib import Path

from soulbox.model import kinds
from soulbox.model.states import Kind

ROOT = Path(__file__).parents[3]


def test_every_kind_is_described_once() -> None:
    assert sorted(kinds.INFO) == sorted(Kind)
    assert len(kinds.WATCHED) == len(Kind)


def test_tables_exist() -> None:
    schema = (ROOT / "db/schema.sql").read_text()
    tables = set(re.findall(r"^CREATE TABLE soulbox\.(\w+)", schema, re.MULTILINE))
    assert {info.table for info in kinds.MIRRORED} <= tables


def test_words_a_person_may_use() -> None:
    assert kinds.EXECUTION.words == ("execution", "executions", "sbe")
    assert kinds.POD.words == ("pod", "pods")


def test_what_is_looked_up_is_listed_before_what_looks_it_up() -> None:
    order = [info.kind for info in kinds.WATCHED]
    assert order.index(Kind.NAMESPACE) == 0
    assert order.index(Kind.SANDBOX_CLASS) < order.index(Kind.SANDBOX)
    assert order.index(Kind.SANDBOX) < order.index(Kind.EXECUTION)
