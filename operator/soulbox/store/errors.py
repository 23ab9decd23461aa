"""psycopg's errors as ours; the SQLSTATE says who has to act.

Messages are made of SQLSTATE, error class and names of tables, columns and constraints.
The server's own sentence often quotes a value (code, output) and libpq's quotes the DSN,
so neither is passed on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from soulbox.model.errors import (
    AlreadyExists,
    ConfigError,
    SoulBoxError,
    StoreConflict,
    StoreRefused,
    StoreUnavailable,
)

# Classes of SQLSTATE that blame the data: another row would have been taken.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_REFUSED_CLASSES: Final = frozenset(
    {
        "21",  # cardinality violation
        "22",  # data exception
        "23",  # integrity constraint violation
        "44",  # WITH CHECK OPTION violation
        "54",  # program limit exceeded (a tsvector or an index row too large)
        "P0",  # RAISE in a function of ours
    }
)
READ_ONLY: Final = "25006"
STATEMENT_TIMEOUT: Final = "57014"
_REFUSED_AT_COMMIT: Final = frozenset({"23"})
# Remedies for what a person must put right; everything else heals or is unknown.
_REMEDIES: Final = {
    READ_ONLY: "the server is read-only (a standby, or default_transaction_read_only)",
    # Of a pooler in transaction mode that does not look like one (see `pool.note_pooler`).
    "26000": "a pooler in transaction mode lost it; connect directly, or use session mode",
    "42P05": "a pooler in transaction mode kept it; connect directly, or use session mode",
    "28000": "the login was refused; check user and password of SOULBOX_DSN",
    "28P01": "the password was refused; check SOULBOX_DSN",
    "3D000": "the database does not exist; check SOULBOX_DSN",
    "42501": "the role lacks a right; grant it soulbox_writer",
    "42P01": "a table is missing; run soulbox migrate",
    "42703": "a column is missing; run soulbox migrate",
    "42883": "a function is missing; run soulbox migrate",
    "3F000": "schema soulbox is missing; run soulbox migrate",
    "53100": "the server's disk is full",
    "53300": "the server has no connection left; raise max_connections or lower the pool's size",
    "54000": "a limit of the server was reached; of a commit: its NOTIFY queue is full",
    STATEMENT_TIMEOUT: "the statement took longer than statement_timeout",
    "57P03": "the server is starting up or shutting down",
}
# What libpq says when there is no SQLSTATE: shown only if one of these is in it, because
# the rest of its text repeats the DSN.
_CONNECTION_PHRASES: Final = (
    ("password authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("role ", "28000"),
    ("does not exist", "3D000"),
    ("too many clients", "53300"),
    ("too many connections", "53300"),
    ("remaining connection slots", "53300"),
    ("starting up", "57P03"),
    ("shutting down", "57P03"),
    ("in recovery", "57P03"),
    ("Connection refused", None),
    ("timeout expired", None),
    ("could not translate host name", None),
    ("No such file or directory", None),
    ("server closed the connection", None),
    ("certificate", None),
    ("SSL", None),
)
# What to do about those that have no SQLSTATE.
_UNREACHED: Final = {
    "Connection refused": "Connection refused; check that it runs at the DSN's host and port",
    "timeout expired": "timeout expired; check the DSN's host and port, and firewalls between",
    "could not translate host name": "could not translate host name; correct the DSN's host",
    "No such file or directory": "there is no socket at the DSN's host; correct it",
}


def describe(error: psycopg.Error) -> tuple[str, str | None]:
    """One line about an error that holds neither data nor DSN, and its SQLSTATE.

    Connection errors carry no SQLSTATE; one is guessed from libpq's phrases, for people only
    (whether to retry does not depend on it).
    """
    sqlstate = error.sqlstate
    if sqlstate is None and isinstance(error, psycopg.OperationalError):
        text = str(error)
        for phrase, likely in _CONNECTION_PHRASES:
            if phrase in text:
                remedy = _REMEDIES.get(likely or "") or _UNREACHED.get(phrase)
                return f"cannot connect to PostgreSQL: {remedy or phrase.strip()}", likely
        return "no connection to PostgreSQL", None
    name = type(error).__name__
    diag = error.diag
    where = [
        f"{label} {value}"
        for label, value in (
            ("table", diag.table_name),
            ("column", diag.column_name),
            ("constraint", diag.constraint_name),
        )
        if value
    ]
    remedy = _REMEDIES.get(sqlstate or "")
    words = f"{sqlstate or 'client'} {name}" + (f" on {', '.join(where)}" if where else "")
    return words + (f": {remedy}" if remedy else ""), sqlstate


class Step(StrEnum):
    """What was being done when an error came: it decides whether the data sent can be at fault."""

    SEND = "Send"  # a statement with its values
    READ = "Read"  # rows that the server sent
    COMMIT = "Commit"  # the end of a transaction whose statements were all taken


def translate(error: Exception, step: Step = Step.SEND) -> SoulBoxError:
    """Our error for it, which says who must act."""
    if isinstance(error, PoolTimeout | TooManyRequests | PoolClosed):
        return StoreUnavailable("no connection to PostgreSQL was free or could be made in time")
    # Without a SQLSTATE, and no connection lost: a value that cannot even be encoded (NUL,
    # lone surrogate, number or year out of range).
    if not isinstance(error, psycopg.Error) or (
        error.sqlstate is None and isinstance(error, psycopg.DataError | psycopg.ProgrammingError)
    ):
        if step is Step.READ:
            # A value that lies there, of whatever row: what we were about to write is not
            # to blame, and waits until somebody has mended it.
            return StoreUnavailable(
                f"a value in the database cannot be read ({type(error).__name__}): a time or a"
                " number beyond Python's range"
            )
        return StoreRefused(f"a value cannot be sent to PostgreSQL ({type(error).__name__})")
    words, sqlstate = describe(error)
    # At the commit only a constraint that waited for it speaks of the rows. Anything else is
    # the server's own trouble, a full NOTIFY queue (54000) for example.
    refused_classes = _REFUSED_AT_COMMIT if step is Step.COMMIT else _REFUSED_CLASSES
    if error.sqlstate is not None and error.sqlstate[:2] in refused_classes:
        refused = AlreadyExists if error.sqlstate == "23505" else StoreRefused
        return refused(
            f"PostgreSQL refused: {words}",
            sqlstate=error.sqlstate,
            constraint=error.diag.constraint_name,
        )
    # Serialization failure and deadlock: the transaction, not the server, is to blame.
    unavailable = StoreConflict if error.sqlstate in ("40001", "40P01") else StoreUnavailable
    return unavailable(words, sqlstate=sqlstate)


@contextmanager
def translated(step: Step = Step.SEND) -> Iterator[None]:
    """Raise our errors instead of psycopg's; cancellation passes through."""
    try:
        yield
    except SoulBoxError:
        raise
    except (psycopg.Error, UnicodeError, OverflowError, ValueError, TypeError) as error:
        raise translate(error, step) from error


def check_dsn(dsn: str) -> None:
    """Refuse a text libpq cannot read, without repeating it.

    Raises:
        ConfigError: malformed, or a port that is no number.
    """
    remedy = "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    try:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # Without `from`: libpq's message holds the text, password and all.
        raise ConfigError(f"the DSN cannot be read; {remedy}") from None
    ports = str(parts.get("port") or "").split(",")
    if any(port and not (port.isdigit() and 0 < int(port) < 65536) for port in ports):
        raise ConfigError(f"the DSN's port is not a number from 1 to 65535; {remedy}")
