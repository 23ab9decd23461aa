"""Fixtures of this folder, and its marker: everything here needs a real PostgreSQL."""

from __future__ import annotations

import pytest

from tests.support.fix_db import (
    dsn,
    empty_dsn,
    own_server,
    pg_server,
    sql_connection,
    store,
)
from tests.support.fix_mirror import make_mirror, recorded

__all__ = [
    "dsn",
    "empty_dsn",
    "make_mirror",
    "own_server",
    "pg_server",
    "recorded",
    "sql_connection",
    "store",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/tests/db/" in str(item.path):
            item.add_marker(pytest.mark.db)
