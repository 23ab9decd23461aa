"""Several tests at a time: `pytest -n 4 --dist loadfile -m "not alone" tests/e2e`, and then
`pytest -m alone tests/e2e`, as hack/test does. Without -n all of them run one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.fix_operator import Places


@pytest.fixture
def namespace(places: Places) -> Iterator[str]:
    """A namespace of the test's own, which the operator serves; it goes afterwards."""
    name = places.take()
    yield name
    places.give_back(name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """An `alone` test beside others would see their load, or change what they stand on."""
    if "PYTEST_XDIST_WORKER" in os.environ and item.get_closest_marker("alone"):
        pytest.fail('it runs alone: pytest -m alone without -n, or -n with -m "not alone"')
