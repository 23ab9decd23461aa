"""The mirror's own state: epochs, the server's clock, partitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from soulbox.store.files import load_queries
from soulbox.store.pool import Store, Transaction

# Tables by the length of their partitions; ensure_partition() in SQL has the same lists.
MONTHLY: Final = ("executions", "execution_outputs", "execution_logs")
DAILY: Final = ("resource_metrics",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Epochs:
    """Row of mirror_state: which process may write, and which timelines are written."""

    leader_epoch: int
    mirror_epoch: int
    database_epoch: int

    def parameters(self) -> dict[str, Any]:
        """As the statements name them."""
        return {"mirror_epoch": self.mirror_epoch, "database_epoch": self.database_epoch}


# A transaction waits for a runner's reply while whole output is saved, for up to ten seconds
# (box.transport.REPLY_SECONDS); one that says nothing for longer belongs to a process that is
# stopped, and the leader before is the likely one.
_FORSAKEN_SECONDS: Final = 12.0


async def acquire_epoch(
    store: Store, cluster_uid: str, *, forsaken_seconds: float = _FORSAKEN_SECONDS
) -> int:
    """Become the writer of a cluster: the next leader epoch. Writers with an earlier one
    are refused from now on; one whose transaction is open is waited for, unless it said
    nothing for so long that its process must be stopped: then it is rolled back.

    Args:
        cluster_uid: UID of kube-system; several clusters may share a database.
        forsaken_seconds: silence within a transaction after which it is ended.

    Raises:
        StoreUnavailable: PostgreSQL cannot be used now.
    """
    async with store.transaction() as tx:
        await tx.fetch(
            load_queries("state")["end_forsaken_transactions"], {"idle_seconds": forsaken_seconds}
        )
        found = await tx.fetch(
            load_queries("state")["acquire_leader_epoch"], {"cluster": UUID(cluster_uid)}
        )
    epoch: int = found[0]["leader_epoch"]
    return epoch


class StateStore:
    """Table mirror_state, and what belongs to no table."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("state")

    async def lock_epochs(self, cluster: UUID) -> Epochs | None:
        """The epochs, which nobody changes until this transaction ends; None when nobody
        has become leader of this cluster yet."""
        found = await self._tx.fetch(self._queries["lock_epochs"], {"cluster": cluster})
        return Epochs(**found[0]) if found else None

    async def next_mirror_epoch(self, cluster: UUID) -> int:
        """Begin a new timeline of resource versions."""
        found = await self._tx.fetch(self._queries["next_mirror_epoch"], {"cluster": cluster})
        epoch: int = found[0]["mirror_epoch"]
        return epoch

    async def server_time(self) -> datetime:
        """The database's clock."""
        found = await self._tx.fetch(self._queries["server_time"])
        now: datetime = found[0]["server_time"]
        return now

    async def ensure_partitions(
        self, moments: Sequence[datetime], parents: Sequence[str] = MONTHLY
    ) -> int:
        """Make the partitions these moments lie in; returns how many were missing.

        Raises:
            StoreRefused: a moment before the year 2000 or after 2199.
        """
        found = await self._tx.fetch(
            self._queries["ensure_partitions"],
            {"moments": list(moments), "parents": list(parents)},
        )
        made: int = found[0]["made"]
        return made
