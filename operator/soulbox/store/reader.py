"""Reads from a replica where there is one, from the primary else.

A replica is behind: each read says by how much it was, so that nobody takes an old answer
for a new one. Where the replica cannot be reached or is too far behind, the primary
answers. Writes never come here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from soulbox.model.errors import StoreUnavailable
from soulbox.store.pool import Store, Transaction
from soulbox.store.reading import History

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an answer came from.

    Attributes:
        replica_lag_seconds: how old it may be; None from a primary: it is of now.
        problem: why the replica was not asked although there is one; None else.
    """

    replica_lag_seconds: float | None = None
    problem: str | None = None


class Reader:
    """Runs reads.

    Args:
        primary: asked when the replica does not do.
        replica: asked first; None where there is none.
        max_lag_seconds: a replica further behind is passed over.
    """

    def __init__(
        self, primary: Store, replica: Store | None = None, *, max_lag_seconds: float = 60.0
    ) -> None:
        self._primary = primary
        self._replica = replica
        self._max_lag_seconds = max_lag_seconds

    async def read(self, work: Callable[[Transaction], Awaitable[T]]) -> tuple[T, Source]:
        """Run a read and tell where the answer came from.

        Raises:
            StoreUnavailable: neither could be asked.
        """
        problem: str | None = None
        if self._replica is not None:
            try:
                async with self._replica.transaction() as tx:
                    lag = await History(tx).replica_lag_seconds()
                    if lag is None or lag <= self._max_lag_seconds:
                        return await work(tx), Source(replica_lag_seconds=lag)
                problem = f"the replica is {lag:.0f} s behind"
            except StoreUnavailable as error:
                problem = f"the replica cannot be read: {error}"
        async with self._primary.transaction() as tx:
            return await work(tx), Source(problem=problem)
