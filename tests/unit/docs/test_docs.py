"""What the docs say of names, files and targets is what there is."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from soulbox.model.billing import BillingKind
from soulbox.model.states import (
    ConditionType,
    ExecutionReason,
    ExecutionState,
    SandboxReason,
    SandboxState,
)
from soulbox.pure.metering import event_id

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Path and anchor of each relative link, those in code apart."""
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: Path) -> str:
    """Everything that stands in code, inline or in blocks."""
    text = page.read_text()
    return "\n".join([*FENCE.findall(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))])


def first_cells(page: Path, heading: str) -> set[str]:
    """Words of the first cells of all tables in a section."""
    section = page.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return {word.strip("` ") for row in rows for word in row.split(",")}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        is_there = any(target.iterdir()) if target.is_dir() else target.is_file()
        if not is_there or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("States and reasons of an Execution", [*ExecutionState, *ExecutionReason]),
        ("States and reasons of a Sandbox", [*SandboxState, *SandboxReason]),
    ],
)
def test_every_state_and_reason_is_explained_and_no_other(heading: str, words: list[str]) -> None:
    explained = first_cells(ROOT / "docs/concepts.md", heading) - {"state", "reason"}
    assert explained == set(words)


def test_every_condition_is_explained() -> None:
    text = (ROOT / "docs/concepts.md").read_text()
    header = text.split("\n## Conditions\n", 1)[1].split("| | ", 1)[1].split("\n", 1)[0]
    assert {cell.strip() for cell in header.split("|") if cell.strip()} == set(ConditionType)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    used = set(re.findall(r"(?:^|[\s$;(])make ([a-z][a-z-]*)", code(page), re.MULTILINE))
    assert used - targets == set()


def test_event_id_is_made_as_the_page_says() -> None:
    text = (ROOT / "docs/billing.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, str] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, names)
    want = event_id(
        UUID(names["pod"]),
        BillingKind(names["kind"]),
        datetime.fromisoformat(names["hour"]).astimezone(UTC),
    )
    assert printed.getvalue().strip() == str(want)


ATTACK = re.compile(r"^\| ([A-G]\d\d) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def test_each_attack_of_the_threat_model_names_tests_that_are_there() -> None:
    page = ROOT / "docs" / "threat-model.md"
    rows = ATTACK.findall(page.read_text())
    assert len(rows) > 100
    assert len({row[0] for row in rows}) == len(rows)
    for name, _, _, cell in rows:
        places = re.findall(r"\]\(([^)]+)\)((?: ?`[^`]+`,?)+)", cell)
        assert places, name
        for path, names in places:
            text = (page.parent / path).read_text()
            for one in re.findall(r"`([^`]+)`", names):
                assert one in text, f"{name}: {one} is not in {path}"
