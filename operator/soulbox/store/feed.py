"""The outbox of changes and the dead letters."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from soulbox.model.rows import DeadLetterRow
from soulbox.store.files import load_queries
from soulbox.store.pool import Transaction

CHANGES_CHANNEL = "soulbox_changes"


class FeedStore:
    """Tables changes and dead_letter."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("feed")

    def notify(self, cluster: UUID) -> None:
        """Hint to listeners of channel soulbox_changes that there is something to read.

        After the commit and apart from it: a server whose NOTIFY queue is full refuses the
        whole transaction that sent one, and any login can fill it. Without the hint they look
        by themselves every few seconds.
        """
        self._tx.hint(self._queries["notify_changes"], {"cluster": str(cluster)})

    async def prune_changes(self, keep_seconds: float, portion: int) -> int:
        """Remove up to `portion` changes older than this; returns how many."""
        return await self._tx.execute(
            self._queries["prune_changes"], {"keep_seconds": keep_seconds, "portion": portion}
        )

    async def bury(self, row: DeadLetterRow) -> None:
        """Keep what was refused; the same object again is counted and replaced."""
        parameters: dict[str, Any] = asdict(row)
        await self._tx.execute(self._queries["insert_dead_letter"], parameters)

    async def dead_letters(self, cluster: UUID) -> list[DeadLetterRow]:
        """All of a cluster, oldest first."""
        found = await self._tx.fetch(self._queries["dead_letters"], {"cluster": cluster})
        return [DeadLetterRow(**row) for row in found]
