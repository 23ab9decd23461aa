"""Lines of logs of Executions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from soulbox.pure.log_lines import LogLevel, LogLine
from soulbox.store.files import load_queries
from soulbox.store.outputs import OutputOwner
from soulbox.store.pool import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """A line of the log of one Execution; `lines_omitted` of the last alone is not 0."""

    uid: UUID
    created_at: datetime
    seq: int
    cluster: UUID
    tenant: str
    user_name: str
    at: datetime | None
    level: LogLevel
    message: str
    metadata: Mapping[str, Any]
    lines_omitted: int


class LogStore:
    """Table execution_logs. The partition of the month in question must be there."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("logs")

    async def replace(
        self,
        uid: UUID,
        created_at: datetime,
        owner: OutputOwner,
        lines: Sequence[LogLine],
        omitted: int = 0,
    ) -> None:
        """Write the log of an Execution, in the place of what is there of it; once in a
        transaction. Safe to repeat.

        Args:
            lines, omitted: as a LogReader has them after `finish`.
        """
        queries, key = self._queries, {"uid": uid, "created_at": created_at}
        await self._tx.execute(queries["delete_logs"], key)
        if not lines:
            return
        rows = [
            LogRow(
                uid=uid,
                created_at=created_at,
                seq=seq,
                cluster=owner.cluster,
                tenant=owner.tenant,
                user_name=owner.user_name,
                at=line.at,
                level=line.level,
                message=line.message,
                metadata=line.metadata,
                lines_omitted=omitted if seq == len(lines) - 1 else 0,
            )
            for seq, line in enumerate(lines)
        ]
        await self._tx.stage(queries["stage_logs"], queries["copy_logs"], rows)
        await self._tx.execute(queries["insert_logs"])

    async def read(
        self,
        uid: UUID,
        at_least: LogLevel = LogLevel.DEBUG,
        *,
        after_seq: int = -1,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Lines in order, with the rights of any login that sees the Execution; none where it
        sees none."""
        parameters = {"uid": uid, "at_least": at_least, "after_seq": after_seq, "limit": limit}
        return await self._tx.fetch(self._queries["readable_logs"], parameters)
