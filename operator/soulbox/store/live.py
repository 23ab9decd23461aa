"""The feed of changes, live: each change once, in order, across breaks of either side.

A reader follows xid8, never seq alone: transactions commit out of order, and what is below
the snapshot's xmin is there for good. NOTIFY is only a hint to look; without one the feed
is looked at every few seconds. When PostgreSQL goes away the feed waits for it and goes on
where it was; when the database was restored meanwhile, its transaction ids mean something
else and the feed ends with CursorExpired.

A transaction that stays open on the server holds back what committed after it began.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads

from soulbox.model.backoff import Backoff
from soulbox.model.errors import CursorExpired, InvalidRequest, StoreUnavailable
from soulbox.store.cursors import decode_cursor, encode_cursor
from soulbox.store.errors import check_dsn, translated
from soulbox.store.files import load_queries
from soulbox.store.pool import (
    CONNECTION,
    begin_pooled,
    is_pooled,
    note_pooler,
    session_settings,
)

_PURPOSE: Final = "changes"
_PAGE_ROWS: Final = 1000
# Without a hint: one may be lost with a connection. Changes on their way (their transaction
# or an older one is open) are looked for sooner.
_IDLE_SECONDS: Final = 5.0
# Over a pooler there are no hints at all.
_POOLED_SECONDS: Final = 1.0
_PENDING_SECONDS: Final = 0.05
_FIRST_SECONDS: Final = 0.1
_MOST_SECONDS: Final = 5.0
# A server that neither answers nor closes.
_ANSWER_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFilter:
    """Which changes; None is any."""

    kind: str | None = None
    sandbox_uid: UUID | None = None
    user_name: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change as it was committed.

    Attributes:
        cursor: goes on after this change.
        payload: state and name of an object, figures of a metric.
    """

    kind: str
    op: str
    uid: UUID
    sandbox_uid: UUID | None
    tenant: str
    user_name: str
    at: datetime
    payload: dict[str, Any]
    cursor: str


@dataclass(slots=True)
class _Position:
    xid: str
    seq: int
    epoch: int


