"""For every unit test: logs that can be read, examples without a stopwatch."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from hypothesis import settings

# How long an example takes depends on what else the machine does: no test fails by it.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Log entries of the test, as they were before any rendering."""
    with structlog.testing.capture_logs() as entries:
        yield entries
