"""Hour windows: properties for any start and end, and the table of edges."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model.billing import AccountTier, BillingKind, EndSource
from soulbox.model.rows import PodRunRow
from soulbox.pure.metering import (
    EVENT_NAMESPACE,
    PROOF_MARGIN,
    bill_run,
    billing_kind,
    event_id,
    full_windows,
    last_hour,
    windows,
)
from soulbox.pure.prices import PriceBook, PricePlan, charge

HOUR = timedelta(hours=1)
ANCIENT = datetime(2000, 1, 1, tzinfo=UTC)
PLAN = PricePlan(
    name="p1",
    sku="default",
    tier="free",
    rate=Decimal("0.00002"),
    currency="USD",
    valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    valid_to=None,
)
RUN = PodRunRow(
    pod_uid=UUID(int=1),
    cluster=UUID(int=2),
    tenant="t",
    user_name="ada",
    namespace="n",
    pod_name="p",
    owner_name="box",
    class_name="python",
    sandbox_uid=UUID(int=3),
    execution_uid=None,
    incarnation=1,
    node="node-1",
    cpu_millicores=250,
    memory_bytes=256 * 2**20,
    sku="default",
    started_at=datetime(2026, 11, 22, 10, 30, tzinfo=UTC),
    finished_at=datetime(2026, 11, 22, 12, 0, 10, tzinfo=UTC),
    end_source=EndSource.KUBELET,
    exit_reason="Completed",
    resource_version=1,
    deleted_at=None,
)

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    # hypothesis takes the bounds naive and adds the zone itself.
    datetime(2001, 1, 1),  # noqa: DTZ001
    datetime(2199, 1, 1),  # noqa: DTZ001
    timezones=zones,
)
# Up to two months: longer only repeats the same hour.
spans = st.timedeltas(timedelta(0), timedelta(days=62))
# For what bills each hour several times over: these are two hundred already.
short_spans = st.timedeltas(timedelta(0), timedelta(days=4))


@given(moments, spans)
def test_windows_sum_to_exactly_the_running_time(start: datetime, span: timedelta) -> None:
    found = list(windows(start, start + span))
    total = sum((window.seconds for window in found), Decimal(0))
    microseconds = span // timedelta(microseconds=1)
    assert total == Decimal(microseconds).scaleb(-6)


@given(moments, spans)
def test_windows_lie_in_their_hours_without_gap_or_overlap(
    start: datetime, span: timedelta
) -> None:
    found = list(windows(start, start + span))
    assert found[0].starts_at == start
    assert found[-1].ends_at == start + span
    for window in found:
        assert window.hour.timestamp() % 3600 == 0
        assert window.hour <= window.starts_at <= window.ends_at <= window.hour + HOUR
    for one, following in pairwise(found):
        assert one.ends_at == following.starts_at == following.hour
    assert len({window.hour for window in found}) == len(found)


@given(moments, spans, spans)
def test_hours_billed_while_running_are_those_billed_at_the_end(
    start: datetime, seen_after: timedelta, ran_on: timedelta
) -> None:
    """Whenever the Lease is looked at while the pod runs, no row differs later."""
    renewed = start + seen_after
    end = renewed + ran_on
    final = {window.hour: window for window in windows(start, end)}
    for window in full_windows(start, renewed):
        assert final[window.hour] == window
        assert window.ends_at == window.hour + HOUR
        assert window.ends_at + PROOF_MARGIN <= renewed


@given(moments, spans)
def test_every_hour_is_billed_once_the_lease_proves_it(start: datetime, span: timedelta) -> None:
    proven = list(full_windows(start, start + span))
    whole = [
        window
        for window in windows(start, start + span)
        if window.hour + HOUR + PROOF_MARGIN <= start + span
    ]
    assert proven == whole


@pytest.mark.parametrize(
    ("start", "end", "want_seconds"),
    [
        pytest.param("10:30:00", "10:30:00", ["0"], id="no time at all still has a row"),
        pytest.param("10:30:00", "10:29:00", ["0"], id="the node's clock was set back"),
        pytest.param("10:00:00", "11:00:00", ["3600"], id="exactly one hour is one row"),
        pytest.param("10:59:59", "11:00:01", ["1", "1"], id="across an hour"),
        pytest.param("11:00:00", "11:00:00", ["0"], id="nothing, on the hour"),
        pytest.param("10:30:00", "12:00:00", ["1800", "3600"], id="ends on the hour"),
    ],
)
def test_windows_at_the_edges(start: str, end: str, want_seconds: list[str]) -> None:
    found = windows(
        datetime.fromisoformat(f"2026-11-22T{start}Z"), datetime.fromisoformat(f"2026-11-22T{end}Z")
    )
    assert [window.seconds for window in found] == [Decimal(one) for one in want_seconds]


def test_windows_are_cut_in_utc_whatever_zone_the_times_are_in() -> None:
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    start = datetime(2026, 11, 22, 10, 50, tzinfo=kathmandu)
    found = list(windows(start, start + timedelta(minutes=20)))
    assert [window.hour.isoformat() for window in found] == [
        "2026-11-22T05:00:00+00:00",
    ]


def test_full_windows_before_the_start_are_none() -> None:
    start = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    assert list(full_windows(start, start - timedelta(days=3))) == []


def test_full_windows_wait_for_the_margin_after_the_hour() -> None:
    start = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    hour_end = datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert list(full_windows(start, hour_end + PROOF_MARGIN - timedelta(microseconds=1))) == []
    (window,) = full_windows(start, hour_end + PROOF_MARGIN)
    assert (window.starts_at, window.ends_at) == (start, hour_end)


def test_event_id_is_made_from_pod_kind_and_hour() -> None:
    hour = datetime(2026, 11, 22, 10, tzinfo=UTC)
    want = uuid5(
        UUID("be67f3a9-3bf2-5107-8102-42e6a16c85c8"),
        "00000000-0000-0000-0000-000000000001/sandbox_runtime/2026-11-22T10:00:00Z",
    )
    assert event_id(UUID(int=1), BillingKind.SANDBOX_RUNTIME, hour) == want
    local = hour.astimezone(timezone(timedelta(hours=2)))
    assert event_id(UUID(int=1), BillingKind.SANDBOX_RUNTIME, local) == want
    assert UUID("be67f3a9-3bf2-5107-8102-42e6a16c85c8") == EVENT_NAMESPACE


def test_bill_of_a_finished_pod_has_all_its_windows() -> None:
    events = list(bill_run(RUN, PriceBook([PLAN])))
    assert [event.quantity for event in events] == [Decimal(1800), Decimal(3600), Decimal(10)]
    assert [event.amount for event in events] == [
        Decimal("0.009"),
        Decimal("0.018"),
        Decimal("0.00005"),
    ]
    assert {event.price_plan for event in events} == {"p1"}
    assert events[-1].occurred_at == RUN.finished_at


def test_bill_of_a_running_pod_has_only_proven_hours() -> None:
    running = replace(RUN, finished_at=None, end_source=None, exit_reason=None)
    book = PriceBook([PLAN])
    assert list(bill_run(running, book)) == []
    proven = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)
    (event,) = bill_run(running, book, proven_until=proven)
    assert event == next(bill_run(RUN, book))


def test_bill_of_a_one_shot_is_of_kind_execution() -> None:
    one_shot = replace(RUN, sandbox_uid=None, execution_uid=UUID(int=4))
    assert billing_kind(RUN) is BillingKind.SANDBOX_RUNTIME
    assert {event.kind for event in bill_run(one_shot, PriceBook([PLAN]))} == {
        BillingKind.EXECUTION
    }


def test_bill_without_a_plan_costs_nothing_and_says_so() -> None:
    for event in bill_run(RUN, PriceBook([])):
        assert (event.amount, event.price_plan) == (Decimal(0), None)
        assert event.metadata == {"unpriced": True}
        assert event.compute_units > 0


def test_each_window_is_priced_by_the_plan_at_its_start() -> None:
    change = datetime(2026, 11, 22, 11, 15, tzinfo=UTC)
    early = replace(PLAN, valid_to=change)
    late = replace(PLAN, name="p2", rate=Decimal("0.00004"), valid_from=change)
    events = list(bill_run(RUN, PriceBook([early, late])))
    assert [event.price_plan for event in events] == ["p1", "p1", "p2"]


def test_a_written_window_keeps_the_plan_it_was_priced_by() -> None:
    written = {event.event_id: event for event in bill_run(RUN, PriceBook([PLAN]))}
    # A plan of the SKU's own appears later, valid back then.
    dearer = replace(PLAN, name="own", rate=Decimal(1))
    cheap = replace(PLAN, sku="other")
    again = list(bill_run(RUN, PriceBook([dearer, cheap, PLAN]), ledger=written))
    assert again == list(written.values())


def test_a_window_written_unpriced_stays_so() -> None:
    written = {event.event_id: event for event in bill_run(RUN, PriceBook([]))}
    assert list(bill_run(RUN, PriceBook([PLAN]), ledger=written)) == list(written.values())


# Minimum and increment.

terms = st.builds(
    lambda minimum, increment: replace(
        PLAN, minimum_seconds=minimum, increment_seconds=increment, valid_from=ANCIENT
    ),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
)
sizes = st.tuples(st.integers(0, 64_000), st.integers(0, 2**38))


@given(moments, short_spans, terms, sizes)
def test_minimum_and_increment_count_once_for_the_whole_pod(
    start: datetime, span: timedelta, plan: PricePlan, size: tuple[int, int]
) -> None:
    """However many hours a pod's life is cut into, it is billed what one window would be."""
    run = replace(
        RUN,
        started_at=start,
        finished_at=start + span,
        cpu_millicores=size[0],
        memory_bytes=size[1],
    )
    rows = list(bill_run(run, PriceBook([plan])))
    ran = Decimal(span // timedelta(microseconds=1)).scaleb(-6)
    want = max(ran, Decimal(plan.minimum_seconds))
    if plan.increment_seconds:
        count = math.ceil(Fraction(want) / plan.increment_seconds)
        want = Decimal(count * plan.increment_seconds)
    assert sum((row.quantity for row in rows), Decimal(0)) == ran
    assert sum((row.quantity + row.rounding_seconds for row in rows), Decimal(0)) == want
    assert all(row.rounding_seconds == 0 for row in rows[:-1])
    # Each row is rounded to ten decimals, so is the one window.
    whole = charge(want, run.cpu_millicores, run.memory_bytes, plan)
    units = sum((row.compute_units for row in rows), Decimal(0))
    assert abs(units - whole.compute_units) <= Decimal("1e-10") * (len(rows) + 1) / 2


@given(moments, short_spans, short_spans, terms)
def test_rows_of_the_running_pod_and_its_last_are_those_made_again(
    start: datetime, seen_after: timedelta, ran_on: timedelta, plan: PricePlan
) -> None:
    """Whatever was billed meanwhile, by this plan, is what is derived at the end; prices that
    came since change nothing."""
    book = PriceBook([plan])
    renewed = start + seen_after
    running = replace(RUN, started_at=start, finished_at=None, end_source=None)
    early = {row.event_id: row for row in bill_run(running, book, proven_until=renewed)}
    ended = replace(RUN, started_at=start, finished_at=renewed + ran_on)
    final = {row.event_id: row for row in bill_run(ended, book, ledger=early)}
    assert all(final[key].same_bill(row) for key, row in early.items())
    later = replace(plan, name="p2", rate=Decimal(1), minimum_seconds=0, increment_seconds=7)
    dearer = PriceBook([replace(plan, sku="other"), replace(later, valid_from=ANCIENT)])
    again = {row.event_id: row for row in bill_run(ended, dearer, ledger=final)}
    assert again == final


def test_row_is_stamped_with_the_tier_of_its_time() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    pro = AccountTier(tenant="t", user_name="ada", tier="pro", valid_from=noon, valid_to=None)
    book = PriceBook([PLAN, replace(PLAN, name="pro-1", tier="pro")], [pro])
    rows = list(bill_run(RUN, book))
    assert [(row.tier, row.price_plan) for row in rows] == [
        ("free", "p1"),
        ("free", "p1"),
        ("pro", "pro-1"),
    ]


def test_rows_from_an_hour_on_are_those_of_the_whole_that_follow() -> None:
    plan = replace(PLAN, minimum_seconds=100_000)
    book = PriceBook([plan])
    whole = list(bill_run(RUN, book))
    assert len(whole) > 1
    for since in [row.window_hour for row in whole]:
        want = [row for row in whole if row.window_hour >= since]
        assert list(bill_run(RUN, book, since=since)) == want
    assert list(bill_run(RUN, book, since=whole[-1].window_hour + HOUR)) == []


def test_last_hour_is_that_of_the_last_window() -> None:
    for seconds in (-5, 0, 1, 1799, 1800, 1801, 5400, 5401):
        finished = RUN.started_at + timedelta(seconds=seconds)
        *_, last = windows(RUN.started_at, finished)
        assert last_hour(RUN.started_at, finished) == last.hour