class Feed:
    """Changes of one database. Iterate `changes()`, once.

    Args:
        dsn: libpq's connection string; never logged.
        since: cursor of a Change, to go on after it; None begins now.
        on_away: told once each time PostgreSQL goes away; it is waited for.
        connect_timeout_seconds: of each try to connect.
    """

    def __init__(
        self,
        dsn: str,
        wanted: ChangeFilter,
        *,
        since: str | None = None,
        on_away: Callable[[StoreUnavailable], None] = lambda _: None,
        connect_timeout_seconds: float = 5,
    ) -> None:
        check_dsn(dsn)
        if wanted.kind not in (None, "sandbox", "execution", "function", "metric"):
            raise InvalidRequest(
                "kind", "it is not a kind of change", "use sandbox, execution, function or metric"
            )
        self._dsn = dsn
        self._wanted = wanted
        self._since = since
        self._on_away = on_away
        self._connect_timeout = connect_timeout_seconds
        self._queries = load_queries("feed")
        self._begin_pooled = begin_pooled(_ANSWER_SECONDS)
        self._position: _Position | None = None
        self._last: tuple[str, int] | None = None  # the last change that was given out

    async def changes(self) -> AsyncIterator[Change]:
        """Every committed change once, in order, until the caller stops.

        Raises:
            InvalidRequest: `since` is no cursor.
            CursorExpired: the database was restored, or changes after the cursor were removed.
            StoreUnavailable: PostgreSQL could not be reached at all; once it was, it is
                waited for.
            StoreRefused: a statement was refused, for example because a right is missing.
        """
        backoff = Backoff(first_seconds=_FIRST_SECONDS, most_seconds=_MOST_SECONDS)
        while True:
            try:
                async with await self._connect() as connection:
                    backoff.reset()
                    async for change in self._follow(connection):
                        yield change
            except StoreUnavailable as error:
                # Before the first position nothing was promised yet: say what is wrong.
                if self._position is None:
                    raise
                if not backoff.tries:
                    self._on_away(error)
                await asyncio.sleep(backoff.next_seconds())

    async def _connect(self) -> AsyncConnection[DictRow]:
        with translated():
            options: dict[str, Any] = {
                "connect_timeout": max(2, round(self._connect_timeout)),
                "application_name": "soulbox watch",
                **CONNECTION,
            }
            connection = await AsyncConnection.connect(
                self._dsn, autocommit=True, row_factory=dict_row, **options
            )
            set_json_loads(orjson.loads, connection)
            await note_pooler(connection)
            if not is_pooled(connection):
                await connection.execute(session_settings(_ANSWER_SECONDS), prepare=False)
        return connection

    async def _follow(self, connection: AsyncConnection[DictRow]) -> AsyncIterator[Change]:
        # First, so that no hint is missed between the first look and it. Over a pooler the
        # connection would listen on behalf of its next client: there the feed polls more often
        # instead.
        if not is_pooled(connection):
            await self._ask(connection, "feed_listen", rows=False)
        if self._position is None:
            self._position = await self._begin(connection)
        else:
            await self._step_back(connection, self._position)
        while True:
            marks = (await self._ask(connection, "feed_watermark"))[0]
            if marks["epoch"] != self._position.epoch:
                raise CursorExpired(
                    "cursor", "the database was restored meanwhile", "begin without --since"
                )
            async for change in self._below(connection, marks["xid"]):
                yield change
            idle_seconds = _POOLED_SECONDS if is_pooled(connection) else _IDLE_SECONDS
            await self._wait(connection, _PENDING_SECONDS if marks["more"] else idle_seconds)

    async def _begin(self, connection: AsyncConnection[DictRow]) -> _Position:
        start = (await self._ask(connection, "feed_start"))[0]
        position = _Position(**start)
        if self._since is None:
            return position
        xid, seq = decode_cursor(_PURPOSE, position.epoch, self._since)
        self._last = xid, seq
        found = await self._ask(connection, "feed_has", {"xid": xid, "seq": seq})
        if not found[0]["has"]:
            raise CursorExpired(
                "cursor",
                "the changes after it are no longer kept (or you may not see them)",
                "begin without --since",
            )
        return _Position(xid=xid, seq=seq, epoch=position.epoch)

    async def _step_back(self, connection: AsyncConnection[DictRow], position: _Position) -> None:
        """After a break, to what is certain. A server that crashed may give a transaction id
        again that it had not written down; a committed change it had, and so all before."""
        if self._last is not None:
            position.xid, position.seq = self._last
            return
        marks = (await self._ask(connection, "feed_watermark"))[0]
        if int(marks["xid"]) < int(position.xid):
            position.xid, position.seq = marks["xid"], 0

    async def _below(
        self, connection: AsyncConnection[DictRow], watermark: str
    ) -> AsyncIterator[Change]:
        position = self._position
        assert position is not None
        while True:
            rows = await self._ask(
                connection,
                "feed_page",
                {
                    "after_xid": position.xid,
                    "after_seq": position.seq,
                    "watermark": watermark,
                    "kind": self._wanted.kind,
                    "sandbox_uid": self._wanted.sandbox_uid,
                    "user_name": self._wanted.user_name,
                    "tenant": self._wanted.tenant,
                    "limit": _PAGE_ROWS,
                },
            )
            for row in rows:
                # Before it is given out: a caller that comes back has it already.
                self._last = position.xid, position.seq = row.pop("xid"), row.pop("seq")
                cursor = encode_cursor(_PURPOSE, position.epoch, [position.xid, position.seq])
                yield Change(**row, cursor=cursor)
            if len(rows) < _PAGE_ROWS:
                # All below the watermark is seen, what the filter left out too.
                if int(watermark) > int(position.xid):
                    position.xid, position.seq = watermark, 0
                return

    async def _ask(
        self,
        connection: AsyncConnection[DictRow],
        name: str,
        params: dict[str, Any] | None = None,
        *,
        rows: bool = True,
    ) -> list[DictRow]:
        try:
            with translated():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if is_pooled(connection):
                        await connection.execute(self._begin_pooled, prepare=False)
                    cursor = await connection.execute(self._queries[name], params)
                    found = await cursor.fetchall() if rows else []
                    if is_pooled(connection):
                        await connection.execute("COMMIT")
                    return found
        except TimeoutError:
            raise StoreUnavailable("PostgreSQL does not answer") from None

    async def _wait(self, connection: AsyncConnection[DictRow], seconds: float) -> None:
        """Until a hint comes, or so long."""
        if is_pooled(connection):
            await asyncio.sleep(seconds)
            return
        with translated():
            async for _ in connection.notifies(timeout=seconds, stop_after=1):
                pass
