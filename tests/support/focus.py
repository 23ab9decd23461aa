"""FOCUS 1.2's rules for a Cost and Usage dataset, as far as a file can show them.

From the specification's column definitions (FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, v1.2,
specification/columns and specification/attributes): which columns must be there, what type and
format they have, when they are null, which values are allowed, and which must agree.
"""

from __future__ import annotations

import decimal
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

Row = Mapping[str, str]

# "MUST be present": always, or because we do what makes it so: list prices by unit, sell time
# of resources that have types, measure use, have sub accounts, tag.
MANDATORY = {
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
}
CONDITIONAL = {
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingCategory",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "SkuId",
    "SkuPriceId",
    "SkuMeter",
    "SkuPriceDetails",
    "SubAccountId",
    "SubAccountName",
    "Tags",
}
RECOMMENDED = {"ChargeFrequency", "InvoiceId", "ServiceSubcategory"}
DECIMALS = {
    "BilledCost",
    "ContractedCost",
    "ContractedUnitPrice",
    "ConsumedQuantity",
    "EffectiveCost",
    "ListCost",
    "ListUnitPrice",
    "PricingQuantity",
}
TIMES = {"BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"}
NEVER_NULL = (MANDATORY - {"ChargeClass", "PricingQuantity", "PricingUnit"}) | {
    "ChargeFrequency",
    "ServiceSubcategory",
}
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"", "Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {"Compute"},  # of nineteen; ours is this
    "ServiceSubcategory": {  # those of Compute
        "Containers",
        "End User Computing",
        "Quantum Compute",
        "Serverless Compute",
        "Virtual Machines",
        "Other (Compute)",
    },
}
# What a use that is no correction must say, and what says nothing for it.
_OF_USAGE = {
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "SkuId",
    "SkuPriceId",
    "ConsumedQuantity",
}


def problems(columns: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    """What breaks a rule; nothing for a dataset that conforms."""
    for name in sorted((MANDATORY | CONDITIONAL | RECOMMENDED) - set(columns)):
        yield f"{name} is not there"
    for name in columns:
        if name not in MANDATORY | CONDITIONAL | RECOMMENDED and not name.startswith("x_"):
            yield f"{name} is no column of FOCUS, and does not begin with x_"
    for index, row in enumerate(rows):
        for problem in _row_problems(row):
            yield f"row {index}: {problem}"
    yield from _agreement(rows)


def _row_problems(row: Row) -> Iterator[str]:
    for name in NEVER_NULL:
        if row[name] == "":
            yield f"{name} is null"
    for name, value in row.items():
        if value in ("null", "NULL", "None") or value != value.strip():
            yield f"{name} says null by a word, or has blanks around it"
    for name, allowed in ALLOWED.items():
        if row[name] not in allowed:
            yield f"{name} may not be {row[name]!r}"
    wrong = list(_format_problems(row))
    yield from wrong
    if not wrong:
        yield from (text for text, holds in _RULES.items() if not holds(row))


def _format_problems(row: Row) -> Iterator[str]:
    for name in DECIMALS:
        if row[name] and not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", row[name]):
            yield f"{name} is no plain number: {row[name]}"
    for name in TIMES:
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[name]):
            yield f"{name} is no time in UTC: {row[name]}"
    if not re.fullmatch(r"[A-Z]{3}", row["BillingCurrency"]):
        yield "BillingCurrency is no code of ISO 4217"
    for name in ("Tags", "SkuPriceDetails"):
        if row[name] and not _is_key_values(row[name]):
            yield f"{name} is no object of keys and plain values"


def _is_key_values(text: str) -> bool:
    value = json.loads(text)
    return isinstance(value, dict) and all(
        isinstance(one, str | int | float | bool | None) for one in value.values()
    )


def _is(row: Row, category: str) -> bool:
    return row["ChargeCategory"] == category


