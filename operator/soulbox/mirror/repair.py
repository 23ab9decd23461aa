"""Making the rows agree with complete lists: what differs is written, what is gone is marked."""

import logging
from collections.abc import AsyncIterable, Callable, Sequence
from datetime import datetime

from soulbox.mirror.batches import Batches
from soulbox.mirror.compare import Comparison
from soulbox.mirror.settings import MirrorSettings
from soulbox.model.manifests import Manifest
from soulbox.model.states import Kind
from soulbox.store.pool import Store

_log = logging.getLogger(__name__)


class Repair:
    """Compares, and writes, so many objects at a time.

    Attributes:
        ends_unknown: of what is billed, how many were found gone before anybody said when they
            ended.
    """

    def __init__(
        self,
        store: Store,
        batches: Batches,
        settings: MirrorSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self._batches = batches
        self._batch_size = settings.batch_size
        self._comparison = Comparison(store, batches.builder, batches.fence, clock, settings)
        self.ends_unknown = 0

    async def begin(self) -> datetime:
        """The database's time before any list is asked for, see Comparison.begin."""
        return await self._comparison.begin()

    async def run(
        self, lister: AsyncIterable[tuple[Kind, Sequence[Manifest]]], before: datetime
    ) -> None:
        """See Mirror.repair. `before` is what `begin` said."""
        tracker, pending = self._batches.tracker, self._batches.pending
        tracked = {kind: tracker.uids(kind) for kind in self._batches.builder.entries}
        async for kind, manifests in lister:
            if kind not in tracked:
                continue
            present = await self._repair_kind(kind, manifests, before)
            tracker.forget(uid for uid in tracked[kind] - present if uid not in pending)

    async def _repair_kind(
        self, kind: Kind, manifests: Sequence[Manifest], before: datetime
    ) -> set[str]:
        """Returns the UIDs in the list."""
        batches, tracker = self._batches, self._batches.tracker
        sightings = [
            sighting
            for manifest in manifests
            if (sighting := batches.sighting(kind, manifest)) is not None
        ]
        for sighting in sightings:
            # A list takes time: what was written meanwhile may be newer than what it has.
            newest = tracker.newest_version(sighting.uid)
            is_news = newest is None or newest <= sighting.version
            if is_news and sighting.uid not in batches.pending:
                tracker.see(sighting)
        async with batches.writing:
            differing = await self._comparison.differing(kind, sightings, before)
        wanted = [
            sighting
            for sighting in sightings
            if sighting.uid in differing
            or (batches.builder.is_final(sighting) and not tracker.is_recorded(sighting.uid))
        ]
        for start in range(0, len(wanted), self._batch_size):
            await batches.write(wanted[start : start + self._batch_size])
        async with batches.writing:
            gone = await self._comparison.mark_gone(kind, sightings, before)
        if gone:
            _log.info(
                "objects were found gone",
                extra={"action": "repair-gone", "kind": kind.value, "count": gone},
            )
        if kind is batches.builder.metered:
            self.ends_unknown += gone
        return {sighting.uid for sighting in sightings}
