"""Whether the ledger says what the running times and the prices give.

The rows of a pod are made again by the code that bills (`pure.metering`), with plan and tier
as stamped, and compared; stamp by stamp it is asked whether that plan was the one valid then.
A finding is one thing that is wrong; a warning may be right and is worth a look.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from soulbox.model.billing import HOUR, BillingEvent, plain_decimal
from soulbox.model.rows import PodRunRow
from soulbox.pure.adjustments import adjustment_id
from soulbox.pure.metering import PROOF_MARGIN, bill_run, full_windows
from soulbox.pure.prices import PriceBook, charge

# How long after an hour's end by its node's clock a running pod's row may be missing: the
# operator was away. As long as its repair takes to come round, six times.
_OVERDUE: Final = timedelta(hours=1)
_COMPARED: Final = (
    "cluster",
    "tenant",
    "user_name",
    "kind",
    "sandbox_uid",
    "execution_uid",
    "window_hour",
    "starts_at",
    "ends_at",
    "quantity",
    "rounding_seconds",
    "unit",
    "compute_units",
    "amount",
    "currency",
    "sku",
    "occurred_at",
)


class FindingKind(StrEnum):
    """What is wrong."""

    MISSING = "missing"  # the ledger lacks a row
    EXTRA = "extra"  # the ledger has a row that nothing proves
    DIFFERS = "differs"  # a row says other than its pod and plan give
    PRICE = "price"  # a row is priced by another plan or tier than was valid then
    OVERDUE = "overdue"  # a running pod's hours are over by its node's clock, and not billed
    ADJUSTMENT = "adjustment"  # a correction does not fit what it corrects
    ROLLUP = "rollup"  # a sum of use is not what its rows give
    REFUSED = "refused"  # a pod or a bill lies in the dead letters
    CORRECTED = "corrected"  # a row is wrong, and its adjustments make up for exactly that
    OVERLAP = "overlap"  # pods of one sandbox ran at once: clocks of nodes differ
    END_UNKNOWN = "end-unknown"  # a pod is gone and nobody told its end


_WARNINGS: Final = frozenset({FindingKind.CORRECTED, FindingKind.OVERLAP, FindingKind.END_UNKNOWN})
# What an adjustment of the amount makes good; whose the row is, it does not.
_MADE_GOOD: Final = frozenset(
    {"ends_at", "quantity", "rounding_seconds", "compute_units", "amount", "occurred_at"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found. What it is not about is None.

    Attributes:
        hour: the UTC hour of the row.
        text: what is wrong, for people.
    """

    kind: FindingKind
    text: str
    tenant: str | None = None
    pod_uid: UUID | None = None
    event_id: UUID | None = None
    hour: datetime | None = None

    @property
    def is_warning(self) -> bool:
        """Whether it may be right."""
        return self.kind in _WARNINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A pod or a bill in the dead letters.

    Attributes:
        starts_at: before this there is nothing of it; None: not known.
        ends_at: after this there is nothing of it; None: not known, or it goes on.
    """

    id: int
    is_bill: bool
    uid: str
    error: str
    tenant: str | None = None
    namespace: str | None = None
    name: str | None = None
    pod_uid: UUID | None = None
    event_id: UUID | None = None
    hour: datetime | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def may_be_in(self, since: datetime | None, until: datetime | None) -> bool:
        """Whether some of it may lie in [since, until); what is not known may."""
        if until is not None and self.starts_at is not None and self.starts_at >= until:
            return False
        return since is None or self.ends_at is None or self.ends_at >= since


def verify_pod(
    run: PodRunRow,
    rows: Sequence[BillingEvent],
    prices: PriceBook,
    *,
    node_seen_at: datetime | None,
    adjusted: Mapping[UUID, Decimal] = MappingProxyType({}),
) -> tuple[list[BillingEvent], list[Finding]]:
    """Compare a pod's rows of the ledger with those its running time gives.

    Args:
        rows: all of the ledger with this pod's UID.
        node_seen_at: the newest moment known by the clock of its node; None: none is.
        adjusted: what the adjustments of rows come to, by event_id.

    Returns:
        The rows that should be there, and what is wrong, in order of time.
    """
    have = {row.event_id: row for row in rows}
    proven_until: datetime | None = None
    if run.finished_at is None and rows:
        proven_until = max(row.window_hour for row in rows) + HOUR + PROOF_MARGIN
    wanted = list(bill_run(run, prices, proven_until=proven_until, ledger=have))
    found: list[Finding] = []
    for want in wanted:
        row = have.pop(want.event_id, None)
        if row is None:
            found.append(_finding(FindingKind.MISSING, want, _bill_text(want)))
            continue
        paid = row.amount + adjusted.get(row.event_id, Decimal(0))
        found += _differences(row, want, paid)
        found += _price(run, row, prices, paid)
    for row in have.values():
        is_made_good = row.amount + adjusted.get(row.event_id, Decimal(0)) == 0
        kind = FindingKind.CORRECTED if is_made_good and row.amount else FindingKind.EXTRA
        found.append(_finding(kind, row, _bill_text(row)))
    if run.finished_at is None:
        found += _unfinished(run, rows, node_seen_at)
    return wanted, found


def unproved(row: BillingEvent) -> Finding:
    """The finding of a row whose pod is not in pod_runs."""
    return _finding(FindingKind.EXTRA, row, f"{_bill_text(row)}; its pod is not in pod_runs")


def refused(letter: Refused) -> Finding:
    """The finding of a dead letter: time that was never billed, or billed in doubt."""
    if letter.is_bill:
        text = (
            f"{letter.error} (dead letter {letter.id}, `soulbox db dead-letter list`): "
            "compare both, adjust, then delete the letter"
        )
    else:
        whose = f"{letter.namespace or '-'}/{letter.name or '-'}"
        known = "" if letter.pod_uid is not None else f" with UID {letter.uid}"
        text = (
            f"{whose}{known} is in the dead letters, so its time is not billed: {letter.error};"
            " see `soulbox db dead-letter list`, fix the cause, then run `soulbox db dead-letter"
            f" retry {letter.id}`"
        )
    return Finding(
        kind=FindingKind.REFUSED,
        text=text,
        tenant=letter.tenant,
        pod_uid=letter.pod_uid,
        event_id=letter.event_id,
        hour=letter.hour,
    )


def verify_adjustment(
    row: BillingEvent, corrected: BillingEvent, adjusted: Decimal
) -> Iterator[Finding]:
    """What is wrong with a correction.

    Args:
        adjusted: sum of all adjustments of the corrected row.
    """
    for name in ("cluster", "tenant", "user_name", "currency", "sku", "tier", "price_plan"):
        if getattr(row, name) != getattr(corrected, name):
            text = f"its {name} differs from that of the row it corrects, {corrected.event_id}"
            yield _finding(FindingKind.ADJUSTMENT, row, text)
    reference = row.metadata.get("reference")
    if reference is not None and row.event_id != adjustment_id(corrected.event_id, str(reference)):
        yield _finding(
            FindingKind.ADJUSTMENT, row, "its event_id does not follow from its reference"
        )
    if corrected.amount + adjusted < 0:
        text = f"with it {corrected.event_id} comes to {plain_decimal(corrected.amount + adjusted)}"
        yield _finding(FindingKind.ADJUSTMENT, row, text)


def _differences(row: BillingEvent, want: BillingEvent, paid: Decimal) -> Iterator[Finding]:
    names = [name for name in _COMPARED if getattr(row, name) != getattr(want, name)]
    wrong = [
        f"{name} is {_shown(getattr(row, name))} and should be {_shown(getattr(want, name))}"
        for name in names
    ]
    if wrong:
        is_made_good = paid == want.amount != row.amount and _MADE_GOOD.issuperset(names)
        kind = FindingKind.CORRECTED if is_made_good else FindingKind.DIFFERS
        yield _finding(kind, row, "; ".join(wrong))


def _price(
    run: PodRunRow, row: BillingEvent, prices: PriceBook, paid: Decimal
) -> Iterator[Finding]:
    tier = prices.tier_of(run.tenant, run.user_name, row.starts_at)
    plan = prices.plan_for(run.sku, tier, row.starts_at)
    name = None if plan is None else plan.name
    if (row.tier, row.price_plan) != (tier, name):
        text = (
            f"it has tier {row.tier} and plan {row.price_plan or 'none'}, and should have tier"
            f" {tier} and plan {name or 'none'}"
        )
        seconds = row.quantity + row.rounding_seconds
        due = charge(seconds, run.cpu_millicores, run.memory_bytes, plan).amount
        is_made_good = paid == due != row.amount
        yield _finding(FindingKind.CORRECTED if is_made_good else FindingKind.PRICE, row, text)


def _unfinished(
    run: PodRunRow, rows: Sequence[BillingEvent], node_seen_at: datetime | None
) -> Iterator[Finding]:
    if run.deleted_at is not None:
        yield Finding(
            kind=FindingKind.END_UNKNOWN,
            text="it is gone and its end is unknown: its last part is not billed",
            tenant=run.tenant,
            pod_uid=run.pod_uid,
        )
        return
    if node_seen_at is None:
        return
    billed = {row.window_hour for row in rows}
    due = [
        window.hour
        for window in full_windows(run.started_at, node_seen_at - _OVERDUE)
        if window.hour not in billed
    ]
    # Gaps before billed hours are findings of their own.
    due = [hour for hour in due if not billed or hour > max(billed)]
    if due:
        yield Finding(
            kind=FindingKind.OVERDUE,
            text=f"{len(due)} hours from this one on are over and not billed",
            tenant=run.tenant,
            pod_uid=run.pod_uid,
            hour=due[0],
        )


def _finding(kind: FindingKind, row: BillingEvent, text: str) -> Finding:
    return Finding(
        kind=kind,
        text=text,
        tenant=row.tenant,
        pod_uid=row.pod_uid,
        event_id=row.event_id,
        hour=row.window_hour,
    )


def _bill_text(row: BillingEvent) -> str:
    return f"{plain_decimal(row.quantity)} s, {plain_decimal(row.amount)} {row.currency}"


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return plain_decimal(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return "none" if value is None or value == "" else str(value)[:253]
