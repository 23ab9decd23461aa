"""The connection pool and transactions: the only way to PostgreSQL at run time.

Opening never fails because PostgreSQL is down: the pool connects in the background and
each use raises StoreUnavailable until it can. A server that neither answers nor closes
(stopped, cut off) is given up by our own timer, since libpq would wait for ever.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString, Self

import orjson
import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from soulbox.model.errors import ConfigError, StoreRefused, StoreUnavailable
from soulbox.store.errors import READ_ONLY, Step, check_dsn, describe, translated
from soulbox.store.files import load_queries
from soulbox.store.staging import column_types, values_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# How long after statement_timeout the server may still take to say so, before the
# connection is cut. A guess: an answer takes milliseconds.
_GRACE_SECONDS: Final = 5.0
# The kernel gives up on a peer that acknowledges nothing after these.
KEEPALIVE: Final = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# Whatever the role or the database have for default: text is exchanged as UTF-8.
CONNECTION: Final[Mapping[str, Any]] = {"client_encoding": "utf8", **KEEPALIVE}
# The same goes for these. Times are read and written in UTC, and in the forms that the client
# parses; that a temporary table is there already is no news. No JIT: our statements are short,
# and compiling one whose cost was guessed too high takes seconds (PostgreSQL 15, tables never
# analyzed).
_SETTINGS: Final = {
    "search_path": "pg_catalog",
    "jit": "off",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "row_security": "on",
    "client_min_messages": "warning",
}
BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"


class Transaction:
    """One open transaction. Rows leave it as dicts by column name."""

    def __init__(self, connection: AsyncConnection[TupleRow], deadline_seconds: float) -> None:
        self._connection = connection
        self._deadline_seconds = deadline_seconds
        self._staged: set[type] = set()
        self._streams = 0
        self.hints: list[tuple[LiteralString, Mapping[str, Any]]] = []

    def hint(self, query: LiteralString, params: Mapping[str, Any]) -> None:
        """Run a statement that nothing depends on, after the commit and apart from it."""
        self.hints.append((query, params))

    @property
    def has_staged(self) -> bool:
        """Whether there are temporary tables of this transaction."""
        return bool(self._staged)

    async def execute(self, query: LiteralString, params: Mapping[str, Any] | None = None) -> int:
        """Run a statement.

        Returns:
            The number of rows it wrote or found.

        Raises:
            StoreUnavailable, StoreRefused: the transaction is lost.
        """
        with translated(), self._watch():
            cursor = await self._connection.execute(query, params)
            return cursor.rowcount

    async def fetch(
        self, query: LiteralString, params: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Run a statement and return all its rows.

        Raises:
            StoreUnavailable, StoreRefused: the transaction is lost.
        """
        with translated(), self._watch():
            async with self._connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(query, params)
                with translated(Step.READ):
                    return await cursor.fetchall()

    async def stream(
        self,
        query: LiteralString,
        params: Mapping[str, Any] | None = None,
        *,
        portion: int = 2000,
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Run a query and return its rows in portions, from a cursor on the server: no more
        than one is in memory. Other statements may run in between.

        Raises:
            StoreUnavailable, StoreRefused: the transaction is lost.
        """
        self._streams += 1
        name = f"stream_{self._streams}"
        async with self._connection.cursor(name, row_factory=dict_row) as cursor:
            with translated(), self._watch():
                await cursor.execute(query, params)
            while True:
                with translated(Step.READ), self._watch():
                    rows = await cursor.fetchmany(portion)
                if rows:
                    yield rows
                if len(rows) < portion:
                    return

    async def stage(
        self,
        create: LiteralString,
        copy: LiteralString,
        rows: "Sequence[DataclassInstance]",
    ) -> None:
        """Put rows of one type into a temporary table, for a statement to take them from.

        Args:
            create: makes the table where this connection does not have it yet.
            copy: COPY into it of all fields of the rows, in order.
            rows: at least one; mappings in them go to jsonb columns.

        Raises:
            StoreUnavailable, StoreRefused: the transaction is lost.
            RuntimeError: rows of this type are in the table already: it is emptied when
                the transaction ends.
        """
        row_type = type(rows[0])
        if row_type in self._staged:
            raise RuntimeError(f"a transaction stages {row_type.__name__}s once")
        self._staged.add(row_type)
        types, values = column_types(row_type), values_of(row_type)
        with translated(), self._watch():
            async with self._connection.cursor() as cursor:
                await cursor.execute(create)
                async with cursor.copy(copy) as target:
                    target.set_types(list(types.values()))
                    for row in rows:
                        await target.write_row(values(row))

    def _watch(self) -> "_Watchdog":
        return _Watchdog(self._connection, self._deadline_seconds)


class _Watchdog:
    """Cuts a connection that stays silent longer than a server would by its own rules."""

    def __init__(self, connection: AsyncConnection[TupleRow], seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, _cut, self._connection)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _cut(connection: AsyncConnection[TupleRow]) -> None:
    """Make libpq see a closed connection, on its own way through its own state: shutting
    down a duplicate of the socket does, closing its descriptor would confuse it."""
    if connection.closed:
        return
    duplicate = socket.socket(fileno=os.dup(connection.fileno()))
    with duplicate, suppress(OSError):  # the server may have closed it first
        duplicate.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class _ConnectFailure:
    """Why the last try to connect failed; words are None when it did not."""

    words: str | None = None
    sqlstate: str | None = None


class Store:
    """PostgreSQL as the operator sees it. Made by `open_store`; safe for many tasks."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[TupleRow]],
        statement_timeout: float,
        failure: "_ConnectFailure",
    ) -> None:
        self._pool = pool
        self._begin_pooled = begin_pooled(statement_timeout)
        self._failure = failure
        self._deadline_seconds = statement_timeout + _GRACE_SECONDS
        self._healthy = False
        self._in_use: set[AsyncConnection[TupleRow]] = set()

    def healthy(self) -> bool:
        """Whether the last thing asked of PostgreSQL worked; False before the first."""
        return self._healthy

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction, committed at the end of the block, rolled back on any error.

        A StoreUnavailable from the end of the block leaves open whether it was committed:
        what is written must be repeatable.

        Raises:
            StoreUnavailable: no connection, or it was lost.
            StoreRefused: a statement, or a constraint checked at commit, was refused.
        """
        try:
            connection = await self._get_connection()
            self._in_use.add(connection)
            try:
                begin = self._begin_pooled if is_pooled(connection) else BEGIN
                await self._control(connection, begin)
                self._healthy = True
                tx = Transaction(connection, self._deadline_seconds)
                try:
                    yield tx
                    if tx.has_staged and is_pooled(connection):
                        await tx.execute(load_queries("state")["forget_staged"])
                except BaseException as error:
                    await self._roll_back(connection)
                    if isinstance(error, StoreUnavailable) and error.sqlstate == READ_ONLY:
                        # A primary that became a standby: the new one is reached by
                        # connecting again, never over this connection.
                        await connection.close()
                    raise
                await self._control(connection, "COMMIT", Step.COMMIT)
                await self._run_hints(connection, tx)
            finally:
                self._in_use.discard(connection)
                await self._pool.putconn(connection)
        except StoreUnavailable:
            self._healthy = False
            raise

    async def _get_connection(self) -> AsyncConnection[TupleRow]:
        try:
            with translated():
                return await self._pool.getconn()
        except StoreUnavailable as error:
            # The pool only says that it took too long; the last try to connect says why.
            if self._failure.words is None:
                raise
            raise StoreUnavailable(self._failure.words, sqlstate=self._failure.sqlstate) from error

    async def _run_hints(self, connection: AsyncConnection[TupleRow], tx: Transaction) -> None:
        """For work that nothing depends on: a failure is ignored."""
        with suppress(StoreUnavailable, StoreRefused):
            for query, params in tx.hints:
                with translated(), _Watchdog(connection, self._deadline_seconds):
                    await connection.execute(query, params)

    async def _control(
        self,
        connection: AsyncConnection[TupleRow],
        words: LiteralString | sql.Composed,
        step: Step = Step.SEND,
    ) -> None:
        with translated(step), _Watchdog(connection, self._deadline_seconds):
            # Never prepared: these may be several statements.
            await connection.execute(words, prepare=False)

    async def _roll_back(self, connection: AsyncConnection[TupleRow]) -> None:
        """Undo what the transaction did; a lost connection has undone it by itself."""
        if not connection.closed:
            # One that cannot even do this is not used again: the pool looks at its state.
            with suppress(StoreUnavailable, StoreRefused):
                await self._control(connection, "ROLLBACK")

    async def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            StoreUnavailable: there is none.
        """
        async with self.transaction() as tx:
            await tx.execute(load_queries("state")["ping"])

    def cut(self) -> None:
        """End all transactions at once, without asking the server: they fail with
        StoreUnavailable. For an end that must not wait for it."""
        for connection in self._in_use:
            _cut(connection)

    async def close(self) -> None:
        """Close all connections; those in use when they are given back."""
        await self._pool.close()
        self._healthy = False


