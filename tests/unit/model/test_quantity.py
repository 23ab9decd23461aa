"""Quantities as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model.quantity import (
    format_bytes,
    format_millicores,
    parse_bytes,
    parse_millicores,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("0", Decimal(0)),
        ("1", Decimal(1)),
        (2, Decimal(2)),
        ("1.", Decimal(1)),
        (".5", Decimal("0.5")),
        ("250m", Decimal("0.25")),
        ("100u", Decimal("0.0001")),
        ("1n", Decimal("1e-9")),
        ("1k", Decimal(1000)),
        ("1Ki", Decimal(1024)),
        ("1.5Gi", Decimal(1610612736)),
        ("1E", Decimal(10) ** 18),
        ("1e3", Decimal(1000)),
        ("1E3", Decimal(1000)),
        ("1e+3", Decimal(1000)),
        ("1E-3", Decimal("0.001")),
        ("7Ei", Decimal(7 * 2**60)),
        ("9223372036854775807", Decimal(2**63 - 1)),
        (0.5, Decimal("0.5")),
        (1e9, Decimal(10**9)),
        (1e18, Decimal(10**18)),
    ],
)
def test_quantity_has_its_value(text: float | str, want: Decimal) -> None:
    assert parse_quantity(text) == want


@pytest.mark.parametrize(
    "text",
    [
        "", " 1", "1 ", "1 Mi", "1mi", "1MI", "1K", "1kk", "0x10", "1_000", "١٢", "+1", "-1",
        "1..2", ".", "m", "e3", "1e", "1e1000", "1e+", "1,5", "nan", "inf", "1\n", "8Ei",
        "9223372036854775808", 2**63, -1, "1" * 33, True, None, -0.5, 1e300, float("nan"), ["1"],
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"quantity|2\^63"):
        parse_quantity(text)  # type: ignore[arg-type]


def test_refusal_repeats_no_more_than_the_start() -> None:
    with pytest.raises(ValueError, match="quantity") as caught:
        parse_quantity("x" * 1000)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("text", "want"), [("250m", 250), (2, 2000), ("0.1m", 1), ("1.0001", 1001), ("1e3", 1_000_000)]
)
def test_millicores_are_rounded_up(text: str | int, want: int) -> None:
    assert parse_millicores(text) == want


@pytest.mark.parametrize(
    ("text", "want"), [("256Mi", 268435456), (1, 1), ("1m", 1), ("1.1", 2), ("1e9", 10**9)]
)
def test_bytes_are_rounded_up(text: str | int, want: int) -> None:
    assert parse_bytes(text) == want


@pytest.mark.parametrize(
    ("size_bytes", "want"),
    [(0, "0"), (1, "1"), (1024, "1Ki"), (1025, "1025"), (268435456, "256Mi"), (2**60, "1Ei")],
)
def test_bytes_are_written_with_the_largest_suffix(size_bytes: int, want: str) -> None:
    assert format_bytes(size_bytes) == want


@pytest.mark.parametrize(("millicores", "want"), [(250, "250m"), (2000, "2"), (1500, "1500m")])
def test_whole_cores_are_written_without_suffix(millicores: int, want: str) -> None:
    assert format_millicores(millicores) == want


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_bytes_survive_a_round_trip(size_bytes: int) -> None:
    assert parse_bytes(format_bytes(size_bytes)) == size_bytes


@given(st.integers(min_value=0, max_value=10**9))
def test_millicores_survive_a_round_trip(millicores: int) -> None:
    assert parse_millicores(format_millicores(millicores)) == millicores