def _product(row: Row, price: str, cost: str) -> bool:
    if not row[price] or not row["PricingQuantity"] or row["ChargeClass"] == "Correction":
        return True
    with decimal.localcontext(prec=100):
        return Decimal(row[price]) * Decimal(row["PricingQuantity"]) == Decimal(row[cost])


def _time(row: Row, name: str) -> datetime:
    return datetime.fromisoformat(row[name]).replace(tzinfo=UTC)


def _same_null(row: Row, *names: str) -> bool:
    return len({row[name] == "" for name in names}) == 1


_RULES: Mapping[str, Callable[[Row], bool]] = {
    "a use lacks what it must say": lambda row: (
        not _is(row, "Usage")
        or row["ChargeClass"] == "Correction"
        or all(row[name] for name in _OF_USAGE)
    ),
    "what is no use has a consumed quantity": lambda row: (
        _is(row, "Usage") or row["ConsumedQuantity"] == ""
    ),
    "quantity and unit consumed go together": lambda row: _same_null(
        row, "ConsumedQuantity", "ConsumedUnit"
    ),
    "quantity and unit of the price go together": lambda row: _same_null(
        row, "PricingQuantity", "PricingUnit"
    ),
    "ListCost is not price by quantity": lambda row: _product(row, "ListUnitPrice", "ListCost"),
    "ContractedCost is not price by quantity": lambda row: _product(
        row, "ContractedUnitPrice", "ContractedCost"
    ),
    "a unit price is negative": lambda row: all(
        not row[name] or Decimal(row[name]) >= 0
        for name in ("ListUnitPrice", "ContractedUnitPrice")
    ),
    "costs of a credit differ": lambda row: (
        not _is(row, "Credit")
        or row["BilledCost"] == row["EffectiveCost"] == row["ListCost"] == row["ContractedCost"]
    ),
    "a credit is not negative": lambda row: (
        not _is(row, "Credit") or Decimal(row["BilledCost"]) < 0
    ),
    "a purchase by use": lambda row: (
        not _is(row, "Purchase") or row["ChargeFrequency"] != "Usage-Based"
    ),
    "a resource's type goes with its id": lambda row: _same_null(row, "ResourceId", "ResourceType"),
    "a resource has a name without an id, or its id as its name": lambda row: (
        row["ResourceName"] == ""
        or (row["ResourceId"] != "" and row["ResourceName"] != row["ResourceId"])
    ),
    "a sub account's name goes with its id": lambda row: _same_null(
        row, "SubAccountId", "SubAccountName"
    ),
    "a meter without an SKU": lambda row: row["SkuMeter"] == "" or row["SkuId"] != "",
    "details without a price": lambda row: row["SkuPriceDetails"] == "" or row["SkuPriceId"] != "",
    "the billing period is no month": lambda row: (
        _time(row, "BillingPeriodStart").day == _time(row, "BillingPeriodEnd").day == 1
        and 28 <= (_time(row, "BillingPeriodEnd") - _time(row, "BillingPeriodStart")).days <= 31
    ),
    "the charge period ends before it begins": lambda row: (
        _time(row, "ChargePeriodStart") <= _time(row, "ChargePeriodEnd")
    ),
    "a charge of another time is no correction": lambda row: (
        (row["ChargeClass"] == "Correction")
        == (_time(row, "ChargePeriodStart") < _time(row, "BillingPeriodStart"))
    ),
}


def _agreement(rows: Sequence[Row]) -> Iterator[str]:
    """Rules over the whole dataset."""
    for child, parent in (
        ("SkuPriceId", "SkuId"),
        ("ServiceName", "ServiceCategory"),
        ("ServiceName", "ServiceSubcategory"),
        ("BillingAccountId", "BillingAccountName"),
        ("SubAccountId", "SubAccountName"),
    ):
        seen: dict[str, str] = {}
        for row in rows:
            if row[child] and seen.setdefault(row[child], row[parent]) != row[parent]:
                yield f"{child} {row[child]} has two of {parent}"
