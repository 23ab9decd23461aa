"""Objects that wait and how they are written: one batch at a time, wherever it comes from."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from soulbox.mirror.fence import Fence
from soulbox.mirror.items import ItemBuilder
from soulbox.mirror.pending import PendingMap, Sighting, sighting_of
from soulbox.mirror.tracker import Tracker
from soulbox.mirror.writer import BatchResult, BatchWriter
from soulbox.model.rows import DeadLetterRow
from soulbox.model.states import Kind
from soulbox.pure.prices import PriceBook
from soulbox.store.pool import Store


class Batches:
    """The pending map on its way to PostgreSQL.

    Args:
        capacity: objects that wait at most.
        on_recorded: told (kind, uid) after the commit in which an object became recorded.

    Attributes:
        writing: held while a batch is written, and by anything that must not write beside one.
        work: something waits.
        totals: what was committed since the start of the process.
        prices: the price plans as last read; None until PostgreSQL was first reached.
        last_size, last_commit_time: of the newest batch.
        on_batch: told the number of objects of each committed batch.
    """

    def __init__(
        self,
        store: Store,
        builder: ItemBuilder,
        *,
        epoch: int | None,
        capacity: int,
        on_recorded: Callable[[Kind, str], None],
        clock: Callable[[], datetime],
    ) -> None:
        self.builder = builder
        self.pending = PendingMap(capacity)
        self.tracker = Tracker(builder.entries.values())
        self.fence = Fence(store, builder.context.cluster_uid, epoch)
        self.writer = BatchWriter(store, builder, self.fence, self.tracker)
        self._clock = clock
        self._on_recorded = on_recorded
        self.writing = asyncio.Lock()
        self.work = asyncio.Event()
        self.totals = BatchResult()
        self.prices: PriceBook | None = None
        self.last_size = 0
        self.last_commit_time: datetime | None = None
        self.on_batch: Callable[[int], None] = lambda _: None

    def sighting(
        self, kind: Kind, manifest: Mapping[str, Any], *, deleted: bool = False
    ) -> Sighting | None:
        """This version, seen now; None for what is not mirrored."""
        if kind not in self.builder.entries:
            return None
        return sighting_of(
            kind,
            manifest,
            deleted=deleted,
            seen_at=self._clock(),
            waiting_since=asyncio.get_running_loop().time(),
        )

    async def write(
        self,
        batch: Sequence[Sighting],
        proven_until: dict[str, datetime] | None = None,
        *,
        upcoming: Sequence[Sighting] = (),
    ) -> None:
        """Write a batch; what could not be written waits again. See BatchWriter.write."""
        result = BatchResult()
        try:
            async with self.writing:
                await self.writer.write(batch, result, proven_until=proven_until, upcoming=upcoming)
        except BaseException:
            done = {sighting.uid for sighting in result.done}
            self.pending.put_back(item for item in batch if item.uid not in done)
            self.work.set()
            raise
        finally:
            self._take(result)

    async def write_spooled(self, batch: list[Sighting]) -> None:
        """As `write`; what could not be written waits where it came from."""
        result = BatchResult()
        try:
            async with self.writing:
                await self.writer.write(batch, result)
        finally:
            self._take(result)

    async def bury(self, letter: DeadLetterRow) -> None:
        """Keep what cannot be written. See BatchWriter.bury."""
        result = BatchResult()
        async with self.writing:
            await self.fence.acquire()
            await self.writer.bury(letter, result)
        self._take(result)

    def _take(self, result: BatchResult) -> None:
        totals = self.totals
        totals.rows_written += result.rows_written
        totals.batches += result.batches
        totals.dead_letters += result.dead_letters
        totals.bill_conflicts += result.bill_conflicts
        if result.prices is not None:
            self.prices = result.prices
        if result.batches:
            self.last_commit_time = self._clock()
            self.last_size = len(result.done)
            self.on_batch(len(result.done))
        self.tracker.forget(
            sighting.uid
            for sighting in result.done
            if sighting.deleted and sighting.uid not in self.pending
        )
        for sighting in result.recorded:
            # A version offered meanwhile may decide when it is written.
            newest_decides = self.builder.entries[sighting.kind].newest_decides
            if newest_decides and sighting.uid in self.pending:
                continue
            if self.tracker.set_recorded(sighting.uid):
                self._on_recorded(sighting.kind, sighting.uid)
