"""What running time costs: compute units, amounts, and which plan applies.

Rounding, stated once: compute units and amounts are rounded half up to 10 decimals, the
amount from the compute units as rounded. PostgreSQL's `round(x, 10)` does the same, so
one line of SQL re-derives a row: amount = round(compute_units * rate, 10).
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

from soulbox.model.billing import DEFAULT_SKU, DEFAULT_TIER, AccountTier, Charge, PricePlan

__all__ = ["Charge", "PriceBook", "PricePlan", "charge", "rounding_seconds"]

_TEN_DECIMALS: Final = Decimal("1e-10")
# Exact before rounding: 2^63 bytes has 31 decimals in GiB/2, 2^63 seconds 19 digits, a
# rate 20. Decimal's default of 28 digits would round earlier, and twice.
_EXACT: Final = Context(prec=120, rounding=ROUND_HALF_UP)
_MEMORY_BYTES_PER_UNIT: Final = Decimal(2 * 2**30)


def charge(
    seconds: Decimal, cpu_millicores: int, memory_bytes: int, plan: PricePlan | None
) -> Charge:
    """The price of running with these limits for so long.

    One compute unit is one vCPU or 2 GiB, whichever is more, for one second.

    Args:
        seconds: zero or more.
        cpu_millicores: the CPU limit, zero or more.
        memory_bytes: the memory limit, zero or more.
        plan: None costs nothing; the compute units are the same.

    Raises:
        ValueError: a negative or non-finite figure.
    """
    if not seconds.is_finite() or seconds < 0 or cpu_millicores < 0 or memory_bytes < 0:
        raise ValueError("seconds, cpu_millicores and memory_bytes must be zero or more")
    size = max(
        _EXACT.divide(Decimal(cpu_millicores), Decimal(1000)),
        _EXACT.divide(Decimal(memory_bytes), _MEMORY_BYTES_PER_UNIT),
    )
    compute_units = _EXACT.quantize(_EXACT.multiply(seconds, size), _TEN_DECIMALS)
    rate = Decimal(0) if plan is None else plan.rate
    amount = _EXACT.quantize(_EXACT.multiply(compute_units, rate), _TEN_DECIMALS)
    return Charge(compute_units=compute_units, amount=amount)


def rounding_seconds(total_seconds: Decimal, plan: PricePlan | None) -> Decimal:
    """What a pod is billed beyond the time it ran: the plan's minimum first, then up to a
    multiple of its increment. Without a plan nothing.

    Args:
        total_seconds: the pod's whole running time, zero or more.
    """
    if plan is None:
        return Decimal(0)
    billed = max(total_seconds, Decimal(plan.minimum_seconds))
    if plan.increment_seconds:
        increment = Decimal(plan.increment_seconds)
        billed += _EXACT.remainder(increment - _EXACT.remainder(billed, increment), increment)
    return billed - total_seconds


class PriceBook:
    """All price plans and the tiers of users, as one immutable value."""

    def __init__(self, plans: Iterable[PricePlan], tiers: Iterable[AccountTier] = ()) -> None:
        self._tiers: dict[tuple[str, str], tuple[AccountTier, ...]] = {}
        for one in tiers:
            account = (one.tenant, one.user_name)
            self._tiers[account] = (*self._tiers.get(account, ()), one)
        self._plans: dict[tuple[str, str], tuple[PricePlan, ...]] = {}
        self._by_name: dict[str, PricePlan] = {}
        for plan in sorted(plans, key=lambda plan: (plan.valid_from, plan.name)):
            key = (plan.sku, plan.tier)
            self._plans[key] = (*self._plans.get(key, ()), plan)
            self._by_name[plan.name] = plan

    def tier_of(self, tenant: str, user_name: str, at: datetime) -> str:
        """The tier of time that begins at `at`: the user's own, else the tenant's, else "free"."""
        for account in ((tenant, user_name), (tenant, "")):
            for one in self._tiers.get(account, ()):
                if one.applies_at(at):
                    return one.tier
        return DEFAULT_TIER

    def plan_for(self, sku: str, tier: str, at: datetime) -> PricePlan | None:
        """The plan that prices time starting at `at`.

        A SKU without a plan of its own is priced as SKU "default", a tier without one as
        tier "free", in this order: (sku, tier), (default, tier), (sku, free),
        (default, free). None when none of them is valid then.
        """
        for key in (
            (sku, tier),
            (DEFAULT_SKU, tier),
            (sku, DEFAULT_TIER),
            (DEFAULT_SKU, DEFAULT_TIER),
        ):
            for plan in self._plans.get(key, ()):
                if plan.applies_at(at):
                    return plan
        return None

    def named(self, name: str) -> PricePlan | None:
        """The plan of this name; None when there is none."""
        return self._by_name.get(name)

    def __len__(self) -> int:
        return len(self._by_name)
