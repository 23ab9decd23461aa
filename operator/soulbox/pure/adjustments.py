"""A signed correction of a row of the ledger: one more row, known by its reference."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final
from uuid import UUID, uuid5

from soulbox.model.billing import BillingEvent, BillingKind
from soulbox.model.errors import InvalidRequest
from soulbox.pure.metering import EVENT_NAMESPACE

_SMALLEST: Final = Decimal("1e-10")
# No single row is worth more: a guess that keeps a slip of the point out of the ledger.
_LARGEST: Final = Decimal(1_000_000)
_TEXT_MAX: Final = 500


def adjustment_id(corrects: UUID, reference: str) -> UUID:
    """The key of the adjustment of this row under this reference."""
    return uuid5(EVENT_NAMESPACE, f"{corrects}/adjustment/{reference}")


def parse_amount(text: str) -> Decimal:
    """A signed amount of up to ten decimals.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise InvalidRequest("amount", f"{text[:32]!r} is not a number", "write it as -0.10")
    if abs(amount) >= _LARGEST:
        raise InvalidRequest("amount", f"it is not below {_LARGEST}", "correct it")
    if amount != amount.quantize(_SMALLEST):
        raise InvalidRequest("amount", "it has more than ten decimals", "round it")
    if amount == 0:
        raise InvalidRequest("amount", "it is zero", "give what to add (or, with -, to take off)")
    return amount.quantize(_SMALLEST)


def check_payable(corrected: BillingEvent, amount: Decimal, payable: Decimal) -> None:
    """What the free allowance covered was never paid, so it is not paid out.

    Args:
        payable: what the user is still to pay of all rows of its month and plan.

    Raises:
        InvalidRequest: more would be taken off than that.
    """
    if amount < 0 and payable + amount < 0:
        least = max(payable, Decimal(0))
        raise InvalidRequest(
            "amount",
            f"the free allowance covers the rest of that month under plan {corrected.price_plan};"
            f" only {least:f} {corrected.currency} of it are to be paid",
            f"take off at most {-least:f}" if least else "nothing can be taken off any more",
        )


def build_adjustment(
    corrected: BillingEvent,
    *,
    adjusted: Decimal,
    amount: Decimal,
    reason: str,
    reference: str,
    currency: str | None,
    now: datetime,
) -> BillingEvent:
    """The row that corrects another by an amount. It takes over whose and when that was; its
    own time, and so its bill, is now.

    Args:
        adjusted: sum of the adjustments of that row so far.
        amount: signed, not zero.
        reference: what a retry is known by, among the adjustments of that row.
        currency: what the amount is meant in; None: the row's.

    Raises:
        InvalidRequest: it cannot be corrected so; names the option.
    """
    if corrected.kind is BillingKind.ADJUSTMENT:
        raise InvalidRequest(
            "event",
            "it is itself an adjustment",
            f"adjust the row it corrects: {corrected.corrects}",
        )
    for name, text in (("reason", reason), ("reference", reference)):
        if not text.strip() or len(text) > _TEXT_MAX or not text.isprintable():
            raise InvalidRequest(
                name,
                f"it must be one line of 1 to {_TEXT_MAX} printable characters",
                "give a reason, for the person who reads the bill",
            )
    if currency is not None and currency != corrected.currency:
        raise InvalidRequest(
            "currency",
            f"the event is in {corrected.currency}, not in {currency[:16]}",
            f"give the amount in {corrected.currency}",
        )
    left = corrected.amount + adjusted
    if left + amount < 0:
        raise InvalidRequest(
            "amount",
            f"it is more than what is left of the event, {left:f} {corrected.currency}",
            f"take off at most {-left:f}" if left else "nothing can be taken off any more",
        )
    return BillingEvent(
        event_id=adjustment_id(corrected.event_id, reference),
        cluster=corrected.cluster,
        tenant=corrected.tenant,
        user_name=corrected.user_name,
        kind=BillingKind.ADJUSTMENT,
        pod_uid=None,
        window_hour=corrected.window_hour,
        sandbox_uid=corrected.sandbox_uid,
        execution_uid=corrected.execution_uid,
        starts_at=corrected.starts_at,
        ends_at=corrected.ends_at,
        quantity=Decimal(0),
        rounding_seconds=Decimal(0),
        unit=corrected.unit,
        compute_units=Decimal(0),
        amount=amount,
        currency=corrected.currency,
        price_plan=corrected.price_plan,
        sku=corrected.sku,
        tier=corrected.tier,
        occurred_at=now,
        corrects=corrected.event_id,
        metadata={"reason": reason, "reference": reference},
    )
