"""Corrections of the ledger: a row each, once for each reference."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from soulbox.model.billing import BillingEvent
from soulbox.model.errors import InvalidRequest, NotFound
from soulbox.pure.adjustments import adjustment_id, build_adjustment, check_payable
from soulbox.store.files import load_queries
from soulbox.store.ledger import LedgerStore
from soulbox.store.pool import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """An adjustment that is in the ledger.

    Attributes:
        is_new: it was written now; False: by an earlier call with the same reference.
        left: what is left of the corrected row, with all its adjustments.
    """

    event: BillingEvent
    is_new: bool
    left: Decimal


async def adjust(
    store: Store,
    event_id: UUID,
    *,
    amount: Decimal,
    reason: str,
    reference: str,
    currency: str | None = None,
) -> Adjusted:
    """Correct a row of the ledger by one more. Safe to repeat.

    Args:
        amount: signed, not zero, at most ten decimals.
        reference: what a repetition is known by.
        currency: what the amount is meant in; None: the row's.

    Raises:
        NotFound: there is no such row.
        InvalidRequest: it cannot be corrected so, or another correction has that reference.
        StoreUnavailable, StoreRefused: from PostgreSQL.
    """
    queries = load_queries("ledger")
    async with store.transaction() as tx:
        # One at a time, so that two together do not take off more than there is.
        await tx.execute(queries["lock_adjustments"])
        ledger = LedgerStore(tx)
        corrected = await ledger.one(event_id)
        if corrected is None:
            raise NotFound(
                f"event: there is no {event_id} in the ledger; take an event_id from billing_events"
            )
        account = {
            name: getattr(corrected, name)
            for name in ("tenant", "user_name", "price_plan", "starts_at")
        }
        (state,) = await tx.fetch(queries["adjusted"], {"event_id": event_id})
        already: Decimal = state["amount"]
        before = await ledger.one(adjustment_id(event_id, reference))
        if before is not None:
            if (before.amount, before.metadata.get("reason")) != (amount, reason):
                raise InvalidRequest(
                    "reference",
                    f"the event was already adjusted by {before.amount:f} {before.currency} under"
                    " this reference",
                    "give another reference to adjust it again",
                )
            return Adjusted(event=before, is_new=False, left=corrected.amount + already)
        for row in await tx.fetch(queries["payable"], account):
            check_payable(corrected, amount, row["amount"])
        event = build_adjustment(
            corrected,
            adjusted=already,
            amount=amount,
            reason=reason,
            reference=reference,
            currency=currency,
            now=state["now"],
        )
        await ledger.insert([event])
        return Adjusted(event=event, is_new=True, left=corrected.amount + already + amount)
