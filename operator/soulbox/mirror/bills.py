"""Running times and bills of the pods of a batch, inside its transaction.

Bills are made from the rows of pod_runs as they are stored, not from the manifest at hand:
whatever a later version of a pod says, a start or end once written is what was billed.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from soulbox.build.rows.pod import PodLife, PodSight
from soulbox.decide.metering import bill_run
from soulbox.decide.prices import PriceBook
from soulbox.mirror.items import Item, to_json
from soulbox.model.billing import BillingEvent
from soulbox.model.rows import DeadLetterRow, PodRunRow
from soulbox.store.feed import FeedStore
from soulbox.store.ledger import LedgerStore, PodEnd, PodRunStore, PriceStore
from soulbox.store.pool import Transaction
from soulbox.store.state import Epochs

_log = logging.getLogger(__name__)

# Kind of a dead letter that holds a bill which contradicts the ledger.
BILL_KIND = "BillingEvent"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOutcome:
    """What the transaction will have done once it is committed.

    Attributes:
        rows_written: rows that were new or changed.
        recorded: pods of which nothing more is to be written.
        conflicts: bills that contradict the ledger.
        prices: the plans that were used; None when no bill was made.
    """

    rows_written: int
    recorded: frozenset[UUID]
    conflicts: int
    prices: PriceBook | None


async def record_pods(tx: Transaction, items: Sequence[Item], epochs: Epochs) -> PodOutcome:
    """Write running times and bills of these pods.

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
    stored = await runs.get(sights.keys())
    billed, conflicts, prices = await _bill(tx, stored, proven)
    return PodOutcome(
        rows_written=written + billed,
        recorded=frozenset(
            uid for uid, sight in sights.items() if _is_recorded(sight, stored.get(uid))
        ),
        conflicts=conflicts,
        prices=prices,
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


async def _bill(
    tx: Transaction, stored: Mapping[UUID, PodRunRow], proven: Mapping[UUID, datetime]
) -> tuple[int, int, PriceBook | None]:
    """Add what is missing in the ledger; say what contradicts it. Returns the number of
    new rows, of contradictions, and the plans used."""
    due = [run for run in stored.values() if run.finished_at is not None or run.pod_uid in proven]
    if not due:
        return 0, 0, None
    ledger = LedgerStore(tx)
    # In this transaction: a plan stamped here is one the database has.
    prices = await PriceStore(tx).book()
    known = await _by_id(ledger, due)
    wanted = {
        event.event_id: event
        for run in due
        for event in bill_run(run, prices, proven_until=proven.get(run.pod_uid), ledger=known)
    }
    missing = [event for key, event in wanted.items() if key not in known]
    added = await ledger.insert(missing) if missing else 0
    if added != len(missing):
        # Somebody else wrote meanwhile; the fence should have kept him out.
        known = await _by_id(ledger, due)
    conflicts = _contradictions(due, wanted, known)
    for have, want in conflicts:
        await _bury(tx, have, want)
    return added, len(conflicts), prices


async def _by_id(ledger: LedgerStore, runs: Iterable[PodRunRow]) -> dict[UUID, BillingEvent]:
    events = await ledger.of_pods([run.pod_uid for run in runs])
    return {event.event_id: event for event in events}


def _contradictions(
    runs: Sequence[PodRunRow],
    wanted: Mapping[UUID, BillingEvent],
    known: Mapping[UUID, BillingEvent],
) -> list[tuple[BillingEvent, BillingEvent | None]]:
    """Rows of the ledger that say other than they should now, each with what it should
    say; None where a finished pod should have no such row at all."""
    finished = {run.pod_uid for run in runs if run.finished_at is not None}
    found: list[tuple[BillingEvent, BillingEvent | None]] = []
    for key, have in known.items():
        want = wanted.get(key)
        if want is None:
            if have.pod_uid in finished:
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
