"""How long tests wait is said in one place: a machine of CI may be ten times slower than a desk."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
OWN_IDEA = re.compile(r"--timeout=\d|PATIENCE\w* = \d")


@pytest.mark.parametrize("folder", ["api", "cluster", "e2e", "install", "runner"])
def test_no_test_has_an_own_idea_of_how_long_a_machine_takes(folder: str) -> None:
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted((TESTS / folder).glob("*.py"))
        for line in path.read_text().splitlines()
        if OWN_IDEA.search(line)
    ]
    assert found == [], "tests/support/patience.py says it"
