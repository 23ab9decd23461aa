"""Sums of use and cost by day and month: folded, rebuilt, compared, read.

A fold adds the rows that finished transactions wrote since the one before, and moves the
watermark past them in the same transaction: each row is counted once, whichever process folds, and
wherever it is killed. A rebuild sums everything again, one month per transaction; until it is over
the views take no sum from the tables, so they are exact throughout.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from soulbox.model.errors import InvalidRequest, StoreConflict
from soulbox.store.files import load_queries
from soulbox.store.pool import Store, Transaction

# Rows of a fold, or Executions looked at for marks, in one transaction: some 100 ms.
PORTION: Final = 20_000
_FIRST: Final = UUID(int=0)
_MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)

# What each transaction does first: the operator checks that it still leads.
Check = Callable[[Transaction], Awaitable[object]]


async def no_check(_tx: Transaction) -> None:
    """For a process that need not lead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollupLook:
    """What there is to do.

    Attributes:
        is_built: the tables hold all below the watermark; else a rebuild is needed.
        is_foreign: the watermark is of another server: this database was copied here.
        rebuild_idle_seconds: how long ago the rebuilding process was last heard of; None when there
            is none.
        waiting_seconds: age of the oldest row that is not folded; None when all are.
        are_calls_summed: call_sums holds all calls; else it is to be made anew.
    """

    is_built: bool
    is_foreign: bool
    rebuild_idle_seconds: float | None
    waiting_seconds: float | None
    are_calls_summed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFigures:
    """Figures of one user over a day or a month, as the tables have them."""

    total_executions: int
    total_duration_ms: int
    billed_seconds: Decimal
    compute_units: Decimal
    total_cost: Decimal
    breakdown: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollupDifference:
    """A row of usage_daily or usage_aggregates that is not what the ledger and the marks give.

    Attributes:
        table: usage_daily or usage_aggregates.
        period: its day (2026-11-22) or month (2026-11).
        stored: what it says; None: it is missing.
        recomputed: what it should say; None: it should not be there.
    """

    table: str
    period: str
    cluster: UUID
    tenant: str
    user_name: str
    currency: str
    stored: UsageFigures | None
    recomputed: UsageFigures | None


async def look_at_rollups(store: Store) -> RollupLook:
    """Whether there is anything to fold or to rebuild.

    Raises:
        StoreUnavailable: PostgreSQL cannot be used now.
    """
    async with store.transaction() as tx:
        found = await tx.fetch(load_queries("rollups")["look"])
    return RollupLook(**found[0])


async def fold_usage(store: Store, check: Check = no_check, *, portion: int = PORTION) -> bool:
    """Fold what finished transactions wrote, up to a portion. Safe to repeat, and for several
    processes at once: one does it, the others leave it to that one.

    Returns:
        Whether there is more to fold at once.

    Raises:
        StoreUnavailable: nothing was folded, or all of the portion.
    """
    queries = load_queries("rollups")
    async with store.transaction() as tx:
        await check(tx)
        locked = await tx.fetch(queries["lock_watermark"])
        if not locked:
            return False
        [limits] = await tx.fetch(queries["fold_until"], {**locked[0], "portion": portion})
        if not limits["is_further"]:
            return False
        await tx.execute(queries["fold"], {"until": limits["until"]})
    return bool(limits["until"] != limits["oldest"])


