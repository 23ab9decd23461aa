"""Objects that may wait for PostgreSQL no longer, and their way back.

::

    deleted, final, past record_deadline ──> spool volume ──> recorded: the finalizer goes
                                                  │ PostgreSQL is back
                                                  └──> batches, as if just offered ──> rows
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from soulbox.mirror.items import ItemBuilder, to_json
from soulbox.mirror.pending import Sighting
from soulbox.mirror.spool import BrokenLine, Spool, SpooledObject
from soulbox.mirror.tracker import Tracker, namespace_of
from soulbox.model.errors import SpoolUnavailable
from soulbox.model.rows import DeadLetterRow
from soulbox.model.states import Kind
from soulbox.pure.fields import RowError
from soulbox.pure.pods.sight import PodLife

_log = logging.getLogger(__name__)

# Kind of a dead letter that holds a line nothing could be made of.
LINE_KIND = "SpoolLine"
# Pods whose running time is known to the end, or that never had one.
_OVER = (PodLife.FINISHED, PodLife.NEVER_STARTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStatistics:
    """A snapshot.

    Attributes:
        objects: objects that wait on the volume; bytes: of its files.
        oldest_at: since when the oldest of them waits there; None when none does.
        failures: times the volume could not be used.
        problem: why it could not be used the last time it was tried; "" when it could.
    """

    objects: int
    size_bytes: int
    oldest_at: datetime | None
    failures: int
    problem: str


class Spooler:
    """For one event loop. Without a volume it keeps nothing.

    Args:
        on_recorded: told (kind, uid) when an object counts as recorded because it was kept.
    """

    def __init__(
        self,
        builder: ItemBuilder,
        tracker: Tracker,
        clock: Callable[[], datetime],
        on_recorded: Callable[[Kind, str], None],
    ) -> None:
        self._on_recorded = on_recorded
        self._spool: Spool | None = None
        self._builder = builder
        self._context = builder.context
        self._tracker = tracker
        self._clock = clock
        # The files are changed by one at a time.
        self._using = asyncio.Lock()
        self._failures = 0
        self._problem = ""

    def use(self, spool: Spool) -> None:
        """There is a volume; it has been opened."""
        self._spool = spool

    @property
    def is_there(self) -> bool:
        """Whether there is a spool volume at all."""
        return self._spool is not None

    def statistics(self) -> SpoolStatistics:
        """A snapshot of what waits."""
        spool = self._spool
        return SpoolStatistics(
            objects=0 if spool is None else spool.objects,
            size_bytes=0 if spool is None else spool.size_bytes,
            oldest_at=None if spool is None else spool.oldest_at,
            failures=self._failures,
            problem=self._problem,
        )

    def has(self, uid: str) -> bool:
        """Whether a version of the object waits on the volume."""
        return self._spool is not None and self._spool.version(uid) is not None

    def overdue(self, deadline_seconds: float) -> list[tuple[Kind, str]]:
        """Objects whose deletion was asked for longer ago than this and whose last rows are
        not written; pods first."""
        return self._tracker.overdue(self._clock() - timedelta(seconds=deadline_seconds))

    def is_last(self, sighting: Sighting) -> bool:
        """Whether this version says everything that will ever be written about the object."""
        if not self._builder.is_metered(sighting):
            return self._builder.is_final(sighting)
        started_at = self._tracker.started_at(sighting.uid)
        try:
            pod = self._builder.build(sighting, started_at=started_at).pod
        except RowError:
            return self._builder.is_final(sighting)  # for the dead letters
        assert pod is not None
        return pod.life in _OVER

    async def probe(self) -> None:
        """Whether the volume could be written now; statistics tell."""
        if self._spool is not None:
            try:
                async with self._using:
                    await asyncio.to_thread(self._spool.probe)
            except SpoolUnavailable as error:
                self._note(error)
            else:
                self._problem = ""

    async def keep(self, sightings: Sequence[Sighting]) -> None:
        """Put these on the volume, whole; once this returns they are on its disk and count as
        recorded. What is there already in this version is not put there again.

        Raises:
            SpoolUnavailable: none of them counts as kept.
        """
        spool = self._spool
        if spool is None:
            raise SpoolUnavailable("there is no spool volume (spool_directory)")
        async with self._using:
            entries = [
                self._entry(sighting)
                for sighting in sightings
                if (known := spool.version(sighting.uid)) is None or known < sighting.version
            ]
            if entries:
                try:
                    await asyncio.to_thread(spool.append, entries)
                except SpoolUnavailable as error:
                    self._note(error)
                    raise
                self._problem = ""
        for sighting in sightings:
            # A newer version that came meanwhile has its own turn.
            is_newest = self._tracker.newest_version(sighting.uid) == sighting.version
            if is_newest and self._tracker.set_recorded(sighting.uid):
                self._on_recorded(sighting.kind, sighting.uid)

    async def replay(
        self,
        write: Callable[[list[Sighting]], Awaitable[None]],
        bury: Callable[[DeadLetterRow], Awaitable[None]],
    ) -> None:
        """Hand over everything on the volume, the oldest first, and remove what is written.
        Safe to repeat after a failure half way.

        Args:
            write: returns once these are committed, or buried; each uid is there once.
            bury: returns once this is committed.

        Raises:
            StoreUnavailable: the rest stays on the volume.
            SpoolUnavailable: as much as could be read is written.
        """
        spool = self._spool
        if spool is None or not spool.has_files:
            return
        async with self._using:
            paths = spool.seal()
        for path in paths:
            try:
                count = await self._replay_file(spool, path, write, bury)
                async with self._using:
                    await asyncio.to_thread(spool.remove, path)
            except (OSError, SpoolUnavailable) as error:
                # It is there in the next process' time; the others are not held up by it.
                self._note(error)
                spool.forget(path)
                continue
            _log.info(
                "spooled objects were written",
                extra={"action": "spool-replay", "file": path.name, "count": count},
            )

    async def _replay_file(
        self,
        spool: Spool,
        path: Path,
        write: Callable[[list[Sighting]], Awaitable[None]],
        bury: Callable[[DeadLetterRow], Awaitable[None]],
    ) -> int:
        portions = spool.read(path)
        count = 0
        while portion := await asyncio.to_thread(_next, portions):
            for line in portion:
                if isinstance(line, BrokenLine):
                    await bury(self._letter(line))
            sightings = list(_newest(portion))
            if sightings:
                await write(sightings)
            count += len(sightings)
        return count

    def _entry(self, sighting: Sighting) -> SpooledObject:
        namespace = namespace_of(sighting.manifest)
        return SpooledObject(
            kind=sighting.kind,
            uid=sighting.uid,
            manifest=sighting.manifest,
            version=sighting.version,
            tenant=self._context.tenant_of(namespace),
            started_at=self._tracker.started_at(sighting.uid),
            spooled_at=self._clock(),
        )

    def _letter(self, line: BrokenLine) -> DeadLetterRow:
        return DeadLetterRow(
            cluster=self._context.cluster,
            tenant=None,
            user_name=None,
            kind=LINE_KIND,
            uid=f"{line.file}:{line.number}",
            namespace=None,
            name=None,
            resource_version=None,
            sqlstate=None,
            constraint_name=None,
            error="a line of the spool that is no object",
            payload=to_json(line.text),
        )

    def _note(self, error: Exception) -> None:
        self._failures += 1
        if not self._problem:
            _log.error(
                "the spool volume cannot be used",
                extra={"action": "spool", "error": str(error)[:256]},
            )
        self._problem = str(error)


def _next(
    portions: Iterator[list[SpooledObject | BrokenLine]],
) -> list[SpooledObject | BrokenLine] | None:
    return next(portions, None)


def _newest(lines: Iterable[SpooledObject | BrokenLine]) -> Iterable[Sighting]:
    """One sighting an object, of its newest version."""
    newest: dict[str, SpooledObject] = {}
    for line in lines:
        if isinstance(line, SpooledObject):
            known = newest.get(line.uid)
            if known is None or line.version >= known.version:
                newest[line.uid] = line
    for entry in newest.values():
        yield Sighting(
            kind=entry.kind,
            uid=entry.uid,
            manifest=entry.manifest,
            version=entry.version,
            deleted=False,
            seen_at=entry.spooled_at,
            waiting_since=0.0,
            tenant=entry.tenant,
            started_at=entry.started_at,
        )
