"""Resource figures over time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from soulbox.model.rows import SampleRow
from soulbox.store.files import load_queries
from soulbox.store.pool import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestSample:
    """What a Sandbox used last; None could not be read."""

    sandbox_uid: UUID
    recorded_at: datetime
    cpu_cores: Decimal | None
    memory_bytes: int | None


class SampleStore:
    """Table resource_metrics. The partitions of the days in question must be there."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("samples")

    async def insert(self, rows: Sequence[SampleRow]) -> int:
        """Add samples; those that are there already are left alone. Returns how many were new."""
        queries = self._queries
        await self._tx.stage(queries["stage_samples"], queries["copy_samples"], rows)
        return await self._tx.execute(queries["insert_samples"])

    async def newest(self, uids: Collection[UUID], seconds: float) -> list[NewestSample]:
        """The newest sample of each of these Sandboxes, of those not older than so many
        seconds."""
        found = await self._tx.fetch(
            self._queries["newest_samples"], {"uids": list(uids), "seconds": seconds}
        )
        return [NewestSample(**row) for row in found]
