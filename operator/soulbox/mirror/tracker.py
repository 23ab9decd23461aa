"""What the mirror must remember of living objects; nothing of those that are gone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from soulbox.mirror.entry import MirrorEntry, Remembered
from soulbox.mirror.pending import Sighting
from soulbox.model.states import Kind
from soulbox.model.times import parse_time


@dataclass(slots=True, kw_only=True)
class _Memory(Remembered):
    kind: Kind
    namespace: str = ""
    recorded: bool = False
    # Last hour of a running pod that was billed.
    metered_until: datetime | None = None
    # Version that went to the dead letters: not tried again and again.
    buried_version: int | None = None
    newest_version: int = -1
    # When its deletion was asked for; None while it was not.
    deleted_at: datetime | None = None


class Tracker:
    """Memory by uid. A few hundred bytes an object that exists in the cluster."""

    def __init__(self, entries: Iterable[MirrorEntry]) -> None:
        self._entries = {entry.kind: entry for entry in entries}
        self._memories: dict[str, _Memory] = {}

    def __len__(self) -> int:
        return len(self._memories)

    def see(self, sighting: Sighting) -> None:
        """Remember what later versions may no longer say."""
        memory = self._memories.get(sighting.uid)
        if memory is None:
            memory = self._memories[sighting.uid] = _Memory(kind=sighting.kind)
            memory.namespace = namespace_of(sighting.manifest)
        memory.newest_version = max(sighting.version, memory.newest_version)
        memory.deleted_at = _deletion_time(sighting.manifest)
        entry = self._entries[sighting.kind]
        entry.remember(memory, sighting.manifest)
        if entry.newest_decides:
            # A newer version waits: what is committed is not its end.
            memory.recorded = False

    def is_recorded(self, uid: str) -> bool:
        memory = self._memories.get(uid)
        return memory is not None and memory.recorded

    def set_recorded(self, uid: str) -> bool:
        """Returns whether that is news; not for objects that are gone."""
        memory = self._memories.get(uid)
        if memory is None or memory.recorded:
            return False
        memory.recorded = True
        return True

    def newest_version(self, uid: str) -> int | None:
        """resourceVersion of the newest sighting; None of an object not known."""
        memory = self._memories.get(uid)
        return None if memory is None else memory.newest_version

    def overdue(self, before: datetime) -> list[tuple[Kind, str]]:
        """Objects whose deletion was asked for before this and that are not recorded: first those
        that are billed, which their owners wait for."""
        found = [
            (memory.kind, uid)
            for uid, memory in self._memories.items()
            if memory.deleted_at is not None and memory.deleted_at <= before and not memory.recorded
        ]
        return sorted(found, key=lambda item: not self._entries[item[0]].is_metered)

    def started_at(self, uid: str) -> datetime | None:
        """When the container of what is billed started, by any version offered."""
        memory = self._memories.get(uid)
        return None if memory is None else memory.started_at

    def owner(self, uid: str) -> tuple[str, str] | None:
        """Namespace and user of an object; None when it was never offered."""
        memory = self._memories.get(uid)
        return None if memory is None else (memory.namespace, memory.user_name)

    def metered_until(self, uid: str) -> datetime | None:
        memory = self._memories.get(uid)
        return None if memory is None else memory.metered_until

    def set_metered(self, uid: str, until: datetime) -> None:
        memory = self._memories.get(uid)
        if memory is not None:
            memory.metered_until = until

    def is_buried(self, sighting: Sighting) -> bool:
        """Whether this very version was refused already."""
        memory = self._memories.get(sighting.uid)
        return memory is not None and memory.buried_version == sighting.version

    def set_buried(self, sighting: Sighting) -> None:
        memory = self._memories.get(sighting.uid)
        if memory is not None:
            memory.buried_version = sighting.version

    def uids(self, kind: Kind) -> set[str]:
        """UIDs remembered of a kind."""
        return {uid for uid, memory in self._memories.items() if memory.kind is kind}

    def forget(self, uids: Iterable[str]) -> None:
        """These objects are gone."""
        for uid in uids:
            self._memories.pop(uid, None)


def _deletion_time(manifest: Mapping[str, Any]) -> datetime | None:
    metadata = manifest.get("metadata")
    value = metadata.get("deletionTimestamp") if isinstance(metadata, Mapping) else None
    return parse_time(value) if isinstance(value, str) else None


def namespace_of(manifest: Mapping[str, Any]) -> str:
    """metadata.namespace; empty when malformed."""
    metadata = manifest.get("metadata")
    value = metadata.get("namespace") if isinstance(metadata, Mapping) else None
    return value if isinstance(value, str) else ""