def session_settings(statement_timeout_seconds: float) -> sql.Composed:
    """Statements that set all that is relied on, for a connection that is ours alone."""
    return _settings(sql.SQL("SET {} = {}; "), statement_timeout_seconds)


def begin_pooled(statement_timeout_seconds: float) -> sql.Composed:
    """Statements that begin a transaction and set the same within it alone: its connection is
    somebody else's afterwards. Each a SET: a query would take the snapshot that some
    transactions choose first."""
    settings = _settings(sql.SQL("SET LOCAL {} = {}; "), statement_timeout_seconds)
    return sql.SQL("{}; {}").format(sql.SQL(BEGIN), settings)


def _settings(each: sql.SQL, statement_timeout_seconds: float) -> sql.Composed:
    values = {
        **_SETTINGS,
        "statement_timeout": f"{round(statement_timeout_seconds * 1000)}ms",
        "idle_in_transaction_session_timeout": f"{round(statement_timeout_seconds * 2000)}ms",
    }
    return sql.Composed(
        [each.format(sql.Identifier(name), sql.Literal(value)) for name, value in values.items()]
    )


def is_pooled(connection: "psycopg.AsyncConnection[Any]") -> bool:
    """Whether a pooler (PgBouncer, say) stands between, as `note_pooler` found."""
    return connection.prepare_threshold is None


