"""Saving the whole output of Executions."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from soulbox.mirror.fence import Fence
from soulbox.mirror.tracker import Tracker
from soulbox.mirror.writer import BatchWriter
from soulbox.model.errors import StoreRefused
from soulbox.pure.fields import RowContext
from soulbox.pure.log_lines import LogReader
from soulbox.store.logs import LogStore
from soulbox.store.outputs import PIECE_BYTES, OutputKey, OutputOwner, OutputStore, Stream
from soulbox.store.pool import Store, Transaction


class OutputSaver:
    """Writes streams, a few at once: each keeps a connection while its runner sends."""

    def __init__(
        self,
        store: Store,
        context: RowContext,
        fence: Fence,
        tracker: Tracker,
        writer: BatchWriter,
        at_once: int,
    ) -> None:
        self._store = store
        self._context = context
        self._fence = fence
        self._tracker = tracker
        self._writer = writer
        self._slots = asyncio.Semaphore(at_once)

    async def save(
        self,
        uid: str,
        created_at: datetime,
        stream: Stream,
        chunks: AsyncIterator[bytes],
        *,
        is_log: bool = False,
    ) -> int:
        """See Mirror.save_output. One transaction: an interrupted save leaves nothing."""
        key = OutputKey(uid=UUID(uid), created_at=created_at, stream=stream)
        async with self._slots:
            await self._fence.acquire()
            await self._writer.ensure_partitions([created_at])
            async with self._store.transaction() as tx:
                await self._fence.check(tx)
                owner = await self._owner(tx, key)
                outputs = OutputStore(tx)
                await outputs.clear(key)
                size = seq = 0
                log = LogReader() if is_log else None
                async for piece in _pieces(chunks):
                    await outputs.append(key, owner, seq, piece)
                    if log is not None:
                        log.feed(piece)
                    size += len(piece)
                    seq += 1
                if log is not None:
                    log.finish()
                    await LogStore(tx).replace(key.uid, created_at, owner, log.lines, log.omitted)
            return size

    async def mark_complete(self, uid: str, created_at: datetime) -> None:
        """See Mirror.mark_output_complete."""
        await self._fence.acquire()
        async with self._store.transaction() as tx:
            await self._fence.check(tx)
            await OutputStore(tx).mark_complete(UUID(uid), created_at)

    async def _owner(self, tx: Transaction, key: OutputKey) -> OutputOwner:
        known = self._tracker.owner(str(key.uid))
        if known is not None:
            namespace, user_name = known
            return OutputOwner(
                cluster=self._context.cluster,
                tenant=self._context.tenant_of(namespace),
                user_name=user_name,
            )
        owner = await OutputStore(tx).owner(key, self._context.cluster)
        if owner is None:
            raise StoreRefused(f"output of an Execution that was never seen ({key.uid})")
        return owner


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of PIECE_BYTES; only the last may be shorter, and none is empty."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        while len(buffer) >= PIECE_BYTES:
            yield bytes(buffer[:PIECE_BYTES])
            del buffer[:PIECE_BYTES]
    if buffer:
        yield bytes(buffer)
