"""The fuzz targets on their seeds, on what was found before, and on a few inputs of hypothesis.
`make fuzz` gives them more time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import client
from tests.fuzz.targets import TARGETS, seeds

FOUND = Path(__file__).parents[1] / "fuzz/found"
SEEDS = {name: seeds(name) for name in TARGETS}


@pytest.fixture(scope="module", autouse=True)
def connections() -> Iterator[None]:
    yield
    client.close()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_keep_what_the_target_asserts(name: str) -> None:
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: path.parent.name)
def test_what_was_found_once_is_mended(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_changed_seeds_keep_what_the_target_asserts(name: str) -> None:
    @settings(max_examples=40, derandomize=True)
    @given(st.sampled_from(SEEDS[name]), st.binary(max_size=16), st.integers(0, 2**16))
    def check(seed: bytes, change: bytes, at: int) -> None:
        at %= len(seed) + 1
        TARGETS[name](seed[:at] + change + seed[at + len(change) :])

    check()
