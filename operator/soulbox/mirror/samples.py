"""Resource figures on their way to PostgreSQL.

Bounded: while PostgreSQL is away the newest samples wait, the oldest beyond the bound are
dropped and counted. A gap in the table is then a gap, and never a zero.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from soulbox.mirror.fence import Fence
from soulbox.model.errors import StoreRefused
from soulbox.model.rows import SampleRow
from soulbox.store.feed import FeedStore
from soulbox.store.pool import Store
from soulbox.store.samples import SampleStore
from soulbox.store.state import DAILY, StateStore

# One transaction: five rounds of 200 Sandboxes; a guess, some 20 ms of PostgreSQL's time.
_BATCH_ROWS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStatistics:
    """A snapshot; the counters count from the start of the process."""

    waiting: int
    written: int
    dropped: int  # because there was no room
    refused: int  # PostgreSQL would not have them


class SampleWriter:
    """Takes samples at once, writes them when asked to. One `flush` at a time."""

    def __init__(self, store: Store, fence: Fence, capacity: int) -> None:
        self._store = store
        self._fence = fence
        self._capacity = capacity
        self._waiting: deque[SampleRow] = deque()
        self._written = self._dropped = self._refused = 0

    def offer(self, rows: Sequence[SampleRow]) -> None:
        """Take samples, oldest first; never waits."""
        self._waiting.extend(rows)
        while len(self._waiting) > self._capacity:
            self._waiting.popleft()
            self._dropped += 1

    def statistics(self) -> SampleStatistics:
        """Counters and what waits."""
        return SampleStatistics(
            waiting=len(self._waiting),
            written=self._written,
            dropped=self._dropped,
            refused=self._refused,
        )

    async def flush(self) -> None:
        """Write all that waits, a transaction for each thousand. Cancelled, or after an
        error, what was not committed still waits; a sample that was is not written twice.

        Raises:
            StoreUnavailable: not all is written.
            LeaderFenced: another operator writes now.
        """
        if not self._waiting:
            return
        await self._fence.acquire()
        while self._waiting:
            batch = [self._waiting[index] for index in range(min(_BATCH_ROWS, len(self._waiting)))]
            await self._write_or_halve(batch)
            # What was offered meanwhile may have pushed some of the batch out.
            done = {id(row) for row in batch}
            while self._waiting and id(self._waiting[0]) in done:
                self._waiting.popleft()

    async def _write_or_halve(self, batch: Sequence[SampleRow]) -> None:
        try:
            await self._insert(batch)
        except StoreRefused:
            # Most likely a day without a partition.
            async with self._store.transaction() as tx:
                days = {row.recorded_at.date(): row.recorded_at for row in batch}
                await StateStore(tx).ensure_partitions(list(days.values()), DAILY)
            try:
                await self._insert(batch)
            except StoreRefused:
                if len(batch) == 1:
                    self._refused += 1
                    return
                middle = len(batch) // 2
                await self._write_or_halve(batch[:middle])
                await self._write_or_halve(batch[middle:])

    async def _insert(self, batch: Sequence[SampleRow]) -> None:
        async with self._store.transaction() as tx:
            await self._fence.check(tx)
            written = await SampleStore(tx).insert(batch)
            if written:
                FeedStore(tx).notify(batch[0].cluster)
        self._written += written
