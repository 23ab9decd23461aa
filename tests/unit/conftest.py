"""What is logged is kept for the test instead of being rendered."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Log entries of the test, as they were before any rendering."""
    with structlog.testing.capture_logs() as entries:
        yield entries
