"""Rows that use and cost are summed from, and sums of them that owe nothing to our SQL."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

CLUSTER = uuid.UUID("0e5ad7a2-3d8b-4f0f-9f61-5b1d0a5e0001")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVENT = """
    insert into soulbox.billing_events (event_id, cluster, tenant, user_name, kind, pod_uid,
        window_hour, starts_at, ends_at, quantity, compute_units, amount, currency, price_plan, sku,
        tier, occurred_at, corrects, metadata)
    values (%(id)s, %(cluster)s, %(tenant)s, %(user)s, %(kind)s, %(pod)s, %(hour)s, %(hour)s,
        %(end)s, %(seconds)s, %(units)s, %(amount)s, %(currency)s, 'default-free-1', %(sku)s,
        'free', %(occurred)s, %(corrects)s, %(metadata)s)"""
MARK = """
    insert into soulbox.usage_marks
        (execution_uid, cluster, tenant, user_name, state, ended_at, duration_ms)
    values (%(id)s, %(cluster)s, %(tenant)s, %(user)s, %(state)s, %(end)s, %(duration)s)"""


@dataclass
class Sums:
    """What one user used in one day or month, in one currency."""

    executions: int = 0
    duration_ms: int = 0
    seconds: Decimal = Decimal(0)
    units: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    breakdown: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def figures(self, dimension: str, name: str) -> dict[str, Any]:
        zero: dict[str, Any] = (
            {"executions": 0, "duration_ms": 0}
            if dimension == "state"
            else {"seconds": Decimal(0), "units": Decimal(0), "cost": Decimal(0)}
        )
        return self.breakdown.setdefault(dimension, {}).setdefault(name, zero)


Key = tuple[str, str, str, str]  # tenant, user, day or month, currency


def add_event(
    connection: psycopg.Connection[Any],
    *,
    tenant: str = "t",
    user: str = "ada",
    hour: datetime = NOON,
    seconds: int = 10,
    amount: Decimal = Decimal("0.0002"),
    currency: str = "USD",
    sku: str = "default",
) -> uuid.UUID:
    """One hour of a pod."""
    values = {
        "id": uuid.uuid4(),
        "cluster": CLUSTER,
        "tenant": tenant,
        "user": user,
        "kind": "sandbox_runtime",
        "pod": uuid.uuid4(),
        "hour": hour,
        "end": hour + timedelta(seconds=seconds),
        "occurred": hour + timedelta(seconds=seconds),
        "seconds": seconds,
        "units": seconds,
        "amount": amount,
        "currency": currency,
        "sku": sku,
        "corrects": None,
        "metadata": "{}",
    }
    connection.execute(EVENT, values)
    return values["id"]  # type: ignore[return-value]


def add_adjustment(
    connection: psycopg.Connection[Any], corrects: uuid.UUID, amount: Decimal, decided: datetime
) -> None:
    """A correction of an event of tenant t and user ada."""
    connection.execute(
        EVENT,
        {
            "id": uuid.uuid4(),
            "cluster": CLUSTER,
            "tenant": "t",
            "user": "ada",
            "kind": "adjustment",
            "pod": None,
            "hour": NOON,
            "end": NOON + timedelta(seconds=10),
            "occurred": decided,
            "seconds": 0,
            "units": 0,
            "amount": amount,
            "currency": "USD",
            "sku": "default",
            "corrects": corrects,
            "metadata": '{"reason": "test"}',
        },
    )


def add_mark(
    connection: psycopg.Connection[Any],
    *,
    tenant: str = "t",
    user: str = "ada",
    state: str = "completed",
    ended: datetime = NOON,
    duration_ms: int = 7,
) -> None:
    """One Execution that ended."""
    connection.execute(
        MARK,
        {
            "id": uuid.uuid4(),
            "cluster": CLUSTER,
            "tenant": tenant,
            "user": user,
            "state": state,
            "end": ended,
            "duration": duration_ms,
        },
    )


def direct_sums(connection: psycopg.Connection[Any], *, monthly: bool) -> dict[Key, Sums]:
    """The sums, added up here from the rows themselves."""
    length = 7 if monthly else 10
    sums: dict[Key, Sums] = defaultdict(Sums)
    for (
        tenant,
        user,
        kind,
        sku,
        currency,
        starts,
        occurred,
        seconds,
        units,
        amount,
    ) in connection.execute(
        "select tenant, user_name, kind, sku, currency, starts_at, occurred_at, quantity,"
        " compute_units, amount from soulbox.billing_events"
    ).fetchall():
        moment = occurred if kind == "adjustment" else starts
        of = sums[tenant, user, moment.astimezone(UTC).date().isoformat()[:length], currency]
        of.seconds += seconds
        of.units += units
        of.cost += amount
        for dimension, name in (("kind", kind), ("sku", sku)):
            figures = of.figures(dimension, name)
            figures["seconds"] += seconds
            figures["units"] += units
            figures["cost"] += amount
    for tenant, user, state, ended, duration in connection.execute(
        "select tenant, user_name, state, ended_at, duration_ms from soulbox.usage_marks"
    ).fetchall():
        of = sums[tenant, user, ended.astimezone(UTC).date().isoformat()[:length], "USD"]
        of.executions += 1
        of.duration_ms += duration
        figures = of.figures("state", state)
        figures["executions"] += 1
        figures["duration_ms"] += duration
    return dict(sums)


def stored_sums(
    connection: psycopg.Connection[Any], relation: str = "usage_aggregates"
) -> dict[Key, Sums]:
    """What a table or a view says; a user's rows on several clusters are not expected."""
    bucket = "period" if relation in ("usage_aggregates", "v_usage_monthly") else "day::text"
    rows = connection.execute(
        f"select tenant, user_name, {bucket}, currency, total_executions, total_duration_ms,"
        f" billed_seconds, compute_units, total_cost, breakdown from soulbox.{relation}"
    ).fetchall()
    found = {(row[0], row[1], row[2], row[3]): Sums(*row[4:9], _numbers(row[9])) for row in rows}
    assert len(found) == len(rows)
    return found


def _numbers(breakdown: dict[str, Any]) -> dict[str, Any]:
    return {
        dimension: {
            name: {
                figure: Decimal(value) if isinstance(value, str) else value
                for figure, value in figures.items()
            }
            for name, figures in entries.items()
        }
        for dimension, entries in breakdown.items()
    }


def assert_exact(connection: psycopg.Connection[Any]) -> None:
    """Tables and views are what the rows add up to. Nobody may write meanwhile."""
    for monthly, names in (
        (True, ("usage_aggregates", "v_usage_monthly")),
        (False, ("usage_daily", "v_usage_daily")),
    ):
        want = direct_sums(connection, monthly=monthly)
        for name in names:
            assert stored_sums(connection, name) == want, name


def assert_views_exact(connection: psycopg.Connection[Any]) -> None:
    """The views are, whatever the tables say."""
    for monthly, name in ((True, "v_usage_monthly"), (False, "v_usage_daily")):
        assert stored_sums(connection, name) == direct_sums(connection, monthly=monthly), name
