"""Rows against complete lists: what a lost event, a crash or a restored etcd left wrong."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from soulbox.mirror.entry import MirrorEntry
from soulbox.mirror.fence import Fence
from soulbox.mirror.items import ItemBuilder
from soulbox.mirror.pending import Sighting
from soulbox.mirror.settings import MirrorSettings
from soulbox.model.rows import TableRow
from soulbox.model.states import Kind
from soulbox.pure.fields import optional_uuid
from soulbox.store.objects import Absence, ObjectStore, StoredVersion
from soulbox.store.pool import Store, Transaction
from soulbox.store.state import Epochs, StateStore

_log = logging.getLogger(__name__)

# Versions looked up in one statement.
_CHUNK = 2_000
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class Comparison:
    """One pass over all kinds. The caller keeps other writers out while it is asked."""

    def __init__(
        self,
        store: Store,
        builder: ItemBuilder,
        fence: Fence,
        clock: Callable[[], datetime],
        settings: MirrorSettings,
    ) -> None:
        self._store = store
        self._builder = builder
        self._cluster = builder.context.cluster
        self._fence = fence
        self._clock = clock
        self._retention = settings.retention
        self._namespaces = settings.namespaces

    async def begin(self) -> datetime:
        """The database's time before any list is asked for: rows written later than this
        may be newer than the lists, and are left alone."""
        await self._fence.acquire()
        async with self._store.transaction() as tx:
            await self._fence.check(tx)
            return await StateStore(tx).server_time()

    async def differing(
        self, kind: Kind, sightings: Sequence[Sighting], before: datetime
    ) -> set[str]:
        """UIDs whose rows are missing or show an older version than the list. An object whose
        row retention has dropped is not among them: it would be dropped again.

        Begins a new mirror epoch when a row shows a version the cluster has never
        reached: then every row differs.
        """
        stored: dict[UUID, StoredVersion] = {}
        created = {
            uid: _created_at(sighting)
            for sighting in sightings
            if (uid := optional_uuid(sighting.uid)) is not None
        }
        uids = list(created)
        async with self._store.transaction() as tx:
            epochs = await self._fence.check(tx)
            for start in range(0, len(uids), _CHUNK):
                chunk = {uid: created[uid] for uid in uids[start : start + _CHUNK]}
                found = await self._table(kind, tx).versions(chunk, before)
                stored.update({version.uid: version for version in found})
        backwards = sum(
            _is_ahead(stored.get(_uuid(sighting)), sighting, epochs) for sighting in sightings
        )
        if backwards:
            await self._new_epoch(kind, backwards)
            return {sighting.uid for sighting in sightings}
        entry, now = self._builder.entries[kind], self._clock()
        return {
            sighting.uid
            for sighting in sightings
            if _is_behind(stored.get(_uuid(sighting)), sighting, entry, epochs)
            and (
                _uuid(sighting) in stored
                or not entry.is_expired(sighting.manifest, now, self._retention)
            )
        }

    async def mark_gone(self, kind: Kind, sightings: Sequence[Sighting], before: datetime) -> int:
        """Say of rows whose objects the list lacks that they are gone; how many."""
        absence = Absence(
            cluster=self._cluster,
            seen=[uid for item in sightings if (uid := optional_uuid(item.uid)) is not None],
            before=before,
            gone_at=self._clock(),
            namespaces=self._namespaces or None,
        )
        async with self._store.transaction() as tx:
            epochs = await self._fence.check(tx)
            return await self._table(kind, tx).mark_gone(absence, epochs)

    def _table(self, kind: Kind, tx: Transaction) -> ObjectStore[TableRow]:
        return ObjectStore(tx, self._builder.entries[kind].row_type)

    async def _new_epoch(self, kind: Kind, count: int) -> None:
        async with self._store.transaction() as tx:
            await self._fence.check(tx)
            epoch = await StateStore(tx).next_mirror_epoch(self._cluster)
        _log.error(
            "resource versions went backwards (etcd was restored); all objects are written again",
            extra={
                "action": "mirror-epoch",
                "kind": kind.value,
                "count": count,
                "mirror_epoch": epoch,
            },
        )


def _is_ahead(version: StoredVersion | None, sighting: Sighting, epochs: Epochs) -> bool:
    """Whether a row shows a version that the cluster, asked later, has not reached."""
    return (
        version is not None
        and version.is_settled
        and version.mirror_epoch == epochs.mirror_epoch
        and 0 <= sighting.version < version.resource_version
    )


def _is_behind(
    version: StoredVersion | None, sighting: Sighting, entry: MirrorEntry, epochs: Epochs
) -> bool:
    """Whether a row has to be written."""
    if version is None:
        return True
    if entry.row_type.TABLE.is_closed and version.is_deleted:
        return False
    return (version.mirror_epoch, version.resource_version) < (
        epochs.mirror_epoch,
        sighting.version,
    )


def _uuid(sighting: Sighting) -> UUID:
    return optional_uuid(sighting.uid) or UUID(int=0)


def _created_at(sighting: Sighting) -> datetime:
    """metadata.creationTimestamp; any time where it is malformed: no row has it then."""
    metadata = sighting.manifest.get("metadata") or {}
    try:
        return datetime.fromisoformat(str(metadata.get("creationTimestamp")))
    except ValueError:
        return _NO_TIME
