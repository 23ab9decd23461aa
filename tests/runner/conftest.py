"""Fixtures of the runner's tests: a process of the real binary per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runner_client import Runner, start_runner


@pytest.fixture
def runner(binary: Path, base: Path) -> Iterator[Runner]:
    """A runner with default flags, as the user of the test."""
    with start_runner(binary, base) as started:
        yield started
