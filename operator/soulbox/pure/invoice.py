"""A month's bill of a user, from sums of the ledger.

Rounding, stated once: lines and totals are the ledger's own figures, of ten decimals, and add
up to the last of them. `due` is the total rounded half up to the smallest coin of its
currency; nothing else is rounded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from soulbox.model.periods import Period

# ISO 4217: currencies whose smallest coin is not a hundredth.
_WITHOUT_COINS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THOUSANDTHS: Final = "BHD IQD JOD KWD LYD OMR TND"
_COIN_DECIMALS: Final = {
    **dict.fromkeys(_WITHOUT_COINS.split(), 0),
    **dict.fromkeys(_THOUSANDTHS.split(), 3),
}


class LineType(StrEnum):
    """What a line of an invoice is."""

    USAGE = "usage"  # rows of the ledger of one kind, SKU, tier and plan
    ALLOWANCE = "allowance"  # what a plan's free units take off; in no row of the ledger
    ADJUSTMENT = "adjustment"  # one correction, decided in this month


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """A line. What a type of line does not have is None.

    Attributes:
        user_name: whose it is, on the invoice of a tenant; None on that of one user.
        kind: sandbox_runtime or execution.
        rate: price of a compute unit.
        seconds: time that pods ran.
        rounding_seconds: what minimum and increment added.
        amount: exact; negative for an allowance.
        event_id: the adjustment; note: its reason.
    """

    type: LineType
    tenant: str
    currency: str
    amount: Decimal
    kind: str | None = None
    sku: str | None = None
    tier: str | None = None
    price_plan: str | None = None
    rate: Decimal | None = None
    seconds: Decimal | None = None
    rounding_seconds: Decimal | None = None
    compute_units: Decimal | None = None
    event_id: UUID | None = None
    corrects: UUID | None = None
    note: str | None = None
    user_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceTotal:
    """What the lines of one currency come to.

    Attributes:
        usage, allowance, adjustments: sums of the lines of each type.
        total: their sum, exact.
        due: total rounded to the smallest coin. Below zero it is owed to the user.
    """

    currency: str
    usage: Decimal
    allowance: Decimal
    adjustments: Decimal
    total: Decimal
    due: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """The bill of a user of a tenant for a month; user_name None: of all users of the tenant.

    Two people of one name in two tenants are two people: no bill is of more than one tenant.
    tenant is None where nothing was billed and none was named.
    """

    user_name: str | None
    tenant: str | None
    period: Period
    lines: tuple[InvoiceLine, ...]
    totals: tuple[InvoiceTotal, ...]


def build_invoice(
    user_name: str | None, tenant: str | None, period: Period, lines: Iterable[InvoiceLine]
) -> Invoice:
    """An invoice of these lines, in order of tenant and type, with a total for each currency."""
    order = list(LineType)
    ordered = tuple(
        sorted(
            lines,
            key=lambda line: (
                line.tenant,
                line.user_name or "",
                line.currency,
                order.index(line.type),
                line.sku or "",
                line.tier or "",
                line.price_plan or "",
                line.kind or "",
                str(line.event_id or ""),
            ),
        )
    )
    return Invoice(
        user_name=user_name,
        tenant=tenant,
        period=period,
        lines=ordered,
        totals=tuple(
            _total(currency, [line for line in ordered if line.currency == currency])
            for currency in sorted({line.currency for line in ordered})
        ),
    )


def round_to_coin(amount: Decimal, currency: str) -> Decimal:
    """The amount rounded half up (away from zero) to the smallest coin of the currency."""
    decimals = _COIN_DECIMALS.get(currency, 2)
    rounded = amount.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    return rounded or abs(rounded)  # never -0.00


def _total(currency: str, lines: list[InvoiceLine]) -> InvoiceTotal:
    sums = dict.fromkeys(LineType, Decimal(0))
    for line in lines:
        sums[line.type] += line.amount
    total = sum(sums.values(), Decimal(0))
    return InvoiceTotal(
        currency=currency,
        usage=sums[LineType.USAGE],
        allowance=sums[LineType.ALLOWANCE],
        adjustments=sums[LineType.ADJUSTMENT],
        total=total,
        due=round_to_coin(total, currency),
    )
