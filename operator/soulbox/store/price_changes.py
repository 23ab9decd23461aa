"""Prices from a file into the database: all of it in one transaction, or none."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from soulbox.model.billing import AccountTier, PriceList, PricePlan
from soulbox.model.errors import CommandError, InvalidRequest, StoreRefused, StoreUnavailable
from soulbox.pure.price_changes import PriceChanges, decide_price_changes
from soulbox.store.files import load_queries
from soulbox.store.ledger import (
    PLAN_IMMUTABLE_CONSTRAINT,
    PLAN_NUMBERS_CONSTRAINT,
    PLAN_OVERLAP_CONSTRAINT,
    PLAN_UNBILLED_CONSTRAINT,
    TIER_IMMUTABLE_CONSTRAINT,
    TIER_OVERLAP_CONSTRAINT,
    TIER_UNBILLED_CONSTRAINT,
    PriceStore,
)
from soulbox.store.pool import Store, Transaction

# What the database guards beyond what is decided before: problem and remedy by constraint.
_REFUSALS: Final = {
    PLAN_UNBILLED_CONSTRAINT: (
        "time that is already billed would cost something else",
        "let it begin later; correct what was billed with soulbox billing adjust",
    ),
    TIER_UNBILLED_CONSTRAINT: (
        "time that is already billed would be in another tier",
        "let it begin later",
    ),
    PLAN_NUMBERS_CONSTRAINT: (
        "with its minimum and increment, one vCPU could cost over 1,000,000 in one row of the"
        " ledger",
        "correct rate, minimum_seconds or increment_seconds",
    ),
    PLAN_OVERLAP_CONSTRAINT: ("it overlaps another plan of its sku and tier", "correct either"),
    TIER_OVERLAP_CONSTRAINT: ("it overlaps another tier of its account", "correct either"),
    PLAN_IMMUTABLE_CONSTRAINT: ("the plan has begun in the meantime", "run the command again"),
    TIER_IMMUTABLE_CONSTRAINT: ("the tier has begun in the meantime", "run the command again"),
}
_NO_RIGHT: Final = "42501"


class _Undone(Exception):
    """Rolls a dry run back."""


async def apply_prices(
    store: Store, wanted: PriceList, *, allow_new_sku: bool = False, dry_run: bool = False
) -> PriceChanges:
    """Bring the plans and tiers of a file into the database. Safe to repeat.

    Args:
        allow_new_sku: take plans for SKUs that no pod ran as yet.
        dry_run: do everything, then undo it.

    Returns:
        What was changed (dry run: would be).

    Raises:
        InvalidRequest: a change that may not be; nothing is changed.
        CommandError: the login may not change prices.
        StoreUnavailable, StoreRefused: from PostgreSQL.
    """
    changes: PriceChanges | None = None
    try:
        async with store.transaction() as tx:
            changes = await _apply(tx, wanted, allow_new_sku=allow_new_sku)
            if dry_run:
                raise _Undone
    except _Undone:
        pass
    except StoreUnavailable as error:
        if error.sqlstate == _NO_RIGHT:
            raise CommandError(
                "the login may not change prices; use one that is a member of soulbox_owner"
            ) from error
        raise
    assert changes is not None
    return changes


async def stored_prices(store: Store) -> PriceList:
    """All plans and tiers.

    Raises:
        StoreUnavailable, StoreRefused: from PostgreSQL.
    """
    async with store.transaction() as tx:
        return await _stored(tx)


async def _stored(tx: Transaction) -> PriceList:
    prices = PriceStore(tx)
    return PriceList(plans=tuple(await prices.plans()), tiers=tuple(await prices.tiers()))


async def _apply(tx: Transaction, wanted: PriceList, *, allow_new_sku: bool) -> PriceChanges:
    queries = load_queries("prices")
    await tx.execute(queries["lock_prices"])
    (known,) = await tx.fetch(
        queries["known_skus"], {"skus": sorted({plan.sku for plan in wanted.plans})}
    )
    changes = decide_price_changes(
        wanted,
        await _stored(tx),
        now=known["now"],
        known_skus=known["skus"],
        allow_new_sku=allow_new_sku,
    )
    steps: tuple[tuple[str, Iterable[PricePlan | AccountTier]], ...] = (
        ("delete_plan", changes.plans_replaced),
        ("end_plan", changes.plans_ended),
        ("insert_plan", (*changes.plans_replaced, *changes.plans_added)),
        ("delete_tier", changes.tiers_replaced),
        ("end_tier", changes.tiers_ended),
        ("insert_tier", (*changes.tiers_replaced, *changes.tiers_added)),
    )
    for query, rows in steps:
        for row in rows:
            try:
                await tx.execute(queries[query], asdict(row))
            except StoreRefused as error:
                raise _blame(wanted, row, error) from error
    return changes


def _blame(
    wanted: PriceList, row: PricePlan | AccountTier, error: StoreRefused
) -> InvalidRequest | StoreRefused:
    known = _REFUSALS.get(error.constraint or "")
    if known is None:
        return error
    if isinstance(row, PricePlan):
        place = f"plans[{wanted.plans.index(row)}]"
        if error.constraint == PLAN_NUMBERS_CONSTRAINT:
            return InvalidRequest(f"{place}.rate", *known)
    else:
        place = f"tiers[{wanted.tiers.index(row)}]"
    return InvalidRequest(f"{place}.valid_from", *known)
