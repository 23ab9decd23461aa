"""What the writer does now and then beside writing: prices, partitions, retention, pruning,
sums of use, a ping."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from soulbox.mirror.fence import Fence
from soulbox.mirror.rollups import RollupKeeper
from soulbox.mirror.settings import MirrorSettings
from soulbox.mirror.writer import BatchWriter
from soulbox.model.errors import StoreUnavailable
from soulbox.pure.prices import PriceBook
from soulbox.store.care import DatabaseFigures, database_figures
from soulbox.store.feed import FeedStore
from soulbox.store.ledger import PriceStore
from soulbox.store.pool import Store
from soulbox.store.retention import partition_horizon, retain
from soulbox.store.state import DAILY, StateStore

_log = logging.getLogger(__name__)

# Partitions are months ahead and pruning is a matter of days: hourly is plenty.
_SLOW_SECONDS = 3600.0
# Partitions are a day at least: dropping them more often finds nothing.
_RETAIN_SECONDS = 86_400.0
# Figures for /metrics: as often as they are scraped by default.
_FIGURES_SECONDS = 30.0
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
        self._retain_at = float("-inf")
        self._figured_at = float("-inf")
        self._figures: DatabaseFigures | None = None
        self._horizon_seconds: Mapping[str, float] = {}
        self._rollups = RollupKeeper(store, fence, settings.rollup_seconds)

    @property
    def database_figures(self) -> DatabaseFigures | None:
        """The database's own figures, at most half a minute old; None before the first."""
        return self._figures

    @property
    def partition_horizon_seconds(self) -> Mapping[str, float]:
        """Seconds from now on that each table has partitions for, as of the last slow round."""
        return self._horizon_seconds

    def rollup_lag_seconds(self, now: float) -> float | None:
        """How old the oldest row may be that is in no sum of use yet; None before the first
        look."""
        return self._rollups.lag_seconds(now)

    def next_seconds(self, now: float) -> float:
        """How long nothing is due."""
        due = min(
            self._pinged_at + self._settings.ping_seconds,
            self._priced_at + self._settings.price_reload_seconds,
            self._retain_at,
            self._rollups.due_at,
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
                prices = await PriceStore(tx).book()
            self._priced_at = self._pinged_at = now
        if now - self._slow_at >= _SLOW_SECONDS:
            await self._slow()
            self._slow_at = now
        if now >= self._retain_at:
            done = await self._retain()
            self._retain_at = now + (
                _RETAIN_SECONDS if done else self._settings.retain_retry_seconds
            )
        if now - self._figured_at >= _FIGURES_SECONDS:
            self._figured_at = now
            with suppress(StoreUnavailable):  # too slow for this, or away: the ping says
                self._figures = await database_figures(self._store)
        await self._rollups.run(now)
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
        async with self._store.transaction() as tx:
            await StateStore(tx).ensure_partitions(
                _days(today, self._settings.metric_days_ahead), DAILY
            )
        self._horizon_seconds = await partition_horizon(self._store)
        removed = _PRUNE_PORTION
        while removed == _PRUNE_PORTION:
            async with self._store.transaction() as tx:
                await self._fence.check(tx)
                removed = await FeedStore(tx).prune_changes(
                    self._settings.changes_keep_seconds, _PRUNE_PORTION
                )

    async def _retain(self) -> bool:
        """Whether it was done. If not, that is no failure of the mirror's: it is tried again."""
        try:
            dropped = await retain(self._store, self._settings.retention)
        except StoreUnavailable as error:  # of some tables it may be done
            _log.warning(
                "partitions past their retention were not dropped; tried again later",
                extra={"action": "retain", "error": str(error)[:256]},
            )
            return False
        finally:
            self._writer.forget_partitions()
        if dropped:
            _log.info(
                "partitions past their retention were dropped",
                extra={"action": "retain", "count": len(dropped), "first": dropped[0]},
            )
        return True


def _months(today: datetime, ahead: int) -> Iterator[datetime]:
    """The first of this month and of so many after it, in UTC."""
    today = today.astimezone(UTC)
    for index in range(today.month - 1, today.month + ahead):
        yield datetime(today.year + index // 12, index % 12 + 1, 1, tzinfo=UTC)


def _days(today: datetime, ahead: int) -> list[datetime]:
    """Today and so many days after it."""
    return [today + timedelta(days=day) for day in range(ahead + 1)]
