"""Compute units, amounts, rounding and the choice of a plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model.billing import AccountTier
from soulbox.pure.prices import PriceBook, PricePlan, charge, rounding_seconds

GIB = 2**30
WEEK = timedelta(days=7)
DAY = datetime(2026, 11, 22, tzinfo=UTC)
PLAN = PricePlan(
    name="default-free-1",
    sku="default",
    tier="free",
    rate=Decimal("0.0000200000"),
    currency="USD",
    valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    valid_to=None,
)


@pytest.mark.parametrize(
    ("seconds", "millicores", "memory_bytes", "want_units", "want_amount"),
    [
        pytest.param("3600", 1000, 1 * GIB, "3600", "0.072", id="a vCPU for an hour"),
        pytest.param("3600", 1000, 2 * GIB, "3600", "0.072", id="2 GiB weigh one vCPU"),
        pytest.param("3600", 1000, 8 * GIB, "14400", "0.288", id="memory weighs more"),
        pytest.param("10", 250, 256 * 2**20, "2.5", "0.00005", id="the default sandbox"),
        pytest.param("0", 1000, GIB, "0", "0", id="no time"),
        pytest.param("5", 0, 0, "0", "0", id="no limits"),
        pytest.param("0.000001", 1, 0, "0.0000000010", "0", id="a microsecond"),
    ],
)
def test_charge(
    seconds: str, millicores: int, memory_bytes: int, want_units: str, want_amount: str
) -> None:
    found = charge(Decimal(seconds), millicores, memory_bytes, PLAN)
    assert (found.compute_units, found.amount) == (Decimal(want_units), Decimal(want_amount))


def test_charge_rounds_half_up_to_ten_decimals() -> None:
    half = replace(PLAN, rate=Decimal("0.00000000005"))
    assert charge(Decimal(1), 1000, 0, half).amount == Decimal("0.0000000001")
    less = replace(PLAN, rate=Decimal("0.000000000049"))
    assert charge(Decimal(1), 1000, 0, less).amount == Decimal(0)


def test_charge_without_a_plan_costs_nothing() -> None:
    found = charge(Decimal(10), 1000, 0, None)
    assert (found.compute_units, found.amount) == (Decimal(10), Decimal(0))


@pytest.mark.parametrize(
    ("seconds", "millicores", "memory_bytes"),
    [("-1", 1, 1), ("NaN", 1, 1), ("Infinity", 1, 1), ("1", -1, 1), ("1", 1, -1)],
)
def test_charge_refuses_what_is_no_figure(seconds: str, millicores: int, memory_bytes: int) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        charge(Decimal(seconds), millicores, memory_bytes, PLAN)


@given(
    st.integers(0, 10**12).map(lambda micro: Decimal(micro).scaleb(-6)),
    st.integers(0, 10**6),
    st.integers(0, 2**50),
    st.integers(0, 10**12).map(lambda units: Decimal(units).scaleb(-10)),
)
def test_charge_is_exact_to_half_the_last_decimal(
    seconds: Decimal, millicores: int, memory_bytes: int, rate: Decimal
) -> None:
    from fractions import Fraction

    found = charge(seconds, millicores, memory_bytes, replace(PLAN, rate=rate))
    size = max(Fraction(millicores, 1000), Fraction(memory_bytes, 2**31))
    half = Fraction(1, 2 * 10**10)
    assert abs(Fraction(found.compute_units) - Fraction(seconds) * size) <= half
    assert abs(Fraction(found.amount) - Fraction(found.compute_units) * Fraction(rate)) <= half


def test_plan_falls_back_from_sku_and_tier_to_the_defaults() -> None:
    gpu_team = replace(PLAN, name="gpu-team", sku="gpu", tier="team")
    default_team = replace(PLAN, name="default-team", tier="team")
    gpu_free = replace(PLAN, name="gpu-free", sku="gpu")
    book = PriceBook([PLAN, gpu_team, default_team, gpu_free])
    want = {
        ("gpu", "team"): "gpu-team",
        ("cpu", "team"): "default-team",
        ("gpu", "personal"): "gpu-free",
        ("cpu", "personal"): "default-free-1",
        ("default", "free"): "default-free-1",
    }
    for (sku, tier), name in want.items():
        found = book.plan_for(sku, tier, DAY)
        assert found is not None
        assert found.name == name
    assert len(book) == 4


def test_plan_range_begins_inclusive_and_ends_exclusive() -> None:
    ending = replace(PLAN, valid_from=DAY, valid_to=DAY + timedelta(days=1))
    book = PriceBook([ending])
    assert book.plan_for("default", "free", DAY) == ending
    assert book.plan_for("default", "free", DAY - timedelta(microseconds=1)) is None
    assert book.plan_for("default", "free", DAY + timedelta(days=1)) is None


def test_named_plan() -> None:
    book = PriceBook([PLAN])
    assert book.named("default-free-1") == PLAN
    assert book.named("other") is None


def test_plan_takes_any_zone_as_utc_and_refuses_naive_times() -> None:
    local = replace(PLAN, valid_from=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))))
    assert local.valid_from.isoformat() == "2025-12-31T23:00:00+00:00"
    naive = DAY.replace(tzinfo=None)
    with pytest.raises(ValueError, match="valid_from must be an aware time"):
        replace(PLAN, valid_from=naive)
    with pytest.raises(ValueError, match="valid_to"):
        replace(PLAN, valid_to=naive)


@pytest.mark.parametrize("rate", [Decimal(-1), Decimal("NaN"), 0.5])
def test_plan_refuses_what_is_no_rate(rate: object) -> None:
    with pytest.raises(ValueError, match="rate must be a Decimal"):
        replace(PLAN, rate=rate)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ran", "minimum", "increment", "want"),
    [
        pytest.param("0", 0, 0, "0", id="a plan without terms"),
        pytest.param("0", 60, 0, "60", id="a pod that began and ended within a second"),
        pytest.param("59", 60, 0, "1", id="below the minimum"),
        pytest.param("61", 60, 0, "0", id="above it"),
        pytest.param("61", 60, 60, "59", id="up to the increment"),
        pytest.param("120", 60, 60, "0", id="a multiple of it"),
        pytest.param("0", 0, 60, "0", id="no time is a multiple"),
        pytest.param("3", 10, 7, "11", id="a minimum that is no multiple goes up to one"),
        pytest.param("0.000001", 0, 1, "0.999999", id="a microsecond"),
    ],
)
def test_rounding(ran: str, minimum: int, increment: int, want: str) -> None:
    terms = replace(PLAN, minimum_seconds=minimum, increment_seconds=increment)
    assert rounding_seconds(Decimal(ran), terms) == Decimal(want)


def test_rounding_without_a_plan_is_none() -> None:
    assert rounding_seconds(Decimal("0.5"), None) == 0


@pytest.mark.parametrize("term", ["minimum_seconds", "increment_seconds"])
def test_plan_refuses_negative_terms(term: str) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        replace(PLAN, **{term: -1})


def test_tier_is_the_users_own_then_the_tenants_then_free() -> None:
    def tier(user: str, name: str, start: datetime = DAY) -> AccountTier:
        until = start + timedelta(days=1)
        return AccountTier(tenant="t", user_name=user, tier=name, valid_from=start, valid_to=until)

    book = PriceBook([], [tier("", "team"), tier("ada", "pro"), tier("ada", "max", DAY - 9 * WEEK)])
    assert book.tier_of("t", "ada", DAY) == "pro"
    assert book.tier_of("t", "bob", DAY) == "team"
    assert book.tier_of("t", "", DAY) == "team"
    assert book.tier_of("other", "ada", DAY) == "free"
    assert book.tier_of("t", "ada", DAY + timedelta(days=1)) == "free"