async def note_pooler(connection: "psycopg.AsyncConnection[Any]") -> None:
    """Find out whether a pooler stands between: it tells a process of its own making. In
    transaction mode each transaction may be another server connection's, which does not know
    what was prepared on the last; so nothing is prepared then.

    Raises:
        psycopg.Error: the connection cannot be used.
    """
    cursor = await connection.execute(load_queries("state")["backend"], prepare=False)
    row = await cursor.fetchone()
    served_by = row["pid"] if isinstance(row, dict) else row[0] if row is not None else None
    if served_by != connection.info.backend_pid:
        connection.prepare_threshold = None


async def open_store(
    dsn: str | Callable[[], str],
    *,
    min_size: int = 1,
    max_size: int = 10,
    connect_timeout_seconds: float = 5,
    statement_timeout_seconds: float = 30,
) -> Store:
    """A store on this server. Returns at once, also while PostgreSQL is down.

    Args:
        dsn: libpq's connection string, or what tells it: asked before each connection is
            made, so that a password that was changed meanwhile is the new one. Never logged.
        min_size: connections kept open.
        max_size: most connections open at once.
        connect_timeout_seconds: for making a connection, and for waiting for a free one.
        statement_timeout_seconds: for each statement, by the server.

    Raises:
        ConfigError: the DSN cannot be read.
    """
    settings = session_settings(statement_timeout_seconds)
    first = dsn if isinstance(dsn, str) else dsn()
    check_dsn(first)
    failure = _ConnectFailure()

    async def configure(connection: AsyncConnection[TupleRow]) -> None:
        set_json_dumps(orjson.dumps, connection)
        set_json_loads(orjson.loads, connection)
        await note_pooler(connection)
        if not is_pooled(connection):
            await connection.execute(settings, prepare=False)
        failure.words = None

    async def check(connection: AsyncConnection[TupleRow]) -> None:
        # The server may have been restarted while this connection lay idle.
        with _Watchdog(connection, connect_timeout_seconds):
            await connection.execute("")

    class Connection(AsyncConnection[TupleRow]):
        """By the DSN as it is now; remembers why connecting failed."""

        @classmethod
        async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
            try:
                if not isinstance(dsn, str):
                    conninfo = dsn()
                    check_dsn(conninfo)
                return await super().connect(conninfo, **kwargs)
            except ConfigError as error:
                # The pool tries again after what it takes for the network's trouble.
                failure.words, failure.sqlstate = str(error), None
                raise psycopg.OperationalError("the DSN cannot be read") from error
            except psycopg.Error as error:
                failure.words, failure.sqlstate = describe(error)
                raise

    pool: AsyncConnectionPool[AsyncConnection[TupleRow]] = AsyncConnectionPool(
        first,
        connection_class=Connection,
        min_size=min_size,
        max_size=max_size,
        timeout=connect_timeout_seconds,
        # Callers try again with a back-off of their own; the pool's would add to it.
        reconnect_timeout=1,
        name="soulbox",
        configure=configure,
        check=check,
        open=False,
        # We write BEGIN and COMMIT ourselves: psycopg's own transaction block would hide
        # whether an error came from the block or from the commit.
        kwargs={
            "autocommit": True,
            "connect_timeout": max(2, round(connect_timeout_seconds)),
            "application_name": "soulbox",
            **CONNECTION,
        },
    )
    # It repeats libpq's words, with parts of the DSN, at each try; ours are raised.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    await pool.open(wait=False)
    return Store(pool, statement_timeout_seconds, failure)
