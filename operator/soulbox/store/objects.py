"""Rows that show objects of the cluster, and programs. Their statements are generated."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from soulbox.model.rows import ProgramRow, TableRow
from soulbox.store.files import load_queries
from soulbox.store.pool import Transaction
from soulbox.store.staging import row_of
from soulbox.store.state import Epochs

Row = TypeVar("Row", bound=TableRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """Which version of an object the database has.

    Attributes:
        is_deleted: the row says that the object is gone (a pod: or that it has ended).
        is_settled: the row was last written before the moment asked about.
    """

    uid: UUID
    mirror_epoch: int
    resource_version: int
    is_deleted: bool
    is_settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """What a complete list of a kind no longer has.

    Attributes:
        cluster: whose list it is.
        seen: UIDs of all objects in it.
        before: database time before the list was asked for; rows written later are left.
        gone_at: written as deleted_at.
        namespaces: the list is of these alone; None: of all.
    """

    cluster: UUID
    seen: Sequence[UUID]
    before: datetime
    gone_at: datetime
    namespaces: Sequence[str] | None

    def parameters(self) -> dict[str, Any]:
        """As the statements name them."""
        return {
            "cluster": self.cluster,
            "seen": list(self.seen),
            "before": self.before,
            "gone_at": self.gone_at,
            "namespaces": None if self.namespaces is None else list(self.namespaces),
        }


class RowStore(Generic[Row]):
    """The table of a row type that shows objects of the cluster, or parts of such. Where it is
    partitioned, the partitions of all months in question must be there."""

    def __init__(self, tx: Transaction, row_type: type[Row]) -> None:
        self._tx = tx
        self._row_type = row_type
        self._queries = load_queries(f"objects/{row_type.TABLE.name}")

    async def upsert(self, rows: Sequence[Row], epochs: Epochs) -> int:
        """Write the newest of the given and the stored versions; each uid at most once.

        Returns:
            How many rows changed.
        """
        await self.stage(rows)
        return await self.upsert_staged(epochs)

    async def stage(self, rows: Sequence[Row]) -> None:
        """The first half of upsert: send the rows; once in a transaction."""
        await self._tx.stage(self._queries["stage"], self._queries["copy"], rows)

    async def upsert_staged(self, epochs: Epochs) -> int:
        """The other half: have the server write them."""
        return await self._tx.execute(self._queries["upsert"], epochs.parameters())


class ObjectStore(RowStore[Row]):
    """Of objects: one row each."""

    async def by_uid(self, uids: Collection[UUID]) -> dict[UUID, Row]:
        """The rows of those objects that have one."""
        found = await self._tx.fetch(self._queries["by_uid"], {"uids": list(uids)})
        return {row[self._row_type.TABLE.uid]: row_of(self._row_type, row) for row in found}

    async def versions(
        self, uids: Mapping[UUID, datetime], before: datetime
    ) -> list[StoredVersion]:
        """Which versions of these (created_at by uid) are stored."""
        given = {"uids": list(uids), "created_ats": list(uids.values()), "before": before}
        found = await self._tx.fetch(self._queries["versions"], given)
        return [StoredVersion(**row) for row in found]

    async def mark_gone(self, absence: Absence, epochs: Epochs) -> int:
        """Say of rows that their objects are gone; returns how many."""
        return await self._tx.execute(
            self._queries["mark_gone"], {**absence.parameters(), **epochs.parameters()}
        )


class PartStore(RowStore[Row]):
    """Of parts of objects: each object may have several rows."""

    async def add(self, rows: Sequence[Row], epochs: Epochs) -> int:
        """Write those that are missing and leave the others as they are, however old: what is
        known of an object's past. Returns how many were missing."""
        await self.stage(rows)
        return await self._tx.execute(self._queries["insert"], epochs.parameters())

    async def keys(self, uids: Collection[UUID]) -> set[tuple[Any, ...]]:
        """Keys of all parts of these objects, columns in the order of Table.key."""
        found = await self._tx.fetch(self._queries["keys"], {"uids": list(uids)})
        return {tuple(row[name] for name in self._row_type.TABLE.key) for row in found}

    async def of(self, uids: Collection[UUID]) -> list[Row]:
        """All parts of these objects, by their key."""
        found = await self._tx.fetch(self._queries["by_uid"], {"uids": list(uids)})
        return [row_of(self._row_type, row) for row in found]


class ProgramStore:
    """Table programs."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("objects/programs")

    async def insert(self, rows: Sequence[ProgramRow]) -> int:
        """Keep code that is new in its tenant; returns how many were."""
        await self._tx.stage(self._queries["stage"], self._queries["copy"], rows)
        return await self._tx.execute(self._queries["insert"])

    async def get(self, tenant: str, code_sha256: str) -> ProgramRow | None:
        """One program; None when there is none."""
        found = await self._tx.fetch(
            self._queries["by_key"], {"tenant": tenant, "code_sha256": code_sha256}
        )
        return row_of(ProgramRow, found[0]) if found else None
