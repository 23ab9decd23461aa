"""Objects that wait to be written: the newest of each, oldest first, bounded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from soulbox.model.manifests import Manifest
from soulbox.model.states import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One version of an object as it was offered.

    Attributes:
        version: resourceVersion as a number; -1 when it is none.
        deleted: the object no longer exists; `manifest` is its last version.
        seen_at: when it was offered, for what says no time itself.
        waiting_since: the same on the monotonic clock, of the first version that waited.
        tenant: of its namespace, of one that comes from the spool; None: as it is when the
            row is made.
        started_at: of a pod that comes from the spool; None: the one that is remembered, if any.
    """

    kind: Kind
    uid: str
    manifest: Manifest
    version: int
    deleted: bool
    seen_at: datetime
    waiting_since: float
    tenant: str | None = None
    started_at: datetime | None = None


def sighting_of(
    kind: Kind, manifest: Manifest, *, deleted: bool, seen_at: datetime, waiting_since: float
) -> Sighting | None:
    """The sighting of a manifest; None when it has no uid."""
    metadata = manifest.get("metadata")
    uid = metadata.get("uid") if isinstance(metadata, Mapping) else None
    if not isinstance(uid, str) or not isinstance(metadata, Mapping):
        return None
    version = str(metadata.get("resourceVersion"))
    is_number = version.isascii() and version.isdigit() and len(version) < 20
    return Sighting(
        kind=kind,
        uid=uid,
        manifest=manifest,
        version=int(version) if is_number else -1,
        deleted=deleted,
        seen_at=seen_at,
        waiting_since=waiting_since,
    )


class PendingMap:
    """Newest sighting by uid. Not for use by several threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._sightings: dict[str, Sighting] = {}

    def __len__(self) -> int:
        return len(self._sightings)

    def __contains__(self, uid: str) -> bool:
        return uid in self._sightings

    @property
    def waiting_since(self) -> float | None:
        """When the one that waits longest was offered; None when none waits."""
        return next((item.waiting_since for item in self._sightings.values()), None)

    def offer(self, sighting: Sighting) -> bool:
        """Take a sighting unless a newer one waits; False when there is no room for it.

        One that replaces another keeps its place: an object that changes all the time is
        not pushed back for ever.
        """
        waiting = self._sightings.get(sighting.uid)
        if waiting is None and len(self._sightings) >= self._capacity:
            return False
        if waiting is None or _is_newer(sighting, waiting):
            self._sightings[sighting.uid] = sighting
        return True

    def take(self, count: int) -> list[Sighting]:
        """Remove and return up to `count`, those that wait longest first."""
        taken = self.peek(count)
        for sighting in taken:
            del self._sightings[sighting.uid]
        return taken

    def peek(self, count: int) -> list[Sighting]:
        """What `take` would return now."""
        return [item for item, _ in zip(self._sightings.values(), range(count), strict=False)]

    def put_back(self, sightings: Iterable[Sighting]) -> None:
        """Return what was taken and not written, to the front, unless newer ones wait.
        There is always room for it: it was there before."""
        front = {sighting.uid: sighting for sighting in sightings}
        for uid, waiting in self._sightings.items():
            returned = front.get(uid)
            if returned is None or _is_newer(waiting, returned):
                front[uid] = waiting
        self._sightings = front


def _is_newer(sighting: Sighting, than: Sighting) -> bool:
    """Whether it replaces the other; the same version again counts if it is gone now."""
    if sighting.version == than.version:
        return sighting.deleted or not than.deleted
    return sighting.version > than.version or sighting.version < 0
