"""Running times, prices and the ledger."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from soulbox.model.billing import AccountTier, BillingEvent, BillingKind, EndSource, PricePlan
from soulbox.model.errors import StoreUnavailable
from soulbox.model.rows import PodRunRow
from soulbox.pure.prices import PriceBook
from soulbox.store.files import load_queries
from soulbox.store.objects import ObjectStore
from soulbox.store.pool import Transaction
from soulbox.store.state import Epochs

_Row = TypeVar("_Row")
# Names of the database's own constraints, for mapping refusals to them.
APPEND_ONLY_CONSTRAINT = "billing_events_append_only"
WINDOW_CONSTRAINT = "billing_events_window_key"
PLAN_IMMUTABLE_CONSTRAINT = "price_plans_immutable"
PLAN_OVERLAP_CONSTRAINT = "price_plans_no_overlap"
PLAN_UNBILLED_CONSTRAINT = "price_plans_unbilled"
PLAN_NUMBERS_CONSTRAINT = "price_plans_numbers_bounded"
TIER_IMMUTABLE_CONSTRAINT = "account_tiers_immutable"
TIER_OVERLAP_CONSTRAINT = "account_tiers_no_overlap"
TIER_UNBILLED_CONSTRAINT = "account_tiers_unbilled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodEnd:
    """The end of a pod whose start only the database remembers."""

    pod_uid: UUID
    finished_at: datetime
    end_source: EndSource
    exit_reason: str | None
    resource_version: int


class PodRunStore(ObjectStore[PodRunRow]):
    """Table pod_runs. What was written of a start or of an end stays: bills are made from them."""

    def __init__(self, tx: Transaction) -> None:
        super().__init__(tx, PodRunRow)

    async def finish(self, ends: Sequence[PodEnd], epochs: Epochs) -> int:
        """Write ends where there is a row without one. Returns how many there were."""
        arrays: dict[str, Any] = {
            name: [getattr(end, name) for end in ends] for name in PodEnd.__dataclass_fields__
        }
        return await self._tx.execute(
            load_queries("pod_runs")["finish_pod_runs"], {**arrays, **epochs.parameters()}
        )


class LedgerStore:
    """Table billing_events: rows are added and read, never changed."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("ledger")

    async def insert(self, events: Sequence[BillingEvent]) -> int:
        """Add rows; keys that are there already are left alone. Returns how many were new."""
        queries = self._queries
        await self._tx.stage(
            queries["stage_billing_events"], queries["copy_billing_events"], events
        )
        return await self._tx.execute(queries["insert_billing_events"])

    async def of_pods(self, pod_uids: Collection[UUID]) -> list[BillingEvent]:
        """Rows of these pods in order of pod and time."""
        found = await self._tx.fetch(
            self._queries["billing_events_by_pod"], {"pod_uids": list(pod_uids)}
        )
        return [event_of(row) for row in found]

    async def last_hours(self, pods: Mapping[UUID, BillingKind]) -> dict[UUID, datetime]:
        """The latest hour that each of these pods, given with its kind, is billed for; pods
        that are not billed at all are left out."""
        found = await self._tx.fetch(
            self._queries["last_billed_hours"],
            {"pod_uids": [*pods], "kinds": [kind.value for kind in pods.values()]},
        )
        return {row["pod_uid"]: row["hour"] for row in found if row["hour"] is not None}

    async def of_pods_since(self, hours: Mapping[UUID, datetime]) -> dict[UUID, BillingEvent]:
        """Rows by key of these pods, each from an hour on."""
        if not hours:
            return {}
        found = await self._tx.fetch(
            self._queries["billing_events_since"],
            {"pod_uids": [*hours], "hours": [*hours.values()]},
        )
        return {row["event_id"]: event_of(row) for row in found}

    async def one(self, event_id: UUID) -> BillingEvent | None:
        """A row by its key; None: there is none, or none that the login may see."""
        found = await self._tx.fetch(self._queries["billing_event"], {"event_id": event_id})
        return event_of(found[0]) if found else None


class PriceStore:
    """Tables price_plans and account_tiers."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("prices")

    async def plans(self) -> list[PricePlan]:
        """All plans."""
        found = await self._tx.fetch(self._queries["price_plans"])
        return [_usable(PricePlan, "price plan", row["name"], row) for row in found]

    async def tiers(self) -> list[AccountTier]:
        """Which tier each account has, at any time."""
        found = await self._tx.fetch(self._queries["account_tiers"])
        return [_usable(AccountTier, "tier of account", row["tenant"], row) for row in found]

    async def book(self) -> PriceBook:
        """All of it."""
        return PriceBook(await self.plans(), await self.tiers())


def _usable(make: Callable[..., _Row], what: str, name: str, row: Mapping[str, Any]) -> _Row:
    """A row as our type.

    Raises:
        StoreUnavailable: it says what cannot be. The constraints of the tables do not let it
            in; were it there, what is billed would not be to blame for it.
    """
    try:
        return make(**row)
    except (ValueError, TypeError) as error:
        raise StoreUnavailable(f"{what} {name!r} cannot be used ({error}); correct it") from error


def event_of(row: dict[str, Any]) -> BillingEvent:
    """A row of billing_events as a query of its columns gives it."""
    return BillingEvent(**{**row, "kind": BillingKind(row["kind"])})
