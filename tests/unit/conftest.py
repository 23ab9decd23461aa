"""For every unit test: logs that can be read, examples without a stopwatch, a bench, and commands
that are put together once."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer
import yaml
from hypothesis import settings

from tests.support.reconciling import Bench, working

# How long an example takes depends on what else the machine does: no test fails by it. `make check`
# tries a few examples of each property, `make test` as many as hypothesis would.
settings.register_profile(
    "unit", deadline=None, max_examples=int(os.environ.get("SOULBOX_TEST_EXAMPLES") or 25)
)
settings.load_profile("unit")

# Typer makes the tree of all commands again at every call, 50 ms of CPU time; it keeps no state.
typer.main.get_command = functools.cache(typer.main.get_command)

# Reading kubeconfigs, for one in seven tests, was a tenth of the whole: the same parser in C.
if yaml.__with_libyaml__:
    yaml.SafeLoader = yaml.CSafeLoader  # type: ignore[misc]


def pytest_collection_finish() -> None:
    """What is there by now stays: no round of the garbage collector needs to look at it again."""
    gc.collect()
    gc.freeze()


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
