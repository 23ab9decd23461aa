"""Only one operator writes: each transaction checks that it is still the one."""

import asyncio
from uuid import UUID

from soulbox.model.errors import Terminal
from soulbox.store.pool import Store, Transaction
from soulbox.store.state import Epochs, StateStore, acquire_epoch


class LeaderFenced(Terminal):
    """Another operator has become the writer of this cluster: this one must end. What it
    still held is not lost: the other reads it from the API server."""


class Fence:
    """The right to write for a cluster.

    Args:
        epoch: from `acquire_epoch`; None acquires one at the first use, so that an
            operator can start while PostgreSQL is away.
    """

    def __init__(self, store: Store, cluster_uid: str, epoch: int | None) -> None:
        self._store = store
        self._cluster = UUID(cluster_uid)
        self._epoch = epoch
        self._acquiring = asyncio.Lock()

    async def acquire(self) -> None:
        """Make sure that there is an epoch; before a transaction is opened.

        Raises:
            StoreUnavailable: PostgreSQL cannot be used now.
        """
        # One of our own tasks must not fence out another.
        async with self._acquiring:
            if self._epoch is None:
                self._epoch = await acquire_epoch(self._store, str(self._cluster))

    async def check(self, tx: Transaction) -> Epochs:
        """The epochs, for which this transaction now stands.

        Raises:
            LeaderFenced: somebody else has become leader.
        """
        epochs = await StateStore(tx).lock_epochs(self._cluster)
        if epochs is None or epochs.leader_epoch != self._epoch:
            now = "none" if epochs is None else epochs.leader_epoch
            raise LeaderFenced(
                f"leader epoch {self._epoch} is over (now {now}): another operator writes for"
                " this cluster into this database, and this one ends; if both are to run, give"
                " them the same Lease or databases of their own"
            )
        return epochs
