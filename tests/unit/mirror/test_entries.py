"""Which kinds are mirrored is said once for the mirror, once in the facts of each kind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import soulbox.mirror
from soulbox.kinds.registry import ENTRIES
from soulbox.mirror.items import ItemBuilder
from soulbox.model.kinds import MIRRORED
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext
from tests.support.make_mirrored import CLUSTER_UID

FOLDER = Path(soulbox.mirror.__file__).parent


def test_entries_are_of_the_kinds_that_have_tables() -> None:
    assert [(entry.kind, entry.row_type.TABLE.name) for entry in ENTRIES] == [
        (info.kind, info.table) for info in MIRRORED
    ]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_mirror_names_no_kind(path: Path) -> None:
    named = [
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Kind"
    ]
    assert named == []


def test_one_kind_is_billed() -> None:
    context = RowContext(cluster_uid=CLUSTER_UID, tenant_of=lambda namespace: namespace)
    assert ItemBuilder(ENTRIES, context).metered is Kind.POD
