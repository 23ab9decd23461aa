"""A mirror on a real PostgreSQL, and ways to wait for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from soulbox.kinds.registry import ENTRIES
from soulbox.mirror import Mirror, MirrorSettings, RowContext
from soulbox.mirror.items import ItemBuilder
from soulbox.model.states import Kind
from soulbox.store.pool import Store
from tests.support.make_mirrored import CLUSTER_UID

# Short lingering and back-off: tests wait for what they ask for, not for company.
FAST = MirrorSettings(
    linger_seconds=0.01, backoff_min_seconds=0.02, backoff_max_seconds=0.1, ping_seconds=0.5
)
WAIT_SECONDS = 30.0
CONTEXT = RowContext(cluster_uid=CLUSTER_UID, tenant_of=lambda namespace: f"tenant-{namespace}")


class Recorded(list[tuple[Kind, str]]):
    """What on_recorded was told."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def add(self, kind: Kind, uid: str) -> None:
        self.append((kind, uid))
        self._news.set()

    async def wait_for(self, kind: Kind, uid: str) -> None:
        """Until it was told this."""
        async with asyncio.timeout(WAIT_SECONDS):
            while (kind, uid) not in self:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


MakeMirror = Callable[..., Mirror]


@pytest.fixture
def make_mirror(store: Store, recorded: Recorded) -> MakeMirror:
    """Makes mirrors on the test's database; `settings` are laid over FAST."""

    def make(*, on: Store | None = None, epoch: int | None = None, **settings: Any) -> Mirror:
        return Mirror(
            on or store,
            ItemBuilder(ENTRIES, CONTEXT),
            on_recorded=recorded.add,
            epoch=epoch,
            settings=replace(FAST, **settings),
        )

    return make


@asynccontextmanager
async def running(mirror: Mirror) -> AsyncIterator[Mirror]:
    """The mirror at work within the block."""
    task = asyncio.create_task(mirror.run())
    await asyncio.sleep(0)  # a task cancelled before its first step never runs at all
    try:
        yield mirror
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds, asking every 10 ms."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)


async def drained(mirror: Mirror) -> None:
    """Until nothing waits and the last batch is committed."""
    await until(lambda: mirror.statistics().pending == 0 and not mirror._batches.writing.locked())
