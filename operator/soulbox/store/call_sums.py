"""call_sums made anew from executions.

The triggers of executions keep the sums, so this is for a database of before there were any, and
for sums that were truncated. While it lasts those triggers go on; each step replaces the sums of
a day, and statements that write executions wait for it.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from soulbox.store.files import load_queries
from soulbox.store.pool import Store, Transaction
from soulbox.store.rollups import Check, no_check

_ALWAYS: Final = {"from_day": "-infinity", "until_day": "infinity"}


class CallSums:
    """Sums all calls again, a day at a time, so that the caller can do other things in between.
    Safe to repeat, and for several processes at once.

    Args:
        check: done first in each transaction.
    """

    def __init__(self, store: Store, check: Check = no_check) -> None:
        self._store = store
        self._check = check
        self._queries = load_queries("call_sums")
        self._id: UUID | None = None
        self._days: list[Mapping[str, str]] = []

    async def step(self) -> str | None:
        """One transaction.

        Returns:
            What was done, for people; None once all is.

        Raises:
            StoreUnavailable: this step was not done; begin anew.
        """
        async with self._store.transaction() as tx:
            await self._check(tx)
            if self._id is None:
                return await self._begin(tx)
            if self._days:
                return await self._sum(tx, self._days.pop())
            await tx.execute(self._queries["end"], {"rebuild_id": self._id})
            return None

    async def _begin(self, tx: Transaction) -> str:
        [row] = await tx.fetch(self._queries["begin"])
        self._id = row["calls_rebuild_id"]
        self._days = [*await tx.fetch(self._queries["days"])] or [_ALWAYS]
        return f"days to sum calls of: {len(self._days)}"

    async def _sum(self, tx: Transaction, day: Mapping[str, str]) -> str:
        for name in ("hold_calls", "hold"):
            await tx.execute(self._queries[name])
        for name in ("clear", "fill"):
            await tx.execute(self._queries[name], day)
        return f"summed calls since {day['from_day']}"
