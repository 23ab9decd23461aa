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
import logging
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from soulbox.mirror.fence import Fence, LeaderFenced
from soulbox.mirror.items import ItemBuilder
from soulbox.mirror.metering import provable
from soulbox.mirror.outputs import OutputSaver
from soulbox.mirror.pending import PendingMap, Sighting, sighting_of
from soulbox.mirror.repair import Repair
from soulbox.mirror.samples import SampleWriter
from soulbox.mirror.settings import MirrorSettings, MirrorStatistics
from soulbox.mirror.spooler import Spooler
from soulbox.mirror.tracker import Tracker
from soulbox.mirror.upkeep import Upkeep
from soulbox.mirror.writer import BatchResult, BatchWriter
from soulbox.model.errors import StoreUnavailable
from soulbox.model.rows import DeadLetterRow
from soulbox.model.states import Kind
from soulbox.pure.prices import PriceBook
from soulbox.store.care import DatabaseFigures
from soulbox.store.outputs import Stream
from soulbox.store.pool import Store

_log = logging.getLogger(__name__)
Manifest = Mapping[str, Any]


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
        on_batch: told the number of objects of each committed batch; set it to count them.
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
        self._store = store
        self._settings = settings or MirrorSettings()
        self._on_recorded = on_recorded
        self._on_relist_needed = on_relist_needed
        self._clock = clock
        self._pending = PendingMap(self._settings.max_pending)
        self._tracker = Tracker(builder.entries.values())
        self._builder, context = builder, builder.context
        self._fence = Fence(store, context.cluster_uid, epoch)
        self._writer = BatchWriter(store, builder, self._fence, self._tracker)
        self._saver = OutputSaver(
            store, context, self._fence, self._tracker, self._writer, self._settings.output_saves
        )
        # Resource figures: apart from the objects, which never wait for them.
        self.samples = SampleWriter(store, self._fence, self._settings.sample_capacity)
        self._upkeep = Upkeep(store, self._fence, self._writer, self._settings)
        self.spooler = Spooler(builder, self._tracker, clock, on_recorded)
        self._context = context
        # One batch at a time, whoever it comes from.
        self._writing = asyncio.Lock()
        self._work = asyncio.Event()
        self._full = asyncio.Event()
        self._ending = asyncio.Event()
        self._prices: PriceBook | None = None
        self._relist_needed = self._relist_asked = False
        self._totals = BatchResult()
        self._failures = 0
        self._failing_since: float | None = None
        self._ends_unknown = 0
        self._last_batch_size = 0
        self._last_commit_time: datetime | None = None
        self.on_batch: Callable[[int], None] = lambda _: None

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
        self._tracker.see(sighting)
        if not self._pending.offer(sighting):
            if not self._relist_needed:
                _log.warning(
                    "too many objects wait for PostgreSQL; a relist will be needed",
                    extra={"action": "mirror-overflow"},
                )
            self._relist_needed = True
            return
        self._work.set()
        if len(self._pending) >= self._settings.batch_size:
            self._full.set()

    def is_recorded(self, uid: str) -> bool:
        """Whether the final rows of an object are committed, so that it may go.

        A Sandbox: its newest version offered is being deleted, and its row says so. An
        Execution: the row of its final state. A pod: its running time with its end, and
        all its bills; at once for one that ended without having started. An object that
        went to the dead letters, or to the spool, counts as recorded.
        """
        return self._tracker.is_recorded(uid)

    def is_spooled(self, uid: str) -> bool:
        """Whether it is recorded on the spool volume, and nowhere else yet."""
        return self.spooler.has(uid) and self._tracker.is_recorded(uid)

    def failing_seconds(self) -> float:
        """For how long PostgreSQL has taken nothing; 0 while it does."""
        return 0.0 if self._failing_since is None else _monotonic() - self._failing_since

    def price_book(self) -> PriceBook | None:
        """The price plans as last read; None until PostgreSQL was first reached."""
        return self._prices

    def tenant_of(self, namespace: str) -> str:
        """The tenant that time in this namespace is billed to."""
        return self._context.tenant_of(namespace)

    def statistics(self) -> MirrorStatistics:
        """A snapshot of counters and queue."""
        since = self._pending.waiting_since
        return MirrorStatistics(
            pending=len(self._pending),
            oldest_pending_seconds=0.0 if since is None else max(0.0, _monotonic() - since),
            rows_written=self._totals.rows_written,
            batches=self._totals.batches,
            last_batch_size=self._last_batch_size,
            failures=self._failures,
            dead_letters=self._totals.dead_letters,
            bill_conflicts=self._totals.bill_conflicts,
            ends_unknown=self._ends_unknown,
            last_commit_time=self._last_commit_time,
            # The last thing asked may have been a ping, while no round gets anything written.
            healthy=self._store.healthy() and self._failing_since is None,
            relist_needed=self._relist_needed,
            partition_horizon_seconds=self._upkeep.partition_horizon_seconds,
        )

    def rollup_lag_seconds(self) -> float | None:
        """How old the oldest row may be that usage_daily and usage_aggregates do not hold yet;
        None before the first look."""
        return self._upkeep.rollup_lag_seconds(_monotonic())

    def database_figures(self) -> DatabaseFigures | None:
        """The database's own figures; None until they were first asked for."""
        return self._upkeep.database_figures

    # What may wait for PostgreSQL.

    async def claim(self) -> None:
        """Become the writer of this cluster now; otherwise the first write does it.

        Raises:
            StoreUnavailable: PostgreSQL cannot be used now; the first write does it.
        """
        await self._fence.acquire()

    async def save_output(
        self, uid: str, created_at: datetime, stream: Stream, chunks: AsyncIterator[bytes]
    ) -> int:
        """Save a whole stream of an Execution; replaces what an interrupted try left.

        Args:
            created_at: metadata.creationTimestamp of the Execution.
            chunks: the bytes in order, in pieces of any size.

        Returns:
            How many bytes were saved. All or nothing is visible.

        Raises:
            StoreUnavailable: nothing is saved; try again.
            StoreRefused: the Execution was never offered and has no row.
            LeaderFenced: another operator writes now.
        """
        return await self._saver.save(uid, created_at, stream, chunks)

    async def mark_output_complete(self, uid: str, created_at: datetime) -> None:
        """All output of an Execution is saved: its row says so, now or once it is written.

        Raises:
            StoreUnavailable: it was not marked; try again.
        """
        # Not beside a batch that writes the row: each would miss the other's.
        async with self._writing:
            await self._saver.mark_complete(uid, created_at)

    async def meter_running(
        self,
        pods: Iterable[Manifest],
        lease_renew_time: Callable[[str], datetime | None],
        ask: Callable[[Sequence[Manifest]], Awaitable[Iterable[Manifest]]] | None = None,
    ) -> None:
        """Bill the full hours of pods that still run, as far as they are certainly over.

        Args:
            pods: manifests; with `ask` they may be late.
            lease_renew_time: renewTime of a node's Lease; None when it is not known.
            ask: the API server's own word about those that have something to bill, without
                those that are gone; once an hour for each pod. None: `pods` were read after
                the Leases were.

        Raises:
            StoreUnavailable: not all was written; the next call does it.
        """
        due = self._due(pods, lease_renew_time)
        if ask is not None and due:
            # A pod that ended meanwhile, and that the watch is late about, ran no full hour.
            due = self._due(await ask([one.manifest for one, _ in due]), lease_renew_time)
        for start in range(0, len(due), self._settings.batch_size):
            batch = due[start : start + self._settings.batch_size]
            proven = {sighting.uid: until for sighting, until in batch}
            await self._write([sighting for sighting, _ in batch], proven)
            for uid, until in proven.items():
                self._tracker.set_metered(uid, until)

    def _due(
        self, pods: Iterable[Manifest], lease_renew_time: Callable[[str], datetime | None]
    ) -> list[tuple[Sighting, datetime]]:
        """Those that have hours to bill, and until when they are known to have run."""
        found = []
        for manifest in pods:
            sighting = self.sighting(self._builder.metered, manifest)
            if sighting is None:
                continue
            self._tracker.see(sighting)
            until = provable(sighting, self._tracker, lease_renew_time)
            if until is not None:
                found.append((sighting, until))
        return found

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
        repair = Repair(self._store, self._builder, self._fence, self._clock, self._settings)
        before = await repair.begin()
        tracked = {kind: self._tracker.uids(kind) for kind in self._builder.entries}
        self._relist_needed = self._relist_asked = False
        try:
            async for kind, manifests in lister:
                if kind not in self._builder.entries:
                    continue
                present = await self._repair_kind(repair, kind, manifests, before)
                gone = tracked[kind] - present
                self._tracker.forget(uid for uid in gone if uid not in self._pending)
        except StoreUnavailable:
            self._relist_needed = True
            raise

    async def run(self) -> None:
        """Write what is offered until cancelled; then what still waits, for a bounded time.

        Raises:
            LeaderFenced: another operator writes now; this process must end.
        """
        # In a task of its own: a batch under way when this is cancelled is let finish.
        loop = asyncio.create_task(self._loop(), name="mirror-loop")
        try:
            await asyncio.shield(loop)
        except asyncio.CancelledError:
            self._ending.set()
            self._work.set()
            self._full.set()
            await asyncio.wait({loop}, timeout=self._settings.exit_flush_seconds)
            if not loop.done():
                # A server that does not answer: what is left is read again from the API
                # server at the next start.
                self._store.cut()
                await asyncio.wait({loop}, timeout=self._settings.exit_flush_seconds)
                loop.cancel()
            elif not loop.cancelled() and (error := loop.exception()) is not None:
                _log.error("the mirror failed at the end", exc_info=error)
            if self._pending:
                _log.warning(
                    "not all objects were written before the end",
                    extra={"action": "mirror-exit", "count": len(self._pending)},
                )
            raise

    # Inside.

    async def _loop(self) -> None:
        """Rounds until the end, when nothing waits any more or PostgreSQL does not answer."""
        tries = 0
        while not self._ending.is_set() or self._pending:
            try:
                await self._round(wait=tries == 0)
            except LeaderFenced:
                raise
            except StoreUnavailable as error:
                self._note_failure(error, tries)
            except Exception:
                # A defect of ours must not end the mirror for all other objects, nor lose
                # any: they went back to the map.
                _log.exception("the mirror failed", extra={"action": "mirror-defect"})
                self._failures += 1
            else:
                if tries:
                    _log.info("PostgreSQL is back", extra={"action": "mirror-recovered"})
                tries = 0
                self._failing_since = None
                continue
            if tries == 0:
                self._failing_since = _monotonic()
            tries += 1
            if self._ending.is_set():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.backoff_seconds(tries)):
                    await self._ending.wait()

    async def _round(self, *, wait: bool) -> None:
        if wait:
            await self._wait_for_work()
        if not self._ending.is_set():
            await self.spooler.replay(self._write_spooled, self._bury)
        await self._flush()
        if self._ending.is_set():
            return
        if self._relist_needed and not self._relist_asked:
            self._relist_asked = True
            if self._on_relist_needed is not None:
                self._on_relist_needed()
        # After the objects: what fails here must not keep them waiting.
        prices = await self._upkeep.run(_monotonic())
        self._prices = prices if prices is not None else self._prices

    async def _wait_for_work(self) -> None:
        """Until a batch is due: something was offered and had company long enough, or
        nothing was for so long that a sign of life is due."""
        # Not wait_for: on Python 3.11 it makes a task of its own, which Kopf, at its end,
        # takes for one of a handler and waits for.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._upkeep.next_seconds(_monotonic())):
                await self._work.wait()
            async with asyncio.timeout(self._settings.linger_seconds):
                await self._full.wait()

    async def _flush(self) -> None:
        batch = self._pending.take(self._settings.batch_size)
        if not self._ending.is_set():
            if len(self._pending) < self._settings.batch_size:
                self._full.clear()
            if not self._pending:
                self._work.clear()
        if batch:
            upcoming = self._pending.peek(self._settings.batch_size)
            await self._write(batch, upcoming=upcoming)

    async def _write(
        self,
        batch: Sequence[Sighting],
        proven_until: dict[str, datetime] | None = None,
        *,
        upcoming: Sequence[Sighting] = (),
    ) -> None:
        """Write a batch; what could not be written waits again."""
        result = BatchResult()
        try:
            async with self._writing:
                await self._writer.write(
                    batch, result, proven_until=proven_until, upcoming=upcoming
                )
        except BaseException:
            done = {sighting.uid for sighting in result.done}
            self._pending.put_back(item for item in batch if item.uid not in done)
            self._work.set()
            raise
        finally:
            self._take_result(result)

    async def _write_spooled(self, batch: list[Sighting]) -> None:
        """As `_write`; what could not be written waits where it came from."""
        result = BatchResult()
        try:
            async with self._writing:
                await self._writer.write(batch, result)
        finally:
            self._take_result(result)

    async def _bury(self, letter: DeadLetterRow) -> None:
        result = BatchResult()
        async with self._writing:
            await self._fence.acquire()
            await self._writer.bury(letter, result)
        self._take_result(result)

    def _take_result(self, result: BatchResult) -> None:
        totals = self._totals
        totals.rows_written += result.rows_written
        totals.batches += result.batches
        totals.dead_letters += result.dead_letters
        totals.bill_conflicts += result.bill_conflicts
        if result.prices is not None:
            self._prices = result.prices
        if result.batches:
            self._last_commit_time = self._clock()
            self._last_batch_size = len(result.done)
            self.on_batch(len(result.done))
        self._tracker.forget(
            sighting.uid
            for sighting in result.done
            if sighting.deleted and sighting.uid not in self._pending
        )
        for sighting in result.recorded:
            # A version offered meanwhile may decide when it is written.
            newest_decides = self._builder.entries[sighting.kind].newest_decides
            if newest_decides and sighting.uid in self._pending:
                continue
            if self._tracker.set_recorded(sighting.uid):
                self._on_recorded(sighting.kind, sighting.uid)

    async def _repair_kind(
        self, repair: Repair, kind: Kind, manifests: Sequence[Manifest], before: datetime
    ) -> set[str]:
        """Returns the UIDs in the list."""
        sightings = [
            sighting
            for manifest in manifests
            if (sighting := self.sighting(kind, manifest)) is not None
        ]
        for sighting in sightings:
            # A list takes time: what was written meanwhile may be newer than what it has.
            newest = self._tracker.newest_version(sighting.uid)
            is_news = newest is None or newest <= sighting.version
            if is_news and sighting.uid not in self._pending:
                self._tracker.see(sighting)
        size = self._settings.batch_size
        async with self._writing:
            differing = await repair.differing(kind, sightings, before)
        wanted = [
            sighting
            for sighting in sightings
            if sighting.uid in differing
            or (self._builder.is_final(sighting) and not self._tracker.is_recorded(sighting.uid))
        ]
        for start in range(0, len(wanted), size):
            await self._write(wanted[start : start + size])
        async with self._writing:
            gone = await repair.mark_gone(kind, sightings, before)
        if gone:
            _log.info(
                "objects were found gone",
                extra={"action": "repair-gone", "kind": kind.value, "count": gone},
            )
        if kind is self._builder.metered:
            self._ends_unknown += gone
        return {sighting.uid for sighting in sightings}

    def sighting(self, kind: Kind, manifest: Manifest, *, deleted: bool = False) -> Sighting | None:
        """This version, seen now; None for what is not mirrored."""
        if kind not in self._builder.entries:
            return None
        return sighting_of(
            kind, manifest, deleted=deleted, seen_at=self._clock(), waiting_since=_monotonic()
        )

    def _note_failure(self, error: StoreUnavailable, tries: int) -> None:
        self._failures += 1
        if tries == 0:
            _log.warning(
                "PostgreSQL cannot be used; objects wait",
                extra={"action": "mirror-waiting", "error": str(error)[:256]},
            )


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
