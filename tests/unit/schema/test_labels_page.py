"""docs/reference/labels.md lists every name that we write on Kubernetes objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from soulbox.model import keys

PAGE = (Path(__file__).parents[3] / "docs/reference/labels.md").read_text()
NAMES = {
    name: value
    for name, value in vars(keys).items()
    if name.endswith(("_LABEL", "_ANNOTATION", "_FINALIZER", "_SECRET"))
    or name.endswith("FIELD_MANAGER")
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_name_stands_on_the_page(name: str) -> None:
    assert NAMES[name] in PAGE


def test_page_names_nothing_else() -> None:
    cells = {
        line.split("`")[1].split(":")[0] for line in PAGE.splitlines() if line.startswith("| `")
    }
    assert cells - set(NAMES.values()) == {"soulbox-<profile>"}
