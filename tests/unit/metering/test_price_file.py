"""prices.yaml: what it says to the last digit, and one line for whatever is wrong in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from soulbox.model.billing import AccountTier, PriceList, PricePlan
from soulbox.model.errors import InvalidRequest
from soulbox.pure.price_changes import PriceChanges, decide_price_changes
from soulbox.schema.prices import parse_prices, read_prices

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PAST, SOON, LATER = NOW - timedelta(days=30), NOW + timedelta(days=1), NOW + timedelta(days=9)
PLAN = "plans: [{name: p, rate: 0.1, valid_from: 2027-01-01T00:00:00Z"


def refused(text: str) -> str:
    with pytest.raises(InvalidRequest) as raised:
        parse_prices(text.encode(), "prices.yaml")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_figures_are_read_as_they_stand() -> None:
    found = parse_prices(
        f"{PLAN}, free_units: 1e3, minimum_seconds: 60}}, "
        "{name: q, rate: 0.0000000001, valid_from: 2027-01-01T01:00:00+01:00}]".encode(),
        "x",
    )
    one, two = found.plans
    # 0.1 has no exact binary fraction; Decimal("0.1") it is.
    assert (one.rate, one.free_units, one.minimum_seconds) == (Decimal("0.1"), Decimal(1000), 60)
    assert two.rate == Decimal("1e-10")
    assert one.valid_from == two.valid_from
    assert (one.sku, one.tier, one.currency, one.valid_to) == ("default", "free", "USD", None)


WRONG: dict[str, tuple[str, str]] = {
    "no YAML": ("plans: [", "prices.yaml at line 1: "),
    "nothing": ("", "prices.yaml: it holds neither plans nor tiers; begin it with plans:"),
    "a list": ("- 1", "prices.yaml: it holds neither plans nor tiers; begin it with plans:"),
    "another kind of file": ("apiVersion: v1", "apiVersion: there is no such field; there are "),
    "a field that is misspelt": (
        f"{PLAN}, minimum_second: 1}}]",
        "plans[0].minimum_second: there is no such field; did you mean minimum_seconds?",
    ),
    "no rate": (
        "plans: [{name: p, valid_from: 2027-01-01T00:00:00Z}]",
        "plans[0].rate: it is missing; add it",
    ),
    "a field given twice": (f"{PLAN}, rate: 0.2}}]", "prices.yaml at line 1: 'rate' occurs twice"),
    "a negative rate": (
        f"{PLAN}}}, {{name: q, rate: -1, valid_from: 2027-01-01T00:00:00Z}}]",
        "plans[1].rate: '-1': input should be greater than or equal to 0; correct it",
    ),
    "a rate that is no number": (
        PLAN.replace("0.1", "cheap") + "}]",
        "plans[0].rate: 'cheap': input should be a valid decimal; correct it",
    ),
    "no end of a rate": (PLAN.replace("0.1", "inf") + "}]", "plans[0].rate: 'inf': "),
    "a rate of too many decimals": (
        PLAN.replace("0.1", "0.00000000001") + "}]",
        "plans[0].rate: '0.00000000001': decimal input should have no more than 10 decimal",
    ),
    "a time without a zone": (
        PLAN.replace("00:00:00Z", "00:00:00") + "}]",
        "plans[0].valid_from: '2027-01-01T00:00:00': it is not a time with a zone, such as",
    ),
    "a day": (PLAN.replace("T00:00:00Z", "") + "}]", "plans[0].valid_from: '2027-01-01': it is no"),
    "an end before the beginning": (
        f"{PLAN}, valid_to: 2026-01-01T00:00:00Z}}]",
        "plans[0].valid_to: it is not later than valid_from; correct either",
    ),
    "half a second": (
        f"{PLAN}, increment_seconds: 0.5}}]",
        "plans[0].increment_seconds: '0.5': input should be a valid integer",
    ),
    "a name with a blank": (
        PLAN.replace("name: p", "name: a b") + "}]",
        "plans[0].name: it has characters that do not belong there; correct it",
    ),
    "a currency that is none": (f"{PLAN}, currency: dollars}}]", "plans[0].currency: it has char"),
    "a tier for nobody": ("tiers: [{tier: pro}]", "tiers[0].tenant: it is missing; add it"),
    "not text": ("plans: \udcff", "prices.yaml: it is not UTF-8 text; save it as such"),
}


@pytest.mark.parametrize("case", WRONG)
def test_file_is_refused_in_one_line_that_names_the_field(case: str) -> None:
    text, want = WRONG[case]
    if case == "not text":
        with pytest.raises(InvalidRequest) as raised:
            parse_prices(b"plans: \xff", "prices.yaml")
        assert str(raised.value) == want
        return
    assert refused(text).startswith(want)


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read: No such file"):
        read_prices(tmp_path / "nowhere.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(InvalidRequest, match="over 1048576 bytes; split it"):
        read_prices(tmp_path / "large.yaml")


def test_example_is_read() -> None:
    found = read_prices(Path(__file__).parents[3] / "examples/billing/prices.yaml")
    assert {plan.tier for plan in found.plans} == {"free", "team"}
    assert len(found.tiers) == 2


# What it changes.


def plan(name: str = "p", **changes: Any) -> PricePlan:
    base: dict[str, Any] = {
        "name": name,
        "sku": "default",
        "tier": "free",
        "rate": Decimal("0.1"),
        "currency": "USD",
        "valid_from": PAST,
        "valid_to": None,
    }
    return PricePlan(**(base | changes))


def tier(**changes: Any) -> AccountTier:
    base: dict[str, Any] = {
        "tenant": "t",
        "user_name": "",
        "tier": "free",
        "valid_from": PAST,
        "valid_to": None,
    }
    return AccountTier(**(base | changes))


def decide(
    wanted: PriceList, stored: PriceList, *, known: tuple[str, ...] = (), allow: bool = False
) -> PriceChanges:
    return decide_price_changes(wanted, stored, now=NOW, known_skus=known, allow_new_sku=allow)


def test_next_price_ends_the_one_before() -> None:
    old, new = plan("old", valid_to=SOON), plan("new", valid_from=SOON)
    coming = plan("coming", sku="gpu", valid_from=SOON)
    found = decide(
        PriceList(plans=(old, new, replace(coming, rate=Decimal(2)), plan("other", tier="x"))),
        PriceList(plans=(plan("old"), coming, plan("other", tier="x"))),
    )
    assert found.plans_ended == (old,)
    assert found.plans_added == (new,)
    assert [one.rate for one in found.plans_replaced] == [2]
    assert found.unchanged == 1


def test_tiers_change_like_plans() -> None:
    stored = PriceList(plans=(plan(tier="pro"),), tiers=(tier(), tier(user_name="ada")))
    ended = tier(valid_to=SOON)
    found = decide(
        PriceList(tiers=(ended, tier(tier="pro", valid_from=SOON), tier(user_name="ada"))), stored
    )
    assert found.tiers_ended == (ended,)
    assert [one.tier for one in found.tiers_added] == ["pro"]
    assert found.unchanged == 1


REFUSED: dict[str, tuple[PriceList, PriceList, str]] = {
    "a name twice": (
        PriceList(plans=(plan("a"), plan("a", sku="x", valid_from=SOON))),
        PriceList(),
        'plans[1].name: "a" is the name of plans[0] too; give each plan a name of its own',
    ),
    "an SKU nobody knows": (
        PriceList(plans=(plan(sku="gqu"),)),
        PriceList(plans=(plan("g", sku="gpu"),)),
        'plans[0].sku: no pod has run under SKU "gqu", and no plan has it; compare it with',
    ),
    "another rate of a plan that has begun": (
        PriceList(plans=(plan(rate=Decimal(9)),)),
        PriceList(plans=(plan(),)),
        'plans[0].rate: plan "p" has begun and keeps its rate; end it with a valid_to in',
    ),
    "another allowance of it": (
        PriceList(plans=(plan(free_units=Decimal(9)),)),
        PriceList(plans=(plan(),)),
        'plans[0].free_units: plan "p" has begun and keeps its free_units',
    ),
    "another beginning of it": (
        PriceList(plans=(plan(valid_from=SOON),)),
        PriceList(plans=(plan(),)),
        'plans[0].valid_from: plan "p" has begun and keeps its valid_from',
    ),
    "an end in the past": (
        PriceList(plans=(plan(valid_to=NOW),)),
        PriceList(plans=(plan(),)),
        'plans[0].valid_to: plan "p" has begun and cannot end in the past; give a time in',
    ),
    "life after the end": (
        PriceList(plans=(plan(valid_to=SOON),)),
        PriceList(plans=(plan(valid_to=NOW),)),
        'plans[0].valid_to: plan "p" has ended; restore its end',
    ),
    "overlap within the file": (
        PriceList(plans=(plan("a", valid_to=LATER), plan("b", valid_from=SOON))),
        PriceList(),
        'plans[1].valid_from: its time overlaps that of plan "a", which begins ',
    ),
    "overlap with one that the file does not name": (
        PriceList(plans=(plan("b", valid_from=SOON),)),
        PriceList(plans=(plan("a"),)),
        'plans[0].valid_from: its time overlaps that of plan "a", which begins ',
    ),
    "overlap of one that begins before": (
        PriceList(plans=(plan("b", valid_from=SOON),)),
        PriceList(plans=(plan("a", valid_from=LATER),)),
        'plans[0].valid_from: its time overlaps that of plan "a", which begins ',
    ),
    "a tier without a price": (
        PriceList(tiers=(tier(tier="pro"),)),
        PriceList(),
        'tiers[0].tier: no plan has tier "pro"; add such a plan, or correct the tier',
    ),
    "another tier since ever": (
        PriceList(tiers=(tier(tier="pro"),)),
        PriceList(plans=(plan(tier="pro"),), tiers=(tier(),)),
        "tiers[0].tier: that tier has begun and keeps its tier",
    ),
    "two tiers at once": (
        PriceList(tiers=(tier(), tier())),
        PriceList(),
        'tiers[1].valid_from: its time overlaps that of tier "free" of the same account',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_change_is_refused_in_one_line_that_names_the_field(case: str) -> None:
    wanted, stored, want = REFUSED[case]
    with pytest.raises(InvalidRequest) as raised:
        decide(wanted, stored)
    assert str(raised.value).startswith(want)


def test_new_sku_is_taken_when_a_pod_ran_as_it_or_it_is_allowed() -> None:
    wanted = PriceList(plans=(plan(sku="gpu"),))
    assert decide(wanted, PriceList(), known=("gpu",)).plans_added == wanted.plans
    assert decide(wanted, PriceList(), allow=True).plans_added == wanted.plans


def test_same_file_again_changes_nothing() -> None:
    prices = PriceList(plans=(plan(), plan("q", sku="x", valid_from=SOON)), tiers=(tier(),))
    found = decide(prices, prices)
    assert found == PriceChanges(
        plans_ended=(),
        plans_replaced=(),
        plans_added=(),
        tiers_ended=(),
        tiers_replaced=(),
        tiers_added=(),
        unchanged=3,
    )
