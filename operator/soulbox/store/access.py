"""Logins of tenants."""

from collections.abc import Sequence
from typing import Final

from soulbox.model.errors import InvalidRequest, StoreRefused
from soulbox.store.files import load_queries
from soulbox.store.pool import Store

# By the name that the function gives to what was wrong: field, problem, remedy.
_REFUSALS: Final = {
    "login_exists": (
        "login",
        "{login!r} does not exist",
        "create it: create role … login password …",
    ),
    "login_of_tenants": ("login", "{login!r} already sees all tenants", "use another login"),
    "tenant_named": ("tenant", "it is empty", "name the tenants that the login may read"),
}


async def grant_reader(
    store: Store,
    *,
    login: str,
    tenants: Sequence[str],
    connections: int,
    statement_seconds: int,
) -> list[str]:
    """Let a login read the rows of tenants, within bounds. Safe to repeat.

    Returns:
        What was set, and what somebody with more rights has to; for people.

    Raises:
        InvalidRequest: there is no such login, or it sees everything already.
        StoreRefused: the present login may not.
    """
    try:
        async with store.transaction() as tx:
            rows = await tx.fetch(
                load_queries("access")["grant_reader"],
                {
                    "login": login,
                    "tenants": list(tenants),
                    "connections": connections,
                    "statement_seconds": statement_seconds,
                },
            )
    except StoreRefused as error:
        if error.constraint not in _REFUSALS:
            raise
        field, problem, remedy = _REFUSALS[error.constraint]
        raise InvalidRequest(field, problem.format(login=login[:64]), remedy) from error
    return [row["line"] for row in rows]
