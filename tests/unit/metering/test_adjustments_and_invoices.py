"""Corrections and invoices: what is refused, and that lines add up to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model.billing import BillingEvent, BillingKind, plain_decimal
from soulbox.model.errors import InvalidRequest
from soulbox.model.periods import parse_period
from soulbox.pure.adjustments import adjustment_id, build_adjustment, parse_amount
from soulbox.pure.invoice import InvoiceLine, LineType, build_invoice, round_to_coin
from soulbox.pure.metering import bill_run
from soulbox.pure.prices import PriceBook
from tests.unit.metering.test_windows import PLAN, RUN

NOW = datetime(2026, 12, 5, tzinfo=UTC)
ROW = next(bill_run(RUN, PriceBook([PLAN])))


def adjustment(row: BillingEvent = ROW, **changes: Any) -> BillingEvent:
    base: dict[str, Any] = {
        "adjusted": Decimal(0),
        "amount": Decimal("-0.001"),
        "reason": "outage",
        "reference": "ticket-1",
        "currency": None,
        "now": NOW,
    }
    return build_adjustment(row, **(base | changes))


def test_adjustment_takes_over_whose_and_when_and_is_billed_now() -> None:
    made = adjustment()
    assert made.event_id == adjustment_id(ROW.event_id, "ticket-1")
    assert (made.kind, made.corrects, made.pod_uid) == (
        BillingKind.ADJUSTMENT,
        ROW.event_id,
        None,
    )
    for name in ("tenant", "user_name", "starts_at", "ends_at", "price_plan", "sku", "tier"):
        assert getattr(made, name) == getattr(ROW, name)
    assert (made.amount, made.quantity, made.compute_units) == (Decimal("-0.001"), 0, 0)
    assert made.occurred_at == NOW
    assert made.metadata == {"reason": "outage", "reference": "ticket-1"}


def test_adjustment_may_take_off_all_and_no_more() -> None:
    assert adjustment(amount=-ROW.amount).amount == -ROW.amount
    some = Decimal("0.004")
    assert adjustment(adjusted=-some, amount=some - ROW.amount)
    with pytest.raises(InvalidRequest, match="amount: it is more than what is left of the event"):
        adjustment(amount=-ROW.amount - Decimal("1e-10"))
    with pytest.raises(InvalidRequest, match="nothing can be taken off any more"):
        adjustment(adjusted=-ROW.amount)
    assert adjustment(amount=Decimal(5)).amount == 5


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"reason": ""}, "reason: it must be one line of 1 to 500 printable characters"),
        ({"reason": " "}, "reason: it must be one line"),
        ({"reason": "a\nb"}, "reason: it must be one line"),
        ({"reason": "x" * 501}, "reason: it must be one line"),
        ({"reference": ""}, "reference: it must be one line"),
        ({"currency": "EUR"}, "currency: the event is in USD, not in EUR; give the amount in USD"),
        ({"row": adjustment()}, "event: it is itself an adjustment; adjust the row it corrects: "),
    ],
)
def test_adjustment_is_refused(changes: dict[str, Any], want: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        adjustment(**changes)
    assert str(raised.value).startswith(want)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a lot", "amount: 'a lot' is not a number; write it as -0.10"),
        ("NaN", "amount: 'NaN' is not a number"),
        ("-inf", "amount: '-inf' is not a number"),
        ("0", "amount: it is zero"),
        ("-0.00", "amount: it is zero"),
        ("0.00000000001", "amount: it has more than ten decimals; round it"),
        ("1000000", "amount: it is not below 1000000; correct it"),
        ("-1e30", "amount: it is not below 1000000"),
    ],
)
def test_amount_is_refused(text: str, want: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_amount(text)
    assert str(raised.value).startswith(want)


def test_amount_is_read_as_it_stands() -> None:
    assert parse_amount("-0.10") == Decimal("-0.1")
    assert parse_amount("0.0000000001") == Decimal("1e-10")


# Months.


@pytest.mark.parametrize(
    "text", ["2026", "2026-13", "2026-00", "26-11", "2026-11-01", "", "９026-11"]
)
def test_period_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"period: .* is not a month; write it as 2026-11"):
        parse_period(text)


def test_period_is_a_month_of_utc() -> None:
    found = parse_period("2026-12")
    assert (found.starts_at, found.ends_at) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert str(found) == "2026-12"


# Invoices.

amounts = st.integers(-(10**18), 10**18).map(lambda units: Decimal(units).scaleb(-10))
lines = st.lists(
    st.builds(
        InvoiceLine,
        type=st.sampled_from(LineType),
        tenant=st.sampled_from(["a", "b"]),
        currency=st.sampled_from(["USD", "EUR", "JPY"]),
        amount=amounts,
        sku=st.sampled_from([None, "gpu"]),
    )
)


@given(lines)
def test_lines_add_up_to_the_totals_to_the_last_digit(found: list[InvoiceLine]) -> None:
    made = build_invoice("ada", None, parse_period("2026-11"), found)
    assert len(made.lines) == len(found)
    for total in made.totals:
        mine = [line.amount for line in found if line.currency == total.currency]
        assert total.total == sum(mine, Decimal(0))
        assert total.total == total.usage + total.allowance + total.adjustments
        assert abs(total.due - total.total) <= Decimal("0.5")
    assert {total.currency for total in made.totals} == {line.currency for line in found}


@pytest.mark.parametrize(
    ("amount", "currency", "want"),
    [
        ("0.005", "USD", "0.01"),
        ("0.0049999999", "USD", "0.00"),
        ("-0.005", "USD", "-0.01"),
        ("0.5", "JPY", "1"),
        ("0.0005", "KWD", "0.001"),
    ],
)
def test_due_is_rounded_half_up_to_the_coin(amount: str, currency: str, want: str) -> None:
    assert f"{round_to_coin(Decimal(amount), currency):f}" == want


@given(st.integers(-(10**40), 10**40), st.integers(0, 20))
def test_plain_decimal_loses_no_digit(digits: int, scale: int) -> None:
    import decimal

    with decimal.localcontext(prec=60):
        value = Decimal(digits).scaleb(-scale)
    text = plain_decimal(value)
    assert Decimal(text) == value
    assert "e" not in text.lower()
    assert not text.endswith(".")


def test_nothing_is_never_less_than_nothing() -> None:
    assert str(round_to_coin(Decimal("-0.004"), "USD")) == "0.00"
    assert str(round_to_coin(Decimal("-0.005"), "USD")) == "-0.01"
