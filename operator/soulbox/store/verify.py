"""The whole ledger made again from pod_runs and price_plans, a portion at a time.

One snapshot for all that is compared; memory holds one portion of pods with their rows,
whatever the ledger's size.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from soulbox.model.billing import BillingEvent
from soulbox.model.errors import InvalidRequest
from soulbox.model.manifests import is_over
from soulbox.model.rows import PodRunRow
from soulbox.model.times import parse_time
from soulbox.pure.prices import PriceBook
from soulbox.pure.verify import (
    Finding,
    FindingKind,
    Refused,
    refused,
    unproved,
    verify_adjustment,
    verify_pod,
)
from soulbox.store.files import load_queries
from soulbox.store.ledger import LedgerStore, PriceStore, event_of
from soulbox.store.pool import Store, Transaction
from soulbox.store.rollups import RollupDifference, rollup_differences
from soulbox.store.staging import row_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is verified; None is no bound.

    Attributes:
        since, until: pods that ran in [since, until), with all their rows.
    """

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        """
        Raises:
            InvalidRequest: the bounds are reversed.
        """
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise InvalidRequest("since", "it is not before until", "swap them")


@dataclass(slots=True)
class Sums:
    """What one side comes to. Amounts are by currency."""

    rows: int = 0
    seconds: Decimal = Decimal(0)
    rounding_seconds: Decimal = Decimal(0)
    amounts: dict[str, Decimal] = field(default_factory=dict)

    def add(self, row: BillingEvent) -> None:
        """Count a row."""
        self.rows += 1
        self.seconds += row.quantity
        self.rounding_seconds += row.rounding_seconds
        self.amounts[row.currency] = self.amounts.get(row.currency, Decimal(0)) + row.amount


@dataclass(slots=True)
class Summary:
    """What was looked at; filled while it is.

    Attributes:
        ledger: rows of pods as they are stored.
        recomputed: the same made again.
        adjustments: corrections, which nothing recomputes.
    """

    pods: int = 0
    ledger: Sums = field(default_factory=Sums)
    recomputed: Sums = field(default_factory=Sums)
    adjustments: Sums = field(default_factory=Sums)
    differences: int = 0
    warnings: int = 0


