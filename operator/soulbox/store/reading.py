"""Reading what was recorded: pages of Sandboxes and Executions, one by UID, the health.

Lists go by keyset: the cursor holds the last row's place, so a page costs the same however
far back it is, and rows that are written meanwhile move none. Errors are typed: NotFound,
InvalidRequest (filters, cursors), StoreRefused (statement), StoreConflict (transaction),
StoreUnavailable (connection); a schema that does not fit is a ConfigError of `check_schema`.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from soulbox.model.errors import InvalidRequest, NotFound
from soulbox.model.states import ExecutionState, SandboxState
from soulbox.store.cursors import decode_cursor, encode_cursor
from soulbox.store.files import load_queries
from soulbox.store.pool import Transaction

MAX_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a list holds; None is any.

    Attributes:
        state: in lower case, of the kind that is listed.
        sandbox_uid: of Executions alone.
        since: created at or after this.
        until: created before this.
    """

    tenant: str | None = None
    user_name: str | None = None
    state: str | None = None
    sandbox_uid: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows as dicts by column name, newest first; next_cursor is None on the last page."""

    rows: list[dict[str, Any]]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A database that answers. replica_lag_seconds is None on a primary."""

    server_version: str
    is_replica: bool
    replica_lag_seconds: float | None
    connections: int
    max_connections: int
    schema_version: int


class History:
    """Reads in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._queries = load_queries("reading")

    async def executions(
        self, wanted: Filter, *, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """A page of Executions, newest first.

        Args:
            limit: from 1 to 1000.
            cursor: next_cursor of the page before, with the same filter.

        Raises:
            InvalidRequest: limit, filter or cursor make no sense.
            CursorExpired: the database was restored since.
        """
        states = frozenset(state.value.lower() for state in ExecutionState)
        return await self._page("executions", "list_executions", wanted, states, limit, cursor)

    async def sandboxes(
        self, wanted: Filter, *, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """A page of Sandboxes; as `executions`."""
        if wanted.sandbox_uid is not None:
            raise InvalidRequest("sandbox_uid", "it filters only Executions", "leave it out")
        states = frozenset(state.value.lower() for state in SandboxState)
        return await self._page("sandboxes", "list_sandboxes", wanted, states, limit, cursor)

    async def execution(self, uid: UUID) -> dict[str, Any]:
        """One Execution with its code and output.

        Raises:
            NotFound: there is none that this login may see.
        """
        rows = await self._tx.fetch(self._queries["find_execution"], {"uid": uid})
        if not rows:
            raise NotFound(f"no Execution {uid} is recorded, or it is of another tenant")
        return rows[0]

    async def health(self) -> Health:
        """A sign of life with what matters at once."""
        rows = await self._tx.fetch(self._queries["health"])
        return Health(**rows[0])

    async def epoch(self) -> int:
        """The database's epoch, which cursors belong to."""
        rows = await self._tx.fetch(self._queries["database_epoch"])
        epoch: int = rows[0]["epoch"]
        return epoch

    async def replica_lag_seconds(self) -> float | None:
        """How far this server is behind its primary; None on a primary."""
        rows = await self._tx.fetch(self._queries["replica_lag"])
        lag: float | None = rows[0]["seconds"]
        return lag

    async def _page(
        self,
        kind: str,
        query: LiteralString,
        wanted: Filter,
        states: frozenset[str],
        limit: int,
        cursor: str | None,
    ) -> Page:
        _check(wanted, states, limit)
        parameters = asdict(wanted)
        purpose = f"{kind} {sorted((name, str(value)) for name, value in parameters.items())}"
        epoch = await self.epoch()
        after = {"after_at": None, "after_uid": None}
        if cursor is not None:
            at, uid = decode_cursor(purpose, epoch, cursor)
            after = {"after_at": at, "after_uid": uid}
        # One row more than asked for tells whether there is a next page.
        rows = await self._tx.fetch(
            self._queries[query], {**parameters, **after, "limit": limit + 1}
        )
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(
            rows=rows[:limit],
            next_cursor=None
            if last is None
            else encode_cursor(purpose, epoch, [last["created_at"], last["uid"]]),
        )


def _check(wanted: Filter, states: frozenset[str], limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest("limit", f"{limit} is not from 1 to {MAX_LIMIT}", "ask for fewer rows")
    if wanted.state is not None and wanted.state not in states:
        raise InvalidRequest(
            "state",
            f"{wanted.state[:64]!r} is not a state",
            f"use one of {', '.join(sorted(states))}",
        )
    if wanted.since is not None and wanted.until is not None and wanted.since > wanted.until:
        raise InvalidRequest("since", "it is later than until", "swap them")
