"""Figures of the database for /metrics, what `soulbox db doctor` judges, dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from soulbox.pure.doctor.care import DatabaseCare
from soulbox.store.files import load_queries
from soulbox.store.pool import Store, Transaction
from soulbox.store.retention import partition_horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFigures:
    """The database as it counts itself; counts are since its statistics were reset.

    Attributes:
        notification_queue_ratio: how full the server's NOTIFY queue is, 0 to 1.
        unbilled_seconds: for how long the oldest unbilled hour of a running pod is over.
        tables: by table, its partitions together: live_rows, dead_rows, inserts, updates,
            deletes, table_bytes, index_bytes.
    """

    database_bytes: int
    connections: int
    commits: int
    rollbacks: int
    cache_hit_ratio: float | None
    oldest_transaction_seconds: float
    notification_queue_ratio: float
    unbilled_seconds: float
    tables: Mapping[str, Mapping[str, int]]

    def by_table(self, figure: str) -> dict[str, float]:
        """One figure of each table."""
        return {name: float(row[figure]) for name, row in self.tables.items()}


async def database_figures(store: Store) -> DatabaseFigures:
    """The figures; gives up after 5 s a statement.

    Raises:
        StoreUnavailable: PostgreSQL is away or too slow for this.
    """
    queries = load_queries("care")
    async with store.transaction() as tx:
        await tx.fetch(queries["short_answer"])
        rows = await tx.fetch(queries["table_figures"])
        found = await tx.fetch(queries["database_figures"])
    return DatabaseFigures(**found[0], tables={row.pop("table_name"): row for row in rows})


async def look_at(store: Store, pending: Sequence[str]) -> DatabaseCare:
    """What is judged by `judge_care`.

    Args:
        pending: migrations that are not applied.
    """
    queries = load_queries("care")
    async with store.transaction() as tx:
        found = await tx.fetch(queries["look"])
        worn = await tx.fetch(queries["worn_tables"])
    return DatabaseCare(
        **found[0],
        pending=tuple(pending),
        worn={row["table_name"]: row["dead_rows"] for row in worn},
        horizon_seconds=await partition_horizon(store),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What was refused, to be tried again."""

    id: int
    cluster: UUID
    tenant: str | None
    kind: str
    uid: str
    payload: str


class DeadLetterStore:
    """Table dead_letter as an administrator sees it, over all clusters."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("care")

    async def list(self, limit: int) -> list[dict[str, Any]]:
        """The oldest, without their payloads."""
        return await self._tx.fetch(self._queries["list_dead_letters"], {"limit": limit})

    async def take(self, ids: "Sequence[int] | None") -> "Sequence[DeadLetter]":
        """These, or all for None; those that another retry holds are left out."""
        rows = await self._tx.fetch(
            self._queries["dead_letters_by_id"], {"ids": None if ids is None else [*ids]}
        )
        return [DeadLetter(**row) for row in rows]

    async def remove(self, letter_id: int) -> None:
        """One was written after all."""
        await self._tx.execute(self._queries["remove_dead_letter"], {"id": letter_id})
