"""The bench, for every test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.reconcile.bench import Bench, working


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Reconcilers on an API server at HTTP level."""
    async with working(tmp_path) as made:
        yield made
