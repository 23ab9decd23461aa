"""From a pod's running time to rows of the ledger.

A pod's running time [started_at, finished_at) is cut at the full hours of UTC. Each piece
is one row, whose key is made from the pod and the hour, so that the rows are the same however
often, and by whatever process, they are made:

    event_id = uuid5(EVENT_NAMESPACE, "{pod_uid}/{kind}/{window hour, RFC 3339 UTC}")

The window is named by its hour, not by when the pod started in it: that is the same key
as the ledger's UNIQUE (pod_uid, kind, window_hour), so both are violated together or not
at all.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final
from uuid import UUID, uuid5

from soulbox.model.billing import (
    DEFAULT_CURRENCY,
    HOUR,
    UNIT_SECONDS,
    BillingEvent,
    BillingKind,
    Window,
    span_seconds,
)
from soulbox.model.rows import PodRunRow
from soulbox.pure.prices import PriceBook, charge, rounding_seconds

# uuid5(NAMESPACE_DNS, "billing.soulbox.dev"); part of the public key, never to change.
EVENT_NAMESPACE: Final = UUID("be67f3a9-3bf2-5107-8102-42e6a16c85c8")
# A still running pod's hour is billed once its node's Lease was renewed so long after the
# hour's end: the kubelet posts a container's end within a status sync (10 s), and renews
# the Lease only while it reaches the API server. Guess: six times that.
PROOF_MARGIN: Final = timedelta(seconds=60)


def event_id(pod_uid: UUID, kind: BillingKind, window_hour: datetime) -> UUID:
    """The key of the row that bills this pod for this hour."""
    hour = window_hour.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return uuid5(EVENT_NAMESPACE, f"{pod_uid}/{kind.value}/{hour}")


def hour_of(moment: datetime) -> datetime:
    """The start of the UTC hour that `moment` lies in."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def windows(
    started_at: datetime, finished_at: datetime, since: datetime | None = None
) -> Iterator[Window]:
    """The running time of a finished pod, cut at full hours; at least one window.

    Their lengths sum to exactly finished_at - started_at. A pod that finished when it
    started, or before (its node's clock was set back), has one window of zero length: it
    ran, so it has a row.

    Args:
        since: a full hour; windows before it are left out without being made.
    """
    started_at, finished_at = started_at.astimezone(UTC), finished_at.astimezone(UTC)
    if finished_at <= started_at:
        yield Window(hour=hour_of(started_at), starts_at=started_at, ends_at=started_at)
        return
    starts_at = started_at if since is None else max(started_at, since)
    hour = hour_of(starts_at)
    while starts_at < finished_at:
        ends_at = min(hour + HOUR, finished_at)
        yield Window(hour=hour, starts_at=starts_at, ends_at=ends_at)
        starts_at = hour = hour + HOUR


def last_hour(started_at: datetime, finished_at: datetime) -> datetime:
    """The hour of the last window of a finished pod."""
    if finished_at <= started_at:
        return hour_of(started_at)
    return hour_of(finished_at - timedelta(microseconds=1))


def full_windows(
    started_at: datetime, proven_until: datetime, since: datetime | None = None
) -> Iterator[Window]:
    """The hours of a still running pod that are over for certain.

    Args:
        proven_until: renewTime of the Lease of the pod's node, read before the pod was
            seen running: the clock the pod's own times come from.
        since: see `windows`.
    """
    last = proven_until - PROOF_MARGIN
    for window in windows(started_at, max(last, started_at), since):
        if window.hour + HOUR <= last:
            yield window


def billing_kind(run: PodRunRow) -> BillingKind:
    """A one-shot Execution's own pod is billed as that execution, others as runtime."""
    one_shot = run.execution_uid is not None and run.sandbox_uid is None
    return BillingKind.EXECUTION if one_shot else BillingKind.SANDBOX_RUNTIME


def bill_run(
    run: PodRunRow,
    prices: PriceBook,
    *,
    proven_until: datetime | None = None,
    since: datetime | None = None,
    ledger: Mapping[UUID, BillingEvent] = MappingProxyType({}),
) -> Iterator[BillingEvent]:
    """Ledger rows of one pod: all of them once it is finished, else its proven hours.

    Each window is priced by the plan valid at its start; one that is in the ledger already
    by the plan and tier stamped there, whatever is valid by now. A time without any plan
    costs nothing and says so in `metadata`: the row is there to be corrected.

    Minimum and increment apply to the whole time of a finished pod, by the plan of its last
    row, and are billed there. A pod is finished when its last hour is known to be its last,
    so no row before it ever has to change.

    Args:
        proven_until: see `full_windows`; None bills nothing of a still running pod.
        since: a full hour; rows before it are there, and are left out.
        ledger: rows that are there already, by event_id; none before `since` is asked for.
    """
    total_seconds: Decimal | None = None
    if run.finished_at is not None:
        found = windows(run.started_at, run.finished_at, since)
        total_seconds = span_seconds(run.started_at, max(run.started_at, run.finished_at))
    elif proven_until is not None:
        found = full_windows(run.started_at, proven_until, since)
    else:
        return
    kind = billing_kind(run)
    for window in found:
        key = event_id(run.pod_uid, kind, window.hour)
        stamped = ledger.get(key)
        if stamped is None:
            tier = prices.tier_of(run.tenant, run.user_name, window.starts_at)
            plan = prices.plan_for(run.sku, tier, window.starts_at)
        else:
            tier = stamped.tier
            plan = None if stamped.price_plan is None else prices.named(stamped.price_plan)
        rounding = Decimal(0)
        is_last = run.finished_at is not None and window.ends_at >= run.finished_at
        if total_seconds is not None and is_last:
            rounding = rounding_seconds(total_seconds, plan)
        cost = charge(window.seconds + rounding, run.cpu_millicores, run.memory_bytes, plan)
        yield BillingEvent(
            event_id=key,
            cluster=run.cluster,
            tenant=run.tenant,
            user_name=run.user_name,
            kind=kind,
            pod_uid=run.pod_uid,
            window_hour=window.hour,
            sandbox_uid=run.sandbox_uid,
            execution_uid=run.execution_uid,
            starts_at=window.starts_at,
            ends_at=window.ends_at,
            quantity=window.seconds,
            rounding_seconds=rounding,
            unit=UNIT_SECONDS,
            compute_units=cost.compute_units,
            amount=cost.amount,
            currency=DEFAULT_CURRENCY if plan is None else plan.currency,
            price_plan=None if plan is None else plan.name,
            sku=run.sku,
            tier=tier,
            occurred_at=window.ends_at,
            metadata={} if plan is not None else {"unpriced": True},
        )
