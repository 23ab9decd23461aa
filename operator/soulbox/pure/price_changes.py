"""What a file of prices changes in the database, and whether it may.

What has begun only ever gets an end that is still to come; what has not begun is replaced;
what the file does not name stays as it is. The database refuses the same things by itself
(triggers, exclusion constraints): here they are found before anything is written, all with
the field of the file that is to blame.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import pairwise
from typing import Final

from soulbox.model.billing import DEFAULT_SKU, DEFAULT_TIER, AccountTier, PriceList, PricePlan
from soulbox.model.errors import InvalidRequest

# What may change once a plan, or a tier, has begun.
_FREE_TO_CHANGE: Final = frozenset({"valid_to", "description"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChanges:
    """What to write, in this order: replaced rows go, ended ones get their new end, then those
    that are replaced or added are inserted."""

    plans_ended: tuple[PricePlan, ...]
    plans_replaced: tuple[PricePlan, ...]
    plans_added: tuple[PricePlan, ...]
    tiers_ended: tuple[AccountTier, ...]
    tiers_replaced: tuple[AccountTier, ...]
    tiers_added: tuple[AccountTier, ...]
    unchanged: int


def decide_price_changes(
    wanted: PriceList,
    stored: PriceList,
    *,
    now: datetime,
    known_skus: Collection[str],
    allow_new_sku: bool,
) -> PriceChanges:
    """Compare a file with what is stored.

    Args:
        now: the database's clock.
        known_skus: SKUs that pods ran as; those of stored plans are known anyway.

    Raises:
        InvalidRequest: the first change that cannot be made; names the field of the file.
    """
    skus = {DEFAULT_SKU, *known_skus, *(plan.sku for plan in stored.plans)}
    have_plans = {plan.name: plan for plan in stored.plans}
    have_tiers = {_account(one): one for one in stored.tiers}
    places: dict[str, int] = {}
    sorted_plans: dict[str, list[PricePlan]] = {"ended": [], "replaced": [], "added": []}
    unchanged = 0
    for index, plan in enumerate(wanted.plans):
        field = f"plans[{index}]"
        if plan.name in places:
            raise InvalidRequest(
                f"{field}.name",
                f'"{plan.name}" is the name of plans[{places[plan.name]}] too',
                "give each plan a name of its own",
            )
        places[plan.name] = index
        if plan.sku not in skus and not allow_new_sku:
            raise InvalidRequest(
                f"{field}.sku",
                f'no pod has run under SKU "{plan.sku}", and no plan has it',
                "compare it with spec.sku of the SandboxClasses, or give --allow-new-sku",
            )
        verdict = _verdict(field, f'plan "{plan.name}"', plan, have_plans.get(plan.name), now)
        if verdict:
            sorted_plans[verdict].append(plan)
        else:
            unchanged += 1
    _refuse_overlaps("plans", wanted.plans, stored.plans)
    tier_names = {DEFAULT_TIER, *(plan.tier for plan in (*stored.plans, *wanted.plans))}
    sorted_tiers: dict[str, list[AccountTier]] = {"ended": [], "replaced": [], "added": []}
    for index, one in enumerate(wanted.tiers):
        field = f"tiers[{index}]"
        if one.tier not in tier_names:
            raise InvalidRequest(
                f"{field}.tier",
                f'no plan has tier "{one.tier}"',
                "add such a plan, or correct the tier",
            )
        verdict = _verdict(field, "that tier", one, have_tiers.get(_account(one)), now)
        if verdict:
            sorted_tiers[verdict].append(one)
        else:
            unchanged += 1
    _refuse_overlaps("tiers", wanted.tiers, stored.tiers)
    return PriceChanges(
        plans_ended=tuple(sorted_plans["ended"]),
        plans_replaced=tuple(sorted_plans["replaced"]),
        plans_added=tuple(sorted_plans["added"]),
        tiers_ended=tuple(sorted_tiers["ended"]),
        tiers_replaced=tuple(sorted_tiers["replaced"]),
        tiers_added=tuple(sorted_tiers["added"]),
        unchanged=unchanged,
    )


_Row = PricePlan | AccountTier


def _account(one: AccountTier) -> tuple[str, str, datetime]:
    return (one.tenant, one.user_name, one.valid_from)


def _verdict(field: str, what: str, want: _Row, have: _Row | None, now: datetime) -> str:
    """ "added", "replaced" or "ended"; "" where nothing changes."""
    if have is None:
        return "added"
    changed = [
        one.name for one in fields(want) if getattr(want, one.name) != getattr(have, one.name)
    ]
    if not changed:
        return ""
    if have.valid_from > now:
        return "replaced"
    for name in changed:
        if name not in _FREE_TO_CHANGE:
            raise InvalidRequest(
                f"{field}.{name}",
                f"{what} has begun and keeps its {name}",
                "end it with a valid_to in the future and add one that begins there",
            )
    if "valid_to" in changed:
        if have.valid_to is not None and have.valid_to <= now:
            raise InvalidRequest(f"{field}.valid_to", f"{what} has ended", "restore its end")
        if want.valid_to is not None and want.valid_to <= now:
            raise InvalidRequest(
                f"{field}.valid_to",
                f"{what} has begun and cannot end in the past",
                "give a time in the future",
            )
    return "ended"


def _refuse_overlaps(kind: str, wanted: Sequence[_Row], stored: Sequence[_Row]) -> None:
    """Ranges of one SKU and tier, or of one user, must not overlap: those of the file, and
    those stored that it does not name."""
    named = {_identity(row) for row in wanted}
    places = {_identity(row): index for index, row in enumerate(wanted)}
    groups: dict[tuple[str, str], list[_Row]] = {}
    for row in (*wanted, *(row for row in stored if _identity(row) not in named)):
        groups.setdefault(_group(row), []).append(row)
    for rows in groups.values():
        rows.sort(key=lambda row: row.valid_from)
        for before, after in pairwise(rows):
            if before.valid_to is not None and before.valid_to <= after.valid_from:
                continue
            culprit = after if _identity(after) in places else before
            other = before if culprit is after else after
            if _identity(culprit) not in places:
                continue  # both stored: the database would not have taken them
            end = "has no end" if other.valid_to is None else f"ends {other.valid_to.isoformat()}"
            raise InvalidRequest(
                f"{kind}[{places[_identity(culprit)]}].valid_from",
                f"its time overlaps that of {_called(other)}, which begins "
                f"{other.valid_from.isoformat()} and {end}",
                "let one end (valid_to) where the next begins; a stored plan that should end must"
                " be in the file",
            )


def _identity(row: _Row) -> tuple[object, ...]:
    return (row.name,) if isinstance(row, PricePlan) else _account(row)


def _group(row: _Row) -> tuple[str, str]:
    return (row.sku, row.tier) if isinstance(row, PricePlan) else (row.tenant, row.user_name)


def _called(row: _Row) -> str:
    if isinstance(row, PricePlan):
        return f'plan "{row.name}"'
    return f'tier "{row.tier}" of the same account'
