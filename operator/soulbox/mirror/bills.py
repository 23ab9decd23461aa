"""Running times and bills of the pods of a batch, inside its transaction.

Bills are made from the rows of pod_runs as they are stored, not from the manifest at hand:
whatever a later version of a pod says, a start or end once written is what was billed.

An hour's work for an hour: a pod's rows are made from the first hour that is not in the ledger
on. They are committed in the order of time, so none before that is missing. What a batch owes
beyond BILL_ROWS rows is billed in transactions of its own.
"""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from soulbox.mirror.items import Item, to_json
from soulbox.model.billing import HOUR, BillingEvent
from soulbox.model.rows import DeadLetterRow, PodRunRow
from soulbox.pure.metering import bill_run, billing_kind, last_hour
from soulbox.pure.pods.sight import PodLife, PodSight
from soulbox.pure.prices import PriceBook
from soulbox.store.feed import FeedStore
from soulbox.store.ledger import LedgerStore, PodEnd, PodRunStore, PriceStore
from soulbox.store.pool import Transaction
from soulbox.store.state import Epochs

_log = logging.getLogger(__name__)

# Kind of a dead letter that holds a bill which contradicts the ledger.
BILL_KIND = "BillingEvent"
# Rows of the ledger in one transaction: 28 us each to make, so that nobody else on the event
# loop waits long; a pod of the default lifetime has 168.
BILL_ROWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOutcome:
    """What the transaction will have done once it is committed.

    Attributes:
        rows_written: rows that were new or changed.
        recorded: pods for which nothing is left to write once `bills.rest` is billed.
    """

    rows_written: int
    recorded: frozenset[UUID]
    bills: "BillOutcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """A pod that has time to bill.

    Attributes:
        proven_until: the Lease renewTime up to which it is known to have run; of a pod
            whose end is known, None.
    """

    run: PodRunRow
    proven_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillOutcome:
    """What the transaction will have billed once it is committed.

    Attributes:
        rows_written: rows that were new.
        conflicts: bills that contradict the ledger.
        prices: the plans that were used; None when no bill was made.
        rest: what is still to be billed, by `bill_pods` in a transaction of its own.
    """

    rows_written: int = 0
    conflicts: int = 0
    prices: PriceBook | None = None
    rest: Sequence[Debt] = ()


async def record_pods(tx: Transaction, items: Sequence[Item], epochs: Epochs) -> PodOutcome:
    """Write running times of these pods, and as many of their bills as one transaction takes.

    Raises:
        StoreUnavailable, StoreRefused: the transaction is lost.
    """
    sights = {item.pod.uid: item.pod for item in items if item.pod is not None}
    proven = {
        item.pod.uid: item.proven_until
        for item in items
        if item.pod is not None and item.proven_until is not None
    }
    runs = PodRunStore(tx)
    written = 0
    rows = [sight.run for sight in sights.values() if sight.run is not None]
    if rows:
        written += await runs.upsert(rows, epochs)
    ends = [_end(sight) for sight in sights.values() if sight.run is None and sight.finish]
    if ends:
        written += await runs.finish(ends, epochs)
    stored = await runs.by_uid(sights.keys())
    return PodOutcome(
        rows_written=written,
        recorded=frozenset(
            uid for uid, sight in sights.items() if _is_recorded(sight, stored.get(uid))
        ),
        bills=await bill_pods(
            tx,
            [
                Debt(run=run, proven_until=proven.get(run.pod_uid))
                for run in stored.values()
                if run.finished_at is not None or run.pod_uid in proven
            ],
        ),
    )


def _end(sight: PodSight) -> PodEnd:
    assert sight.finish is not None
    return PodEnd(
        pod_uid=sight.uid,
        finished_at=sight.finish.finished_at,
        end_source=sight.finish.end_source,
        exit_reason=sight.finish.exit_reason,
        resource_version=sight.resource_version,
    )


def _is_recorded(sight: PodSight, stored: PodRunRow | None) -> bool:
    if stored is None:
        return sight.life is PodLife.NEVER_STARTED
    return stored.finished_at is not None


async def bill_pods(tx: Transaction, debts: Sequence[Debt], rows: int = BILL_ROWS) -> BillOutcome:
    """Add what is missing in the ledger, at most so many rows; say what contradicts it.

    Raises:
        StoreUnavailable, StoreRefused: the transaction is lost.
    """
    if not debts:
        return BillOutcome()
    ledger = LedgerStore(tx)
    # In this transaction: a plan stamped here is one the database has.
    prices = await PriceStore(tx).book()
    runs = [debt.run for debt in debts]
    billed = await ledger.last_hours({run.pod_uid: billing_kind(run) for run in runs})
    since = {run.pod_uid: _since(run, billed.get(run.pod_uid)) for run in runs}
    # Of a pod that ended, what the ledger says of its last hour and of hours after it.
    known = await ledger.of_pods_since(
        {uid: hour for uid, hour in since.items() if hour is not None and hour <= billed[uid]}
    )
    wanted: dict[UUID, BillingEvent] = {}
    whole: set[UUID] = set()
    rest: list[Debt] = []
    for debt in debts:
        uid = debt.run.pod_uid
        room = rows - len(wanted)
        events = bill_run(
            debt.run, prices, proven_until=debt.proven_until, since=since[uid], ledger=known
        )
        wanted |= {event.event_id: event for event in islice(events, room)}
        if room > 0 and next(events, None) is None:
            whole.add(uid)
        else:
            rest.append(debt)
    missing = [event for key, event in wanted.items() if key not in known]
    added = await ledger.insert(missing) if missing else 0
    if added != len(missing):
        # Another process wrote meanwhile; the fence should have kept it out.
        known = await ledger.of_pods_since(
            {run.pod_uid: since[run.pod_uid] or run.started_at - HOUR for run in runs}
        )
    ended = {run.pod_uid for run in runs if run.finished_at is not None and run.pod_uid in whole}
    conflicts = _contradictions(ended, wanted, known)
    for have, want in conflicts:
        await _bury(tx, have, want)
    return BillOutcome(rows_written=added, conflicts=len(conflicts), prices=prices, rest=rest)


def _since(run: PodRunRow, billed: datetime | None) -> datetime | None:
    """The first hour to bill; None: all of them. The last hour of a pod that ended is made
    again although it is billed: it may have been billed as if the pod ran on."""
    if billed is None:
        return None
    following = billed + HOUR
    if run.finished_at is None:
        return following
    return min(following, last_hour(run.started_at, run.finished_at))


def _contradictions(
    ended: Set[UUID],
    wanted: Mapping[UUID, BillingEvent],
    known: Mapping[UUID, BillingEvent],
) -> list[tuple[BillingEvent, BillingEvent | None]]:
    """Rows of the ledger that say other than they should now, each with what it should
    say; None where a pod that ended should have no such row at all."""
    found: list[tuple[BillingEvent, BillingEvent | None]] = []
    for key, have in known.items():
        want = wanted.get(key)
        if want is None:
            if have.pod_uid in ended:
                found.append((have, None))
        elif not want.same_bill(have):
            found.append((have, want))
    return found


async def _bury(tx: Transaction, have: BillingEvent, want: BillingEvent | None) -> None:
    _log.error(
        "a bill contradicts the ledger; the ledger stays as it is",
        extra={"action": "bill-conflict", "uid": str(have.event_id), "pod": str(have.pod_uid)},
    )
    payload: dict[str, Any] = {
        "ledger": asdict(have),
        "recomputed": None if want is None else asdict(want),
    }
    await FeedStore(tx).bury(
        DeadLetterRow(
            cluster=have.cluster,
            tenant=have.tenant,
            user_name=have.user_name,
            kind=BILL_KIND,
            uid=str(have.event_id),
            namespace=None,
            name=None,
            resource_version=None,
            sqlstate=None,
            constraint_name=None,
            error="the running time of the pod gives another bill under the same key",
            payload=to_json(payload),
        )
    )
