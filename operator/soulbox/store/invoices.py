"""Bills of a month: an invoice of one user, and the dataset of FOCUS 1.2."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import orjson

from soulbox.model.billing import plain_decimal
from soulbox.model.errors import InvalidRequest, NotFound
from soulbox.model.periods import Period
from soulbox.pure.invoice import Invoice, InvoiceLine, LineType, build_invoice
from soulbox.store.files import load_queries
from soulbox.store.pool import Store, Transaction

# Of v_focus: for row security and filters, not of FOCUS.
_OURS: Final = frozenset({"tenant", "user_name"})


async def invoice(
    store: Store, *, user_name: str | None, tenant: str | None, period: Period
) -> Invoice:
    """The part that the login may see of the month's bill of a user, or of all users of a tenant.

    Args:
        user_name: "" is nobody named; None is all users of the tenant.
        tenant: may be None where the user has lines of one tenant alone.

    Raises:
        NotFound: the ledger never had such a row.
        InvalidRequest: the user has lines of several tenants, or neither is given.
        StoreUnavailable, StoreRefused: from PostgreSQL.
    """
    if user_name is None and tenant is None:
        raise InvalidRequest("user", "no user or tenant is named", "give --user, --tenant, or both")
    queries = load_queries("invoices")
    params = {
        "user_name": user_name,
        "tenant": tenant,
        "starts_at": period.starts_at,
        "ends_at": period.ends_at,
    }
    async with store.transaction() as tx:
        # Lines of one state of the ledger.
        await tx.execute(load_queries("verify")["snapshot"])
        lines = [
            InvoiceLine(type=line_type, **row)
            for line_type, query in (
                (LineType.USAGE, "usage"),
                (LineType.ALLOWANCE, "allowances"),
                (LineType.ADJUSTMENT, "adjustments"),
            )
            for row in await tx.fetch(queries[query], params)
        ]
        if not lines:
            (known,) = await tx.fetch(queries["is_known"], params)
            if not known["is_known"]:
                of = "" if tenant is None else f" of tenant {tenant!r}"
                whom = f"user: the ledger has no rows of {user_name!r}{of}"
                if user_name is None:
                    whom = f"tenant: the ledger has no rows of {tenant!r}"
                raise NotFound(f"{whom}; its users and tenants are those of soulbox.billing_events")
    tenants = sorted({line.tenant for line in lines})
    if len(tenants) > 1:
        raise InvalidRequest(
            "tenant",
            f"{user_name!r} has bills of several: {', '.join(tenants[:10])}",
            "name one: the same name in two tenants is two people",
        )
    return build_invoice(user_name, tenants[0] if tenants else tenant, period, lines)


async def focus_rows(
    store: Store, *, period: Period, tenant: str | None = None, portion: int = 2000
) -> AsyncIterator[dict[str, str]]:
    """The rows of a month as FOCUS 1.2 has them, cells as text, "" for null; a dict for each,
    all of the same keys in the same order. Their billed costs sum to the month's invoices.

    Raises:
        StoreUnavailable, StoreRefused: from PostgreSQL.
    """
    queries = load_queries("invoices")
    params = {"tenant": tenant, "starts_at": period.starts_at, "ends_at": period.ends_at}
    async with store.transaction() as tx:
        await tx.execute(load_queries("verify")["snapshot"])
        for query in ("focus_usage", "focus_rest"):
            async for row in _rows(tx, queries[query], params, portion):
                yield row


async def focus_columns(store: Store) -> list[str]:
    """The columns of the dataset, in order.

    Raises:
        StoreUnavailable, StoreRefused: from PostgreSQL.
    """
    async with store.transaction() as tx:
        found = await tx.fetch(load_queries("invoices")["focus_columns"])
    return [focus_name(row["name"]) for row in found if row["name"] not in _OURS]


def focus_name(column: str) -> str:
    """FOCUS' name of a column of v_focus: BilledCost of billed_cost, x_EventId of x_event_id."""
    prefix, rest = ("x_", column[2:]) if column.startswith("x_") else ("", column)
    return prefix + "".join(part.capitalize() for part in rest.split("_"))


async def _rows(
    tx: Transaction, query: Any, params: Mapping[str, Any], portion: int
) -> AsyncIterator[dict[str, str]]:
    async for rows in tx.stream(query, params, portion=portion):
        for row in rows:
            yield dict(_cells(row))


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if name not in _OURS:
            yield focus_name(name), _cell(value)


def _cell(value: Any) -> str:
    """FOCUS' formats: times in UTC to the second, numbers without exponent, JSON objects."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Decimal):
        return plain_decimal(value)
    if isinstance(value, Mapping):
        return orjson.dumps(value).decode()
    return str(value)
