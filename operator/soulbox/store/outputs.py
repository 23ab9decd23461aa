"""Whole output of Executions, in pieces."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from soulbox.model.errors import NotFound
from soulbox.store.files import load_queries
from soulbox.store.pool import Transaction

# "stdout", "stderr", or "file/3": the captured file at that place of status.output.files.
Stream = str
# A piece as it is stored: large enough that 10 MiB are ten rows, small enough that a
# reader never needs more memory than it likes.
PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputKey:
    """One stream, or captured file, of one Execution."""

    uid: UUID
    created_at: datetime
    stream: Stream

    def parameters(self) -> dict[str, Any]:
        """As the statements name them."""
        return {"uid": self.uid, "created_at": self.created_at, "stream": self.stream}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOwner:
    """Whose output it is."""

    cluster: UUID
    tenant: str
    user_name: str


class OutputStore:
    """Table execution_outputs. The partition of the month in question must be there."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("outputs")

    async def clear(self, key: OutputKey) -> int:
        """Remove what is there of a stream; returns how many pieces."""
        return await self._tx.execute(self._queries["delete_output"], key.parameters())

    async def append(self, key: OutputKey, owner: OutputOwner, seq: int, piece: bytes) -> None:
        """Add a piece of 1 to PIECE_BYTES bytes."""
        await self._tx.execute(
            self._queries["insert_output"],
            {
                **key.parameters(),
                "seq": seq,
                "cluster": owner.cluster,
                "tenant": owner.tenant,
                "user_name": owner.user_name,
                "bytes": piece,
            },
        )

    async def mark_complete(self, uid: UUID, created_at: datetime) -> None:
        """All output of an Execution is saved; also where its row is written only later."""
        await self._tx.execute(
            self._queries["mark_output_complete"], {"uid": uid, "created_at": created_at}
        )

    async def owner(self, key: OutputKey, cluster: UUID) -> OutputOwner | None:
        """Whose an Execution is, by its row; None when that is not written yet."""
        found = await self._tx.fetch(self._queries["output_owner"], key.parameters())
        return OutputOwner(cluster=cluster, **found[0]) if found else None

    async def part(self, key: OutputKey, offset: int, length: int) -> bytes | None:
        """At most `length` bytes of a stream from `offset`, b"" at its end; None while not
        all of the Execution's output is saved."""
        query = {"uid": key.uid, "created_at": key.created_at}
        found = await self._tx.fetch(self._queries["output_is_complete"], query)
        if not found or not found[0]["output_complete"]:
            return None
        seq, start = divmod(offset, PIECE_BYTES)
        place = {"seq": seq, "start": start + 1, "length": min(length, PIECE_BYTES)}
        found = await self._tx.fetch(self._queries["output_part"], key.parameters() | place)
        return bytes(found[0]["bytes"]) if found else b""

    async def read(self, key: OutputKey) -> tuple[bytes, bool]:
        """A whole stream, and whether all output of its Execution is saved."""
        found = await self._tx.fetch(self._queries["output_pieces"], key.parameters())
        return b"".join(row["bytes"] for row in found), bool(found) and all(
            row["complete"] for row in found
        )


async def readable_output(tx: Transaction, uid: UUID, stream: Stream) -> AsyncIterator[bytes]:
    """What was saved of a stream, piece by piece, with the rights of any login that sees the
    Execution.

    Raises:
        NotFound: it sees none, or not all of the output is saved (yet).
    """
    queries = load_queries("outputs")
    named = {"uid": uid, "stream": stream}
    found = await tx.fetch(queries["readable_output_is_complete"], named)
    if not found:
        raise NotFound(f"no Execution {uid} is recorded, or it is of another tenant")
    if not found[0]["output_complete"]:
        raise NotFound("not all of the output is saved")
    async for rows in tx.stream(queries["readable_output"], named, portion=1):
        for row in rows:
            yield bytes(row["bytes"])
