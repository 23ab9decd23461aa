"""A real judge, with its real child process, for all tests of a module."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest_asyncio

from soulbox.judge.judge import Judge


@contextlib.asynccontextmanager
async def running(judge: Judge) -> AsyncIterator[Judge]:
    """The judge while it serves."""
    serving = asyncio.create_task(judge.run())
    try:
        yield judge
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def judge() -> AsyncIterator[Judge]:
    async with running(Judge()) as serving:
        yield serving
