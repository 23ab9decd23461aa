"""The mirror: takes the newest version of every object and sees to it that it is written.

::

    offer() ─> pending map ─> run(): batches ─> BatchWriter ─> PostgreSQL
                  ^                                  │ committed
    repair() ─────┘ (what a complete list says)      └─> on_recorded(): finalizers go

Handlers only offer, which never waits. While PostgreSQL is away the map keeps the newest
version of each object; when it overflows a relist is needed, since the API server has all
of it anyway. Nothing here is needed for reconciling to go on.
"""

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Sequence,
)
from datetime import UTC, datetime
from uuid import UUID

from soulbox.mirror.batches import Batches
from soulbox.mirror.items import ItemBuilder
from soulbox.mirror.loop import WriteLoop
from soulbox.mirror.metering import Metering
from soulbox.mirror.outputs import OutputSaver
from soulbox.mirror.pending import Sighting
from soulbox.mirror.repair import Repair
from soulbox.mirror.samples import SampleWriter
from soulbox.mirror.settings import MirrorSettings, MirrorStatistics
from soulbox.mirror.spooler import Spooler
from soulbox.mirror.upkeep import Upkeep
from soulbox.model.errors import StoreUnavailable
from soulbox.model.manifests import Manifest
from soulbox.model.rows import TableRow
from soulbox.model.states import Kind
from soulbox.pure.prices import PriceBook
from soulbox.store.care import DatabaseFigures
from soulbox.store.objects import PartStore
from soulbox.store.outputs import Stream
from soulbox.store.pool import Store


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Mirror:
    """Mirrors all objects of some kinds. For one event loop.

    Args:
        builder: makes their rows.
        on_recorded: told (kind, uid) after the commit in which `is_recorded` became true.
        epoch: from `acquire_epoch`; None acquires one when PostgreSQL is first reached.
        on_relist_needed: told once PostgreSQL is back after objects had to be dropped:
            call `repair` then.
        clock: present time in UTC, for what says no time itself.

    Attributes:
        spooler: for objects that may wait for PostgreSQL no longer; give it a volume to use
            before `run`.
        samples: resource figures on their way.
    """

    def __init__(
        self,
        store: Store,
        builder: ItemBuilder,
        *,
        on_recorded: Callable[[Kind, str], None],
        epoch: int | None = None,
        settings: MirrorSettings | None = None,
        on_relist_needed: Callable[[], None] | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        settings = settings or MirrorSettings()
        self._store = store
        self._context = builder.context
        self._batches = Batches(
            store,
            builder,
            epoch=epoch,
            capacity=settings.max_pending,
            on_recorded=on_recorded,
            clock=clock,
        )
        batches = self._batches
        self._saver = OutputSaver(
            store,
            builder.context,
            batches.fence,
            batches.tracker,
            batches.writer,
            settings.output_saves,
        )
        # Resource figures: apart from the objects, which never wait for them.
        self.samples = SampleWriter(store, batches.fence, settings.sample_capacity)
        self.spooler = Spooler(builder, batches.tracker, clock, on_recorded)
        self._upkeep = Upkeep(store, batches.fence, batches.writer, settings)
        self._loop = WriteLoop(
            store, batches, self.spooler, self._upkeep, settings, on_relist_needed
        )
        self._repair = Repair(store, batches, settings, clock)
        self._metering = Metering(batches, settings.batch_size)

    # What handlers and reconcilers call: never waits.

    def offer(self, kind: Kind, manifest: Manifest, *, deleted: bool = False) -> None:
        """Take a version of an object; the newest by resourceVersion is written.

        Args:
            kind: what is not mirrored is ignored.
            deleted: the object no longer exists, `manifest` is the last that was seen.
        """
        sighting = self.sighting(kind, manifest, deleted=deleted)
        if sighting is None:
            return
        self._batches.tracker.see(sighting)
        if self._batches.pending.offer(sighting):
            self._loop.offered()
        else:
            self._loop.overflowed()

    def sighting(self, kind: Kind, manifest: Manifest, *, deleted: bool = False) -> Sighting | None:
        """This version, seen now; None for what is not mirrored."""
        return self._batches.sighting(kind, manifest, deleted=deleted)

    def is_recorded(self, uid: str) -> bool:
        """Whether the final rows of an object are committed, so that it may go.

        A Sandbox: its newest version offered is being deleted, and its row says so. An
        Execution: the row of its final state. A pod: its running time with its end, and
        all its bills; at once for one that ended without having started. An object that
        went to the dead letters, or to the spool, counts as recorded.
        """
        return self._batches.tracker.is_recorded(uid)

    def is_spooled(self, uid: str) -> bool:
        """Whether it is recorded on the spool volume, and nowhere else yet."""
        return self.spooler.has(uid) and self._batches.tracker.is_recorded(uid)

    def failing_seconds(self) -> float:
        """For how long PostgreSQL has taken nothing; 0 while it does."""
        since = self._loop.failing_since
        return 0.0 if since is None else _monotonic() - since

    def price_book(self) -> PriceBook | None:
        """The price plans as last read; None until PostgreSQL was first reached."""
        return self._batches.prices

    def tenant_of(self, namespace: str) -> str:
        """The tenant that time in this namespace is billed to."""
        return self._context.tenant_of(namespace)

    def statistics(self) -> MirrorStatistics:
        """A snapshot of counters and queue."""
        batches, totals, loop = self._batches, self._batches.totals, self._loop
        since = batches.pending.waiting_since
        return MirrorStatistics(
            pending=len(batches.pending),
            oldest_pending_seconds=0.0 if since is None else max(0.0, _monotonic() - since),
            rows_written=totals.rows_written,
            batches=totals.batches,
            last_batch_size=batches.last_size,
            failures=loop.failures,
            dead_letters=totals.dead_letters,
            bill_conflicts=totals.bill_conflicts,
            ends_unknown=self._repair.ends_unknown,
            last_commit_time=batches.last_commit_time,
            # The last thing asked may have been a ping, while no round gets anything written.
            healthy=self._store.healthy() and loop.failing_since is None,
            relist_needed=loop.relist_needed,
            partition_horizon_seconds=self._upkeep.partition_horizon_seconds,
        )

    def rollup_lag_seconds(self) -> float | None:
        """How old the oldest row may be that usage_daily and usage_aggregates do not hold yet;
        None before the first look."""
        return self._upkeep.rollup_lag_seconds(_monotonic())

    def database_figures(self) -> DatabaseFigures | None:
        """The database's own figures; None until they were first asked for."""
        return self._upkeep.database_figures

    def count_batches(self, on_batch: Callable[[int], None]) -> None:
        """Call this with the number of objects of each committed batch."""
        self._batches.on_batch = on_batch

    # What may wait for PostgreSQL.

    async def claim(self) -> None:
        """Become the writer of this cluster now; otherwise the first write does it.

        Raises:
            StoreUnavailable: PostgreSQL cannot be used now; the first write does it.
        """
        await self._batches.fence.acquire()

    async def missing_parts(
        self, row_type: type[TableRow], keys: Collection[tuple[UUID, str]]
    ) -> set[tuple[UUID, str]]:
        """Which of these parts of objects, by the object's uid and their own name, have no row.

        Raises:
            StoreUnavailable: PostgreSQL cannot be used now.
        """
        async with self._store.transaction() as tx:
            there = await PartStore(tx, row_type).keys({uid for uid, _ in keys})
        return set(keys) - there

    async def add_parts(self, rows: Sequence[TableRow]) -> int:
        """Write parts of objects, all of one type, that no version of their object held when it
        was written; how many had no row.

        Raises:
            StoreUnavailable: PostgreSQL cannot be used now: none is written.
            StoreRefused: PostgreSQL refused one of them: none is written.
            LeaderFenced: another operator writes now.
        """
        fence = self._batches.fence
        await fence.acquire()
        async with self._store.transaction() as tx:
            epochs = await fence.check(tx)
            return await PartStore(tx, type(rows[0])).add(rows, epochs)

    async def save_output(
        self,
        uid: str,
        created_at: datetime,
        stream: Stream,
        chunks: AsyncIterator[bytes],
        *,
        is_log: bool = False,
    ) -> int:
        """Save a whole stream of an Execution; replaces what an interrupted try left.

        Args:
            created_at: metadata.creationTimestamp of the Execution.
            chunks: the bytes in order, in pieces of any size.
            is_log: lines of a log in it are kept in execution_logs, too.

        Returns:
            How many bytes were saved. All or nothing is visible.

        Raises:
            StoreUnavailable: nothing is saved; try again.
            StoreRefused: the Execution was never offered and has no row.
            LeaderFenced: another operator writes now.
        """
        return await self._saver.save(uid, created_at, stream, chunks, is_log=is_log)

    async def mark_output_complete(self, uid: str, created_at: datetime) -> None:
        """All output of an Execution is saved: its row says so, now or once it is written.

        Raises:
            StoreUnavailable: it was not marked; try again.
        """
        # Not beside a batch that writes the row: each would miss the other's.
        async with self._batches.writing:
            await self._saver.mark_complete(uid, created_at)

    async def meter_running(
        self,
        pods: Iterable[Manifest],
        lease_renew_time: Callable[[str], datetime | None],
        ask: Callable[[Sequence[Manifest]], Awaitable[Iterable[Manifest]]] | None = None,
    ) -> None:
        """Bill those full hours of running pods that are certainly over.

        Args:
            pods: manifests; with `ask` they may be late.
            lease_renew_time: renewTime of a node's Lease; None when it is not known.
            ask: the API server's own word about those that have something to bill, without
                those that are gone; once an hour for each pod. None: `pods` were read after
                the Leases were.

        Raises:
            StoreUnavailable: not all was written; the next call does it.
        """
        await self._metering.run(pods, lease_renew_time, ask)

    async def repair(self, lister: AsyncIterable[tuple[Kind, Sequence[Manifest]]]) -> None:
        """Make the rows agree with complete lists of all objects. Run it at start, every
        ten minutes, and when a relist is needed.

        Writes what differs and marks what is gone; no time is made up. When stored
        versions are newer than the cluster's (etcd was restored), a new mirror epoch
        begins and everything is written again.

        Args:
            lister: yields each kind with all its objects. A list must be asked for only
                when it is pulled, and from the API server's newest state: an object it
                lacks counts as gone.

        Raises:
            StoreUnavailable: not all was compared; run it again.
            LeaderFenced: another operator writes now.
        """
        before = await self._repair.begin()
        self._loop.relist_begins()
        try:
            await self._repair.run(lister, before)
        except StoreUnavailable:
            self._loop.relist_needed = True
            raise

    async def run(self) -> None:
        """Write what is offered until cancelled; then what still waits, for a bounded time.

        Raises:
            LeaderFenced: another operator writes now; this process must end.
        """
        await self._loop.run()


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
