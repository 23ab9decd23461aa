"""Deleted objects that cannot go because PostgreSQL is unavailable: spooled, or reported.

An object goes when its last rows are written. Past `record_deadline_seconds` without
PostgreSQL it goes when it is on the spool volume; without a volume, or with one that cannot
be written, it stays, and an Event on it and a metric say so.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from soulbox.kube.cache import ObjectCache
from soulbox.kube.events import EventRecorder
from soulbox.mirror import Mirror, Sighting
from soulbox.model.errors import SpoolUnavailable
from soulbox.model.manifests import has_recorded
from soulbox.schema.settings import Settings
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

# An outage shorter than this is waited out, whenever the objects were deleted.
_OUTAGE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 15.0
# Objects in one append: some MB at most for usual ones.
_PORTION: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The Event on an object that stays."""

    message: str
    type: Literal["Warning"] = "Warning"
    reason: str = "RecordHeld"
    action: str = "Record"


class HeldObjects:
    """Looks now and then while PostgreSQL is away."""

    def __init__(
        self,
        mirror: Mirror,
        cache: ObjectCache,
        events: EventRecorder,
        settings: Settings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mirror = mirror
        self._cache = cache
        self._events = events
        self._deadline_seconds = settings.record_deadline_seconds
        self._probe_seconds = settings.repair_period_seconds
        self._monotonic = monotonic
        self._probed_at = float("-inf")
        # How many stay, as of the last look.
        self.count = 0

    async def run(self) -> None:
        """Until cancelled."""
        period = min(_LOOK_SECONDS, self._deadline_seconds / 2)
        while True:
            if self._monotonic() - self._probed_at >= self._probe_seconds:
                # Report a broken volume before it is needed.
                self._probed_at = self._monotonic()
                await self._mirror.spooler.probe()
            await self.look()
            await asyncio.sleep(period)

    async def look(self) -> None:
        """Spool, or report, what has been waiting too long."""
        if self._mirror.failing_seconds() < min(_OUTAGE_SECONDS, self._deadline_seconds):
            self.count = 0
            return
        due = self._due()
        held = 0
        for start in range(0, len(due), _PORTION):
            portion = due[start : start + _PORTION]
            remedy = await self._keep(portion)
            if remedy:
                held += len(portion)
                self._tell(portion, remedy)
        if held and not self.count:
            _log.warning(
                "deleted objects stay until PostgreSQL is back", action="record-held", count=held
            )
        self.count = held

    def _due(self) -> list[Sighting]:
        found: list[Sighting] = []
        for kind, uid in self._mirror.spooler.overdue(self._deadline_seconds):
            manifest = self._cache.get(kind, uid)
            if manifest is None or not has_recorded(manifest):
                continue
            sighting = self._mirror.sighting(kind, manifest)
            if sighting is not None and self._mirror.spooler.is_last(sighting):
                found.append(sighting)
        return found

    async def _keep(self, portion: list[Sighting]) -> str:
        """Put them on the volume. What to do about it if that is not possible; else ""."""
        spooler = self._mirror.spooler
        if not spooler.is_there:
            return "or give the operator a spool volume (setting spool_directory)"
        try:
            await spooler.keep(portion)
        except SpoolUnavailable as error:
            return f"or fix the spool volume: {error}"
        _log.warning("deleted objects went to the spool volume", action="spool", count=len(portion))
        return ""

    def _tell(self, portion: list[Sighting], remedy: str) -> None:
        message = (
            "PostgreSQL accepts no rows, and deleted objects stay until they are recorded. Bring"
            f" PostgreSQL back (soulbox doctor says what is wrong), {remedy}."
        )
        for sighting in portion:
            self._events.post(sighting.manifest, sighting.kind, _Held(message=message))