class Rebuild:
    """Sums everything again, step by step, so that the caller can do other things in between.

    Args:
        check: done first in each transaction.
        portion: Executions looked at in one step.
    """

    def __init__(self, store: Store, check: Check = no_check, *, portion: int = PORTION) -> None:
        self._store = store
        self._check = check
        self._portion = portion
        self._queries = load_queries("rollups")
        self._id: UUID | None = None
        self._after: UUID | None = _FIRST
        self._periods: list[str] | None = None

    async def step(self) -> str | None:
        """One transaction.

        Returns:
            What was done, for people; None once all is.

        Raises:
            StoreConflict: another process has begun a rebuild and now owns it.
            StoreUnavailable: this step was not done; begin a new rebuild.
        """
        async with self._store.transaction() as tx:
            await self._check(tx)
            if self._id is None:
                return await self._begin(tx)
            is_mine = await tx.execute(self._queries["hold_rebuild"], {"rebuild_id": self._id})
            if is_mine:
                return await self._next(tx, self._id)
        # After the transaction: it is no fault of PostgreSQL's.
        raise StoreConflict("another process is already rebuilding the sums of use")

    async def _next(self, tx: Transaction, rebuild_id: UUID) -> str | None:
        if self._after is not None:
            return await self._mark(tx, self._after)
        if self._periods is None:
            self._periods = [row["period"] for row in await tx.fetch(self._queries["periods"])]
            return f"months to sum: {len(self._periods)}"
        if self._periods:
            return await self._sum(tx, self._periods.pop(0))
        await tx.execute(self._queries["end_rebuild"], {"rebuild_id": rebuild_id})
        return None

    async def _begin(self, tx: Transaction) -> str:
        await tx.execute(self._queries["raise_epoch"])
        [row] = await tx.fetch(self._queries["begin_rebuild"])
        self._id = row["rebuild_id"]
        return "begun"

    async def _mark(self, tx: Transaction, after: UUID) -> str:
        found = await tx.fetch(
            self._queries["mark_page"], {"after": after, "portion": self._portion}
        )
        self._after = found[0]["uid"] if found else None
        return "Executions looked at" if found else "all Executions are marked"

    async def _sum(self, tx: Transaction, period: str) -> str:
        for name in ("clear_daily", "clear_monthly", "fill"):
            await tx.execute(self._queries[name], {"period": period})
        return f"summed {period}"


async def rollup_differences(store: Store) -> list[RollupDifference]:
    """Compare the tables with sums made directly from billing_events and usage_marks; exact
    while others write and fold.

    Returns:
        What differs, by month; nothing while the tables are not built, since nobody reads
        them then.

    Raises:
        StoreUnavailable: PostgreSQL cannot be used now.
    """
    queries = load_queries("rollups")
    async with store.transaction() as tx:
        periods = [row["period"] for row in await tx.fetch(queries["periods"])]
    differences: list[RollupDifference] = []
    for period in periods:
        async with store.transaction() as tx:
            rows = await tx.fetch(queries["differences"], {"period": period})
        differences += [_difference(row) for row in rows]
    return differences


def _difference(row: Mapping[str, Any]) -> RollupDifference:
    return RollupDifference(
        table="usage_daily" if row["unit_name"] == "day" else "usage_aggregates",
        period=row["bucket"],
        cluster=row["cluster"],
        tenant=row["tenant"],
        user_name=row["user_name"],
        currency=row["currency"],
        stored=_figures(row, "stored") if row["is_stored"] else None,
        recomputed=_figures(row, "wanted") if row["is_wanted"] else None,
    )


def _figures(row: Mapping[str, Any], side: str) -> UsageFigures:
    return UsageFigures(
        total_executions=row[f"{side}_executions"],
        total_duration_ms=row[f"{side}_duration_ms"],
        billed_seconds=row[f"{side}_seconds"],
        compute_units=row[f"{side}_units"],
        total_cost=row[f"{side}_cost"],
        breakdown=row[f"{side}_breakdown"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuestion:
    """Whose use is asked for.

    Attributes:
        since, until: first and last month, as 2026-11.
        by: a row for each user of a tenant, for each tenant, or for all together.
        daily: by day rather than by month.
        tenant, user: these alone.
    """

    since: str
    until: str
    by: Literal["user", "tenant", "period"] = "user"
    daily: bool = False
    tenant: str | None = None
    user: str | None = None

    def __post_init__(self) -> None:
        """
        Raises:
            InvalidRequest: a month that is none, or the last before the first.
        """
        for name, month in (("period", self.until), ("since", self.since)):
            if not _MONTH.fullmatch(month):
                raise InvalidRequest(name, f"{month[:32]!r} is not a month", "write it as 2026-11")
        if self.since > self.until:
            raise InvalidRequest("since", f"it is later than {self.until}", "swap them")


async def usage(tx: Transaction, question: UsageQuestion) -> list[dict[str, Any]]:
    """Use and cost that the login may see, exact at this moment; rows in order of
    time, tenant and user. Columns tenant and user_name that are summed over are left out."""
    query = load_queries("rollups")["usage_daily" if question.daily else "usage_monthly"]
    rows = await tx.fetch(
        query,
        {
            "since": question.since,
            "until": question.until,
            "by": question.by,
            "tenant": question.tenant,
            "user": question.user,
        },
    )
    left_out = {"user": (), "tenant": ("user_name",), "period": ("tenant", "user_name")}
    for row in rows:
        for name in left_out[question.by]:
            del row[name]
    return rows
