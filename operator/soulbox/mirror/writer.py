"""One batch of objects into PostgreSQL, whatever is in it.

All rows of a batch go in one transaction. When it fails for what is in it, whether PostgreSQL
refuses it or our own code trips over it, the batch is halved until the rows that are to blame
stand alone; those go to the dead letters, whole, and count as recorded. n poison rows in a
batch of b cost about n log2(b) transactions more. What takes longer than statement_timeout is
halved too, but nothing is buried for it: the next batch tries again.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from soulbox.mirror.bills import BillOutcome, Debt, PodOutcome, bill_pods, record_pods
from soulbox.mirror.fence import Fence, LeaderFenced
from soulbox.mirror.items import Item, ItemBuilder, bare_letter, dead_letter, dead_program
from soulbox.mirror.objects import write_objects
from soulbox.mirror.pending import Sighting
from soulbox.mirror.tracker import Tracker
from soulbox.model.errors import StoreRefused, StoreUnavailable
from soulbox.model.rows import DeadLetterRow
from soulbox.pure.fields import RowError
from soulbox.pure.prices import PriceBook
from soulbox.store.errors import STATEMENT_TIMEOUT
from soulbox.store.feed import FeedStore
from soulbox.store.pool import Store
from soulbox.store.state import StateStore

_log = logging.getLogger(__name__)

# Programs known to be written: so that a program that runs a thousand times is sent once.
# 64 bytes each; more would only save more writes.
_KNOWN_PROGRAMS = 10_000
# Rows made between two looks at the event loop: a quarter of a millisecond, which PostgreSQL's
# answer may wait.
_PREPARE_SLICE = 10
# Objects that took too long alone, in one batch: after so many it is the server that is slow,
# and not one of the objects.
_TOO_SLOW = 3


@dataclass(slots=True)
class BatchResult:
    """What has been committed so far; grows while a batch is written.

    Attributes:
        done: sightings that are written, or buried.
        recorded: those of them for which nothing is left to write.
    """

    done: list[Sighting] = field(default_factory=list)
    recorded: list[Sighting] = field(default_factory=list)
    rows_written: int = 0
    batches: int = 0
    dead_letters: int = 0
    bill_conflicts: int = 0
    prices: PriceBook | None = None


class BatchWriter:
    """Writes batches. One at a time: the caller holds a lock."""

    def __init__(
        self,
        store: Store,
        builder: ItemBuilder,
        fence: Fence,
        tracker: Tracker,
        *,
        known_programs: int = _KNOWN_PROGRAMS,
    ) -> None:
        self._store = store
        self._builder = builder
        self._context = builder.context
        self._fence = fence
        self._tracker = tracker
        self._known_programs_max = known_programs
        self._known_programs: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._known_months: set[tuple[int, int]] = set()
        # Rows made ahead, and what of.
        self._prepared: dict[str, Item] = {}
        self._upcoming: Sequence[Sighting] = ()
        # Objects of this batch that took too long alone.
        self._slow = 0
        self._preparing: asyncio.Task[None] | None = None

    async def write(
        self,
        sightings: Sequence[Sighting],
        result: BatchResult,
        *,
        proven_until: dict[str, datetime] | None = None,
        upcoming: Sequence[Sighting] = (),
    ) -> None:
        """Write these, each uid at most once. Safe to repeat.

        Args:
            result: told what is committed, also when this raises on the way.
            proven_until: Lease renewTimes by uid of still running pods whose hours are
                to be billed.
            upcoming: what will be written next: its rows are made while PostgreSQL works.

        Raises:
            StoreUnavailable: some or all are not written.
            LeaderFenced: another operator writes now.
        """
        await self._fence.acquire()
        items = await self._items_of(sightings, proven_until or {}, result)
        self._upcoming = upcoming
        self._slow = 0
        try:
            await self._write_or_halve(items, result)
        finally:
            self._end_preparing()

    async def _items_of(
        self, sightings: Sequence[Sighting], proven_until: dict[str, datetime], result: BatchResult
    ) -> list[Item]:
        """Their rows; of what none can be made goes to the dead letters."""
        items: list[Item] = []
        for sighting in sightings:
            if self._tracker.is_buried(sighting):
                self._finish(sighting, result, recorded=self._builder.is_final(sighting))
                continue
            ready = self._prepared.pop(sighting.uid, None)
            if ready is not None and ready.sighting is sighting:
                items.append(self._without_known_program(ready))
                continue
            try:
                items.append(
                    self._builder.build(
                        sighting,
                        started_at=sighting.started_at or self._tracker.started_at(sighting.uid),
                        proven_until=proven_until.get(sighting.uid),
                        is_known_program=self._is_known_program,
                    )
                )
            except RowError as error:
                await self._bury(sighting, error, result)
        # One order for all writers, so that no two wait for each other's rows.
        items.sort(key=lambda item: item.sighting.uid)
        return items

    async def bury(self, row: DeadLetterRow, result: BatchResult) -> None:
        """Keep what cannot be written.

        Raises:
            StoreUnavailable: it is not kept.
            LeaderFenced: another operator writes now.
        """
        _log.error(
            "an object cannot be written and went to the dead letters",
            extra={
                "action": "dead-letter",
                "kind": row.kind,
                "namespace": row.namespace,
                "object_name": row.name,
                "uid": row.uid,
                "error": row.error[:256],
            },
        )
        try:
            await self._keep(row)
        except (StoreUnavailable, LeaderFenced):
            raise
        except Exception:
            # An object that cannot even be kept must not hold up all others.
            _log.exception(
                "an object cannot be kept whole", extra={"action": "dead-letter", "uid": row.uid}
            )
            await self._keep(bare_letter(row))
        result.dead_letters += 1

    async def _keep(self, row: DeadLetterRow) -> None:
        async with self._store.transaction() as tx:
            await self._fence.check(tx)
            await FeedStore(tx).bury(row)

    async def ensure_partitions(self, moments: Iterable[datetime]) -> None:
        """Make the partitions of months that were not asked about before.

        Raises:
            StoreRefused: a moment is before the year 2000 or after 2199.
        """
        missing = {
            (moment.year, moment.month): moment
            for moment in moments
            if (moment.year, moment.month) not in self._known_months
        }
        if missing:
            async with self._store.transaction() as tx:
                await StateStore(tx).ensure_partitions(list(missing.values()))
            self._known_months.update(missing)

    def forget_partitions(self) -> None:
        """Some may have been dropped: each is asked about again."""
        self._known_months.clear()

    async def _write_or_halve(self, items: list[Item], result: BatchResult) -> None:
        if not items:
            return
        try:
            await self._commit_anew(items, result)
        except LeaderFenced:
            raise
        except StoreUnavailable as error:
            if error.sqlstate != STATEMENT_TIMEOUT:
                raise
            if len(items) == 1:
                self._slow += 1
                raise
            await self._halve(items, result)
        except Exception as error:
            if len(items) == 1:
                await self._give_up(items[0], error, result)
            else:
                await self._halve(items, result)

    async def _halve(self, items: list[Item], result: BatchResult) -> None:
        """Write both halves, the second also when the first took too long."""
        middle = len(items) // 2
        late: StoreUnavailable | None = None
        for half in (items[:middle], items[middle:]):
            try:
                await self._write_or_halve(half, result)
            except StoreUnavailable as error:
                if error.sqlstate != STATEMENT_TIMEOUT or self._slow >= _TOO_SLOW:
                    raise
                late = error
        if late is not None:
            raise late

    async def _commit_anew(self, items: Sequence[Item], result: BatchResult) -> None:
        """Commit; a partition that retention dropped since it was made is made again, once:
        nobody in the batch is to blame for it."""
        try:
            await self._commit(items, result)
        except StoreRefused as error:
            if not _lacks_partition(error):
                raise
            self.forget_partitions()
            await self._commit(items, result)

    async def _commit(self, items: Sequence[Item], result: BatchResult) -> None:
        rows = [item.row for item in items if item.row is not None]
        await self.ensure_partitions(
            getattr(row, row.TABLE.month) for row in rows if row.TABLE.month is not None
        )
        async with self._store.transaction() as tx:
            epochs = await self._fence.check(tx)
            # Not before all is sent: the server would wait for this process instead.
            written = await write_objects(tx, items, epochs, on_sent=self._begin_preparing)
            pods = [item for item in items if item.pod is not None]
            outcome: PodOutcome | None = None
            if pods:
                outcome = await record_pods(tx, pods, epochs)
            if written.is_told:
                FeedStore(tx).notify(self._context.cluster)
        result.batches += 1
        result.rows_written += written.rows
        for item in items:
            if item.program is not None:
                self._remember_program(item.program.tenant, item.program.code_sha256)
        for item in items:
            if item.pod is None:
                self._finish(item.sighting, result, recorded=self._builder.is_final(item.sighting))
        if outcome is not None:
            result.rows_written += outcome.rows_written
            _count_bills(outcome.bills, result)
            await self._bill_rest(outcome.bills.rest, result)
            for item in pods:
                recorded = item.pod is not None and item.pod.uid in outcome.recorded
                self._finish(item.sighting, result, recorded=recorded)

    async def _bill_rest(self, debts: Sequence[Debt], result: BatchResult) -> None:
        """What one transaction would not take: a portion in each."""
        while debts:
            await asyncio.sleep(0)
            async with self._store.transaction() as tx:
                await self._fence.check(tx)
                bills = await bill_pods(tx, debts)
            _count_bills(bills, result)
            debts = bills.rest

    def _begin_preparing(self) -> None:
        if self._upcoming:
            work = self._prepare(self._upcoming)
            self._preparing = asyncio.create_task(work, name="mirror-ahead")
            self._upcoming = ()

    def _end_preparing(self) -> None:
        """What is ready is used; the rest is made when it is written."""
        self._upcoming = ()
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None

    async def _prepare(self, sightings: Sequence[Sighting]) -> None:
        """Make rows ahead: it takes as long as writing, on another processor."""
        for index, sighting in enumerate(sightings):
            if index % _PREPARE_SLICE == 0:
                await asyncio.sleep(0)
            # What is billed depends on what was seen of it before.
            if not (self._builder.is_metered(sighting) or self._tracker.is_buried(sighting)):
                with suppress(RowError):  # told again, and buried, when it is written
                    self._prepared[sighting.uid] = self._builder.build(
                        sighting, is_known_program=self._is_known_program
                    )

    async def _give_up(self, item: Item, error: Exception, result: BatchResult) -> None:
        """The one to blame: bury it, or only its program if it is fine without."""
        if item.program is not None:
            try:
                await self._commit([replace(item, program=None)], result)
            except (StoreUnavailable, LeaderFenced):
                raise
            except Exception as own_error:
                await self._bury(item.sighting, own_error, result)
                return
            await self.bury(dead_program(item, error, self._context), result)
            self._remember_program(item.program.tenant, item.program.code_sha256)
            return
        await self._bury(item.sighting, error, result)

    async def _bury(self, sighting: Sighting, error: Exception, result: BatchResult) -> None:
        if not isinstance(error, RowError | StoreRefused):
            _log.error(
                "the mirror failed at an object",
                exc_info=error,
                extra={"action": "mirror-defect", "uid": sighting.uid},
            )
        await self.bury(dead_letter(sighting, error, self._context), result)
        self._tracker.set_buried(sighting)
        self._finish(sighting, result, recorded=self._builder.is_final(sighting))

    def _finish(self, sighting: Sighting, result: BatchResult, *, recorded: bool) -> None:
        result.done.append(sighting)
        if recorded:
            result.recorded.append(sighting)

    def _without_known_program(self, item: Item) -> Item:
        """Of one made ahead: the batch before it may have written its program since."""
        program = item.program
        if program is not None and self._is_known_program(program.tenant, program.code_sha256):
            return replace(item, program=None)
        return item

    def _is_known_program(self, tenant: str, code_sha256: str) -> bool:
        known = (tenant, code_sha256) in self._known_programs
        if known:
            self._known_programs.move_to_end((tenant, code_sha256))
        return known

    def _remember_program(self, tenant: str, code_sha256: str) -> None:
        self._known_programs[tenant, code_sha256] = None
        self._known_programs.move_to_end((tenant, code_sha256))
        while len(self._known_programs) > self._known_programs_max:
            self._known_programs.popitem(last=False)


def _count_bills(bills: BillOutcome, result: BatchResult) -> None:
    result.rows_written += bills.rows_written
    result.bill_conflicts += bills.conflicts
    result.dead_letters += bills.conflicts
    result.prices = bills.prices or result.prices


def _lacks_partition(error: StoreRefused) -> bool:
    """Whether a row had no partition: the one check_violation that no constraint is named of."""
    return error.sqlstate == "23514" and error.constraint is None
