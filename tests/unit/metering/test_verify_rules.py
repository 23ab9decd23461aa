"""Each way a ledger can be wrong is one finding, and a right one is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from soulbox.model.billing import BillingEvent, PricePlan
from soulbox.model.rows import PodRunRow
from soulbox.pure.adjustments import build_adjustment
from soulbox.pure.metering import bill_run
from soulbox.pure.prices import PriceBook
from soulbox.pure.verify import FindingKind, Refused, refused, verify_adjustment, verify_pod
from tests.unit.metering.test_windows import HOUR, PLAN, RUN, moments, short_spans, terms

BOOK = PriceBook([PLAN])
ROWS = list(bill_run(RUN, BOOK))
LIVE = replace(RUN, finished_at=None, end_source=None)


def kinds(
    run: PodRunRow,
    rows: list[BillingEvent],
    book: PriceBook = BOOK,
    seen: datetime | None = None,
) -> list[FindingKind]:
    _, found = verify_pod(run, rows, book, node_seen_at=seen)
    return [one.kind for one in found]


@given(moments, short_spans, terms)
def test_what_was_billed_is_right(start: datetime, span: timedelta, plan: PricePlan) -> None:
    run = replace(RUN, started_at=start, finished_at=start + span)
    book = PriceBook([plan])
    rows = list(bill_run(run, book))
    wanted, found = verify_pod(run, rows, book, node_seen_at=None)
    assert (wanted, found) == (rows, [])
    # So are the hours of a pod that still runs, at any moment of it.
    live = replace(run, finished_at=None, end_source=None)
    early = list(bill_run(live, book, proven_until=start + span))
    assert verify_pod(live, early, book, node_seen_at=start + span)[1] == []


WRONG: dict[str, tuple[dict[str, Any], list[FindingKind]]] = {
    "an amount": ({"amount": Decimal("0.5")}, [FindingKind.DIFFERS]),
    "units": ({"compute_units": Decimal(1)}, [FindingKind.DIFFERS]),
    "seconds": ({"quantity": Decimal(1)}, [FindingKind.DIFFERS]),
    "rounding": ({"rounding_seconds": Decimal(1)}, [FindingKind.DIFFERS]),
    "whose": ({"user_name": "bob"}, [FindingKind.DIFFERS]),
    "tenant": ({"tenant": "other"}, [FindingKind.DIFFERS]),
    "its end": ({"ends_at": RUN.started_at}, [FindingKind.DIFFERS]),
    "currency": ({"currency": "EUR"}, [FindingKind.DIFFERS]),
    "tier": ({"tier": "gold"}, [FindingKind.PRICE]),
    "no plan": (
        {"price_plan": None, "amount": Decimal(0)},
        [FindingKind.PRICE],
    ),
    "a plan that is not there": ({"price_plan": "p9"}, [FindingKind.DIFFERS, FindingKind.PRICE]),
}


@pytest.mark.parametrize("case", WRONG)
def test_row_that_says_otherwise_is_found(case: str) -> None:
    changes, want = WRONG[case]
    assert kinds(RUN, [replace(ROWS[0], **changes), *ROWS[1:]]) == want


MADE_GOOD: dict[str, dict[str, Any]] = {
    "an amount": {"amount": Decimal("0.5")},
    "hours that never ran": {
        "ends_at": ROWS[0].ends_at + timedelta(seconds=1),
        "quantity": ROWS[0].quantity + 1,
        "compute_units": ROWS[0].compute_units * 2,
        "amount": ROWS[0].amount * 2,
    },
    "another plan": {"price_plan": "dear", "amount": ROWS[0].amount * 2},
}


@pytest.mark.parametrize("case", MADE_GOOD)
def test_row_whose_adjustments_make_up_for_it_is_a_warning_and_exactly_then(case: str) -> None:
    row = replace(ROWS[0], **MADE_GOOD[case])
    book = PriceBook([PLAN, replace(PLAN, name="dear", sku="x", rate=PLAN.rate * 2)])
    exact = ROWS[0].amount - row.amount
    for adjusted, want in ((exact, True), (exact + Decimal("1e-10"), False)):
        _, found = verify_pod(
            RUN, [row, *ROWS[1:]], book, node_seen_at=None, adjusted={row.event_id: adjusted}
        )
        assert [one.is_warning for one in found] == [want]


def test_row_that_nothing_proves_is_made_good_by_taking_all_of_it_off() -> None:
    other = replace(next(bill_run(replace(RUN, pod_uid=RUN.cluster), BOOK)), pod_uid=RUN.pod_uid)
    adjusted = {other.event_id: -other.amount}
    _, (found,) = verify_pod(RUN, [*ROWS, other], BOOK, node_seen_at=None, adjusted=adjusted)
    assert found.kind is FindingKind.CORRECTED


def test_whose_a_row_is_no_adjustment_makes_good() -> None:
    row = replace(ROWS[0], user_name="bob", amount=ROWS[0].amount * 2)
    adjusted = {row.event_id: -ROWS[0].amount}
    _, (found,) = verify_pod(RUN, [row, *ROWS[1:]], BOOK, node_seen_at=None, adjusted=adjusted)
    assert found.kind is FindingKind.DIFFERS


def test_missing_and_foreign_rows_are_found() -> None:
    assert kinds(RUN, ROWS[1:]) == [FindingKind.MISSING]
    other = next(bill_run(replace(RUN, pod_uid=RUN.cluster), BOOK))
    assert kinds(RUN, [*ROWS, replace(other, pod_uid=RUN.pod_uid)]) == [FindingKind.EXTRA]


def test_row_of_another_plan_than_was_valid_is_found() -> None:
    cheap = replace(PLAN, name="cheap", sku="x", rate=Decimal(0))
    book = PriceBook([PLAN, cheap])
    row = replace(ROWS[0], price_plan="cheap", amount=Decimal(0))
    assert kinds(RUN, [row, *ROWS[1:]], book) == [FindingKind.PRICE]


def test_gap_of_a_running_pod_is_found() -> None:
    rows = list(bill_run(LIVE, BOOK, proven_until=RUN.started_at + 5 * HOUR))
    assert kinds(LIVE, rows) == []
    assert kinds(LIVE, [rows[0], rows[2]]) == [FindingKind.MISSING]


def test_running_pod_whose_hours_are_over_is_overdue() -> None:
    hour = RUN.started_at.replace(minute=0)
    assert kinds(LIVE, [], seen=hour + HOUR) == []
    assert kinds(LIVE, [], seen=hour + 2 * HOUR) == []
    _, (found,) = verify_pod(LIVE, [], BOOK, node_seen_at=hour + 5 * HOUR)
    assert (found.kind, found.hour) == (FindingKind.OVERDUE, hour)
    assert found.text.startswith("3 hours from this one on")
    assert not found.is_warning


def test_pod_that_is_gone_without_an_end_is_a_warning() -> None:
    gone = replace(LIVE, deleted_at=RUN.started_at + 9 * HOUR)
    rows = list(bill_run(gone, BOOK, proven_until=RUN.started_at + 3 * HOUR))
    _, (found,) = verify_pod(gone, rows, BOOK, node_seen_at=RUN.started_at + 99 * HOUR)
    assert found.kind is FindingKind.END_UNKNOWN
    assert found.is_warning


def test_adjustment_that_fits_is_right_and_any_other_is_found() -> None:
    made = build_adjustment(
        ROWS[0],
        adjusted=Decimal(0),
        amount=Decimal("-0.001"),
        reason="r",
        reference="1",
        currency=None,
        now=RUN.started_at,
    )

    def found(row: BillingEvent, adjusted: str = "-0.001") -> list[str]:
        return [one.text for one in verify_adjustment(row, ROWS[0], Decimal(adjusted))]

    assert found(made) == []
    assert found(replace(made, metadata={"reason": "by hand"})) == []
    assert found(replace(made, tenant="x"))[0].startswith(
        "its tenant differs from that of the row it"
    )
    assert found(replace(made, currency="EUR"))[0].startswith("its currency differs")
    assert found(replace(made, metadata={"reason": "r", "reference": "2"})) == [
        "its event_id does not follow from its reference"
    ]
    assert found(made, "-1")[0].startswith(f"with it {ROWS[0].event_id} comes to -0.99")


@pytest.mark.parametrize(
    ("starts", "ends", "since", "until", "want"),
    [
        (None, None, 5, 6, True),
        (1, 2, None, None, True),
        (1, 2, None, 1, False),
        (1, 2, None, 2, True),
        (1, 2, 2, None, True),
        (1, 2, 3, None, False),
        (1, None, 9, None, True),
    ],
)
def test_dead_letter_is_in_a_scope_that_its_time_may_touch(
    starts: int | None, ends: int | None, since: int | None, until: int | None, want: bool
) -> None:
    first, last, low, high = (
        None if hours is None else HOUR * hours + RUN.started_at
        for hours in (starts, ends, since, until)
    )
    letter = Refused(id=1, is_bill=False, uid="x", error="odd", starts_at=first, ends_at=last)
    assert letter.may_be_in(low, high) is want
    assert refused(letter).text.startswith("-/- with UID x is in the dead letters")
