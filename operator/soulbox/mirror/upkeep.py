"""What the writer does now and then beside writing: prices, partitions, pruning, a ping."""

from collections.abc import Iterator
from datetime import UTC, datetime

from soulbox.decide.prices import PriceBook
from soulbox.mirror.fence import Fence
from soulbox.mirror.settings import MirrorSettings
from soulbox.mirror.writer import BatchWriter
from soulbox.store.feed import FeedStore
from soulbox.store.ledger import PriceStore
from soulbox.store.pool import Store
from soulbox.store.state import StateStore

# Partitions are months ahead and pruning is a matter of days: hourly is plenty.
_SLOW_SECONDS = 3600.0
# Rows removed in one transaction: some 50 ms, far below any statement_timeout.
_PRUNE_PORTION = 10_000


class Upkeep:
    """Keeps its own timetable on the monotonic clock."""

    def __init__(
        self, store: Store, fence: Fence, writer: BatchWriter, settings: MirrorSettings
    ) -> None:
        self._store = store
        self._fence = fence
        self._writer = writer
        self._settings = settings
        self._pinged_at = self._priced_at = self._slow_at = float("-inf")

    def next_seconds(self, now: float) -> float:
        """How long nothing is due."""
        due = min(
            self._pinged_at + self._settings.ping_seconds,
            self._priced_at + self._settings.price_reload_seconds,
        )
        return max(0.0, due - now)

    async def run(self, now: float) -> PriceBook | None:
        """Do what is due. Returns the price plans when they were read.

        Raises:
            StoreUnavailable: what failed is due again.
        """
        prices = None
        # First: until plans are known, Executions end without a price.
        if now - self._priced_at >= self._settings.price_reload_seconds:
            async with self._store.transaction() as tx:
                prices = PriceBook(await PriceStore(tx).plans())
            self._priced_at = self._pinged_at = now
        if now - self._slow_at >= _SLOW_SECONDS:
            await self._slow()
            self._slow_at = now
        if now - self._pinged_at >= self._settings.ping_seconds:
            await self._store.ping()
            self._pinged_at = now
        return prices

    async def _slow(self) -> None:
        await self._fence.acquire()
        async with self._store.transaction() as tx:
            await self._fence.check(tx)
            today = await StateStore(tx).server_time()
        await self._writer.ensure_partitions(_months(today, self._settings.partitions_ahead))
        removed = _PRUNE_PORTION
        while removed == _PRUNE_PORTION:
            async with self._store.transaction() as tx:
                await self._fence.check(tx)
                removed = await FeedStore(tx).prune_changes(
                    self._settings.changes_keep_seconds, _PRUNE_PORTION
                )


def _months(today: datetime, ahead: int) -> Iterator[datetime]:
    """The first of this month and of so many after it, in UTC."""
    today = today.astimezone(UTC)
    for index in range(today.month - 1, today.month + ahead):
        yield datetime(today.year + index // 12, index % 12 + 1, 1, tzinfo=UTC)
