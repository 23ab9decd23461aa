"""Price plans, charges and rows of the ledger.

Money and quantities are Decimal, times aware UTC; both are checked at construction, so
that no float and no naive time can reach a bill.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

DEFAULT_SKU: Final = "default"
DEFAULT_TIER: Final = "free"
DEFAULT_CURRENCY: Final = "USD"
# The only unit a pod's running time is measured in.
UNIT_SECONDS: Final = "seconds"
HOUR: Final = timedelta(hours=1)


class BillingKind(StrEnum):
    """What a row of the ledger bills."""

    SANDBOX_RUNTIME = "sandbox_runtime"  # the running time of a Sandbox's pod
    EXECUTION = "execution"  # the running time of a one-shot Execution's own pod
    ADJUSTMENT = "adjustment"  # a signed correction of an earlier row


class EndSource(StrEnum):
    """Where the end of a pod's running time is known from."""

    KUBELET = "kubelet"  # the container's finishedAt
    LEASE = "lease"  # the node was lost: its Lease's last renewTime


def require_utc(value: datetime, name: str) -> datetime:
    """The same moment in UTC.

    Raises:
        ValueError: the time is naive.
    """
    if value.tzinfo is None:
        raise ValueError(f"{name} must be an aware time, not a naive one")
    return value.astimezone(UTC)


def span_seconds(starts_at: datetime, ends_at: datetime) -> Decimal:
    """Exact seconds from one moment to another, to the microsecond."""
    span = ends_at - starts_at
    whole = span.days * 86_400 + span.seconds
    return Decimal(whole) + Decimal(span.microseconds).scaleb(-6)


def plain_decimal(value: Decimal) -> str:
    """All digits of a number, without exponent and trailing zeros."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePlan:
    """The price of one SKU for one tier over a range of time.

    Attributes:
        name: identifies the plan for ever; stamped in every ledger row it prices.
        rate: currency for one compute unit, that is one compute-unit-second.
        valid_from: first moment it applies to (inclusive).
        valid_to: first moment it no longer applies to; None means it has no end yet.
        minimum_seconds: a pod is billed for at least so long; 0: for as long as it ran.
        increment_seconds: a pod's whole time is rounded up to a multiple; 0: it is not.
        free_units: compute units a month that a user does not pay; the ledger has them all.
    """

    name: str
    sku: str
    tier: str
    rate: Decimal
    currency: str
    valid_from: datetime
    valid_to: datetime | None
    minimum_seconds: int = 0
    increment_seconds: int = 0
    free_units: Decimal = Decimal(0)
    description: str = ""

    def __post_init__(self) -> None:
        for name in ("rate", "free_units"):
            value = getattr(self, name)
            if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
                raise ValueError(f"{name} must be a Decimal of zero or more")
        if self.minimum_seconds < 0 or self.increment_seconds < 0:
            raise ValueError("minimum_seconds and increment_seconds must be zero or more")
        object.__setattr__(self, "valid_from", require_utc(self.valid_from, "valid_from"))
        if self.valid_to is not None:
            object.__setattr__(self, "valid_to", require_utc(self.valid_to, "valid_to"))

    def applies_at(self, at: datetime) -> bool:
        """Whether `at` lies in [valid_from, valid_to)."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTier:
    """Which tier a user of a tenant is of over a range of time.

    Attributes:
        user_name: "" means every user of the tenant without a tier of their own then.
        valid_from: first moment it applies to (inclusive).
        valid_to: first moment it no longer applies to; None means it has no end yet.
    """

    tenant: str
    user_name: str
    tier: str
    valid_from: datetime
    valid_to: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "valid_from", require_utc(self.valid_from, "valid_from"))
        if self.valid_to is not None:
            object.__setattr__(self, "valid_to", require_utc(self.valid_to, "valid_to"))

    def applies_at(self, at: datetime) -> bool:
        """Whether `at` lies in [valid_from, valid_to)."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Plans and tiers, of a file or of the database."""

    plans: tuple[PricePlan, ...] = ()
    tiers: tuple[AccountTier, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What some running time costs.

    Attributes:
        compute_units: seconds x max(vCPU, GiB / 2), rounded to 10 decimals.
        amount: compute_units x the plan's rate, in the plan's currency, 10 decimals.
    """

    compute_units: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part [starts_at, ends_at) of a pod's running time that lies in one UTC hour."""

    hour: datetime
    starts_at: datetime
    ends_at: datetime

    @property
    def seconds(self) -> Decimal:
        """Exact length in seconds, to the microsecond."""
        return span_seconds(self.starts_at, self.ends_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingEvent:
    """One row of the ledger (table billing_events). Optional fields are None where the
    kind has no use for them: an adjustment has no pod, a runtime row corrects nothing.

    Attributes:
        quantity: exactly ends_at - starts_at, in seconds.
        rounding_seconds: billed beyond that: what the plan's minimum and increment add to the
            pod's whole time, on its last row.
        price_plan: None only when no plan applied; the amount is then zero.
        occurred_at: when the billed time ended.
        corrects: the event an adjustment corrects.
    """

    event_id: UUID
    cluster: UUID
    tenant: str
    user_name: str
    kind: BillingKind
    pod_uid: UUID | None
    window_hour: datetime
    sandbox_uid: UUID | None
    execution_uid: UUID | None
    starts_at: datetime
    ends_at: datetime
    quantity: Decimal
    rounding_seconds: Decimal
    unit: str
    compute_units: Decimal
    amount: Decimal
    currency: str
    price_plan: str | None
    sku: str
    tier: str
    occurred_at: datetime
    corrects: UUID | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def same_bill(self, other: "BillingEvent") -> bool:
        """Whether both rows say the same under the same key. recorded_at, and what only
        describes (user, metadata), may differ; the bill may not."""
        return all(getattr(self, name) == getattr(other, name) for name in _BILL_FIELDS)


_BILL_FIELDS: Final = (
    "event_id",
    "starts_at",
    "ends_at",
    "quantity",
    "rounding_seconds",
    "compute_units",
    "amount",
    "currency",
    "price_plan",
)
