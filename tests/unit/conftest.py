"""For every unit test: logs that can be read, examples without a stopwatch, a bench."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

from tests.support.reconciling import Bench, working

# How long an example takes depends on what else the machine does: no test fails by it.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Log entries of the test, as they were before any rendering."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Reconcilers on an API server at HTTP level."""
    async with working(tmp_path) as made:
        yield made
