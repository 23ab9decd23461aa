"""Rows of Sandboxes, Executions and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from soulbox.model.rows import ExecutionRow, ProgramRow, SandboxRow
from soulbox.store.files import load_queries
from soulbox.store.pool import Transaction
from soulbox.store.state import Epochs


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


class SandboxStore:
    """Table sandboxes."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("sandboxes")

    async def upsert(self, rows: Sequence[SandboxRow], epochs: Epochs) -> int:
        """Write the newest of the given and the stored versions; each uid at most once.

        Returns:
            How many rows changed.
        """
        queries = self._queries
        await self._tx.stage(queries["stage_sandboxes"], queries["copy_sandboxes"], rows)
        return await self._tx.execute(queries["upsert_sandboxes"], epochs.parameters())

    async def get(self, uid: UUID) -> SandboxRow | None:
        """One row; None when there is none."""
        found = await self._tx.fetch(self._queries["sandbox_by_uid"], {"uid": uid})
        return SandboxRow(**found[0]) if found else None

    async def versions(
        self, uids: Mapping[UUID, datetime], before: datetime
    ) -> list[StoredVersion]:
        """Which versions of these (created_at by uid) are stored."""
        found = await self._tx.fetch(
            self._queries["sandbox_versions"], {"uids": list(uids), "before": before}
        )
        return [StoredVersion(**row) for row in found]

    async def mark_gone(self, absence: Absence, epochs: Epochs) -> int:
        """Say of rows that their objects are gone; returns how many."""
        return await self._tx.execute(
            self._queries["mark_gone_sandboxes"],
            {**absence.parameters(), **epochs.parameters()},
        )


class ExecutionStore:
    """Table executions. The partitions of all months in question must be there."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("executions")

    async def upsert(self, rows: Sequence[ExecutionRow], epochs: Epochs) -> int:
        """Write the newest of the given and the stored versions; each uid at most once.

        Returns:
            How many rows changed.
        """
        await self.stage(rows)
        return await self.upsert_staged(epochs)

    async def stage(self, rows: Sequence[ExecutionRow]) -> None:
        """The first half of upsert: send the rows; once in a transaction."""
        queries = self._queries
        await self._tx.stage(queries["stage_executions"], queries["copy_executions"], rows)

    async def upsert_staged(self, epochs: Epochs) -> int:
        """The other half: have the server write them."""
        return await self._tx.execute(self._queries["upsert_executions"], epochs.parameters())

    async def get(self, uid: UUID, created_at: datetime) -> ExecutionRow | None:
        """One row; None when there is none."""
        found = await self._tx.fetch(
            self._queries["execution_by_uid"], {"uid": uid, "created_at": created_at}
        )
        return ExecutionRow(**found[0]) if found else None

    async def versions(
        self, uids: Mapping[UUID, datetime], before: datetime
    ) -> list[StoredVersion]:
        """Which versions of these (created_at by uid) are stored."""
        found = await self._tx.fetch(
            self._queries["execution_versions"],
            {"uids": list(uids), "created_ats": list(uids.values()), "before": before},
        )
        return [StoredVersion(**row) for row in found]

    async def mark_gone(self, absence: Absence, epochs: Epochs) -> int:
        """Say of rows that their objects are gone; returns how many."""
        return await self._tx.execute(
            self._queries["mark_gone_executions"],
            {**absence.parameters(), **epochs.parameters()},
        )

    async def mark_output_complete(self, uid: UUID, created_at: datetime) -> None:
        """All output is saved; also where the row itself is written only later."""
        await self._tx.execute(
            self._queries["mark_output_complete"], {"uid": uid, "created_at": created_at}
        )


class ProgramStore:
    """Table programs."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("programs")

    async def insert(self, rows: Sequence[ProgramRow]) -> int:
        """Keep code that is new in its tenant; returns how many were."""
        queries = self._queries
        await self._tx.stage(queries["stage_programs"], queries["copy_programs"], rows)
        return await self._tx.execute(queries["insert_programs"])

    async def get(self, tenant: str, code_sha256: str) -> ProgramRow | None:
        """One program; None when there is none."""
        found = await self._tx.fetch(
            self._queries["program_by_key"], {"tenant": tenant, "code_sha256": code_sha256}
        )
        return ProgramRow(**found[0]) if found else None