class Verification:
    """One run over the ledger."""

    def __init__(self, store: Store, scope: Scope, *, portion: int = 2000) -> None:
        self._store = store
        self._scope = scope
        self._portion = portion
        self._queries = load_queries("verify")
        self._params: dict[str, Any] = {
            "since": scope.since,
            "until": scope.until,
            "tenant": scope.tenant,
        }
        self.summary = Summary()

    async def findings(self) -> AsyncIterator[Finding]:
        """What is wrong, as it is found; `summary` is whole once this has ended.

        Raises:
            StoreUnavailable, StoreRefused: it could not be looked at to the end.
        """
        async with self._store.transaction() as tx:
            await tx.execute(self._queries["snapshot"])
            for look in (
                self._pods,
                self._refused,
                self._unproved,
                self._adjustments,
                self._overlaps,
            ):
                async for finding in look(tx):
                    yield self._counted(finding)
        for difference in await rollup_differences(self._store):
            if self._is_asked_for(difference):
                yield self._counted(_rollup(difference))

    def _counted(self, finding: Finding) -> Finding:
        if finding.is_warning:
            self.summary.warnings += 1
        else:
            self.summary.differences += 1
        return finding

    async def _pods(self, tx: Transaction) -> AsyncIterator[Finding]:
        prices: PriceBook = await PriceStore(tx).book()
        nodes = {
            (row["cluster"], row["node"]): row["seen_at"]
            for row in await tx.fetch(self._queries["nodes"])
        }
        ledger = LedgerStore(tx)
        async for portion in tx.stream(self._queries["pods"], self._params, portion=self._portion):
            runs = [row_of(PodRunRow, row) for row in portion]
            rows: dict[UUID | None, list[BillingEvent]] = {}
            for row in await ledger.of_pods([run.pod_uid for run in runs]):
                self.summary.ledger.add(row)
                rows.setdefault(row.pod_uid, []).append(row)
            adjusted = {
                row["event_id"]: row["amount"]
                for row in await tx.fetch(
                    self._queries["adjusted"], {"pod_uids": [run.pod_uid for run in runs]}
                )
            }
            for run in runs:
                self.summary.pods += 1
                wanted, found = verify_pod(
                    run,
                    rows.get(run.pod_uid, []),
                    prices,
                    node_seen_at=nodes.get((run.cluster, run.node)),
                    adjusted=adjusted,
                )
                for want in wanted:
                    self.summary.recomputed.add(want)
                for finding in found:
                    yield finding

    async def _refused(self, tx: Transaction) -> AsyncIterator[Finding]:
        # Whole objects: fewer at a time.
        async for portion in tx.stream(self._queries["refused"], self._params, portion=50):
            for row in portion:
                letter = _letter(row)
                if letter.may_be_in(self._scope.since, self._scope.until):
                    yield refused(letter)

    async def _unproved(self, tx: Transaction) -> AsyncIterator[Finding]:
        async for portion in tx.stream(
            self._queries["unproved"], self._params, portion=self._portion
        ):
            for found in portion:
                row = event_of(found)
                self.summary.ledger.add(row)
                yield unproved(row)

    async def _adjustments(self, tx: Transaction) -> AsyncIterator[Finding]:
        async for portion in tx.stream(
            self._queries["adjustments"], self._params, portion=self._portion
        ):
            adjusted = [row.pop("adjusted") for row in portion]
            rows = [event_of(row) for row in portion]
            found = await tx.fetch(
                self._queries["corrected"], {"event_ids": [row.corrects for row in rows]}
            )
            corrected = {row["event_id"]: event_of(row) for row in found}
            for row, total in zip(rows, adjusted, strict=True):
                self.summary.adjustments.add(row)
                of = corrected.get(row.corrects) if row.corrects is not None else None
                if of is None:
                    yield Finding(
                        kind=FindingKind.ADJUSTMENT,
                        text=f"the row it corrects, {row.corrects}, does not exist",
                        tenant=row.tenant,
                        event_id=row.event_id,
                    )
                    continue
                for finding in verify_adjustment(row, of, total):
                    yield finding

    async def _overlaps(self, tx: Transaction) -> AsyncIterator[Finding]:
        async for portion in tx.stream(
            self._queries["overlaps"], self._params, portion=self._portion
        ):
            for row in portion:
                yield Finding(
                    kind=FindingKind.OVERLAP,
                    text=f"it began {row['started_at'].isoformat()} while a pod of Sandbox "
                    f"{row['sandbox_uid']} ran until {row['ended_at'].isoformat()}",
                    tenant=row["tenant"],
                    pod_uid=row["pod_uid"],
                )

    def _is_asked_for(self, difference: RollupDifference) -> bool:
        scope = self._scope
        if scope.tenant is not None and difference.tenant != scope.tenant:
            return False
        month = difference.period[:7]
        if scope.since is not None and month < f"{scope.since:%Y-%m}":
            return False
        return scope.until is None or month <= f"{scope.until:%Y-%m}"


def _letter(row: Mapping[str, Any]) -> Refused:
    """A pod began after it was created, and is over once it was refused in its last state."""
    is_bill = row["is_bill"]
    pod = None if is_bill else json.loads(row["pod"])
    metadata = _member(pod, "metadata")
    created = _member(metadata, "creationTimestamp")
    has_ended = bool(_member(metadata, "deletionTimestamp")) or (
        isinstance(pod, Mapping) and is_over(pod)
    )
    return Refused(
        id=row["id"],
        is_bill=is_bill,
        uid=row["uid"],
        error=row["error"],
        tenant=row["tenant"],
        namespace=row["namespace"],
        name=row["name"],
        pod_uid=row["pod_uid"] if is_bill else row["key"],
        event_id=row["key"] if is_bill else None,
        hour=row["window_hour"],
        starts_at=row["starts_at"] if is_bill else parse_time(str(created)),
        ends_at=row["ends_at"] if is_bill else row["updated_at"] if has_ended else None,
    )


def _member(parent: Any, name: str) -> Any:
    """None where a refused object is malformed."""
    return parent.get(name) if isinstance(parent, dict) else None


def _rollup(difference: RollupDifference) -> Finding:
    stored, wanted = difference.stored, difference.recomputed
    if stored is None:
        text = "the row is missing"
    elif wanted is None:
        text = "the row should not be there"
    else:
        text = (
            "; ".join(
                f"{name} is {getattr(stored, name)} and should be {getattr(wanted, name)}"
                for name in (
                    "total_executions",
                    "total_duration_ms",
                    "billed_seconds",
                    "compute_units",
                    "total_cost",
                )
                if getattr(stored, name) != getattr(wanted, name)
            )
            or "its breakdown is wrong"
        )
    who = f"{difference.tenant}/{difference.user_name or '-'} {difference.currency}"
    return Finding(
        kind=FindingKind.ROLLUP,
        text=f"{difference.table} {difference.period} of {who}: {text}",
        tenant=difference.tenant,
    )
