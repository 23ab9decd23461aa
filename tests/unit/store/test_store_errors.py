"""psycopg's errors as ours, and what their messages must never hold."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout

from soulbox.model.errors import ConfigError, StoreRefused, StoreUnavailable
from soulbox.store.errors import Step, check_dsn, translate, translated

REFUSED = ["22P02", "22003", "22021", "23505", "23514", "21000", "44000", "54000", "P0001"]
UNAVAILABLE = [
    "08006",
    "25006",
    "28P01",
    "3D000",
    "40001",
    "40P01",
    "42501",
    "42P01",
    "53100",
    "53300",
    "55P03",
    "57014",
    "57P01",
    "57P03",
    "XX000",
]


def error(sqlstate: str) -> psycopg.Error:
    return psycopg.errors.lookup(sqlstate)("SECRET value in the server's words")


@pytest.mark.parametrize("sqlstate", REFUSED)
def test_errors_that_blame_the_data_are_refusals(sqlstate: str) -> None:
    found = translate(error(sqlstate))
    assert isinstance(found, StoreRefused)
    assert found.sqlstate == sqlstate
    assert "SECRET" not in str(found)


@pytest.mark.parametrize("sqlstate", UNAVAILABLE)
def test_errors_that_another_time_may_heal_are_unavailability(sqlstate: str) -> None:
    found = translate(error(sqlstate))
    assert isinstance(found, StoreUnavailable)
    assert found.sqlstate == sqlstate
    assert "SECRET" not in str(found)


@pytest.mark.parametrize(
    ("sqlstate", "want"),
    [
        ("42P01", "run soulbox migrate"),
        ("42501", "grant it soulbox_writer"),
        ("28P01", "check SOULBOX_DSN"),
        ("53100", "disk is full"),
        ("25006", "read-only"),
    ],
)
def test_message_says_the_remedy(sqlstate: str, want: str) -> None:
    assert want in str(translate(error(sqlstate)))


@pytest.mark.parametrize(
    ("words", "want"),
    [
        ('FATAL:  password authentication failed for user "u"', "the password was refused"),
        ('FATAL:  database "d" does not exist', "the database does not exist"),
        ('FATAL:  role "u" does not exist', "the login was refused"),
        ("FATAL:  the database system is starting up", "starting up or shutting down"),
        ("FATAL:  sorry, too many clients already", "no connection left"),
        ("connection refused: Connection refused", "Connection refused"),
        ('could not translate host name "SECRET" to address', "could not translate host name"),
        ("SECRET words nobody thought of", "no connection to PostgreSQL"),
    ],
)
def test_connection_errors_are_told_without_the_dsn(words: str, want: str) -> None:
    found = translate(psycopg.OperationalError(words))
    assert isinstance(found, StoreUnavailable)
    assert want in str(found)
    assert "SECRET" not in str(found)


@pytest.mark.parametrize(
    "cause",
    [
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        OverflowError("int too big to convert"),
        TypeError("bad argument type"),
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
        psycopg.ProgrammingError("cannot adapt type"),
    ],
)
def test_values_that_cannot_be_sent_are_refusals(cause: Exception) -> None:
    found = translate(cause)
    assert isinstance(found, StoreRefused)
    assert found.sqlstate is None


def test_value_that_cannot_be_read_blames_nothing_that_is_written() -> None:
    found = translate(psycopg.DataError("timestamp too large (after year 10K)"), Step.READ)
    assert isinstance(found, StoreUnavailable)
    assert "cannot be read" in str(found)


@pytest.mark.parametrize(
    ("sqlstate", "want"),
    [("54000", StoreUnavailable), ("P0001", StoreUnavailable), ("23503", StoreRefused)],
)
def test_commit_blames_the_rows_for_a_constraint_alone(sqlstate: str, want: type) -> None:
    assert isinstance(translate(error(sqlstate), Step.COMMIT), want)
    assert isinstance(translate(error(sqlstate)), StoreRefused)


@pytest.mark.parametrize("cause", [PoolTimeout("x"), PoolClosed("x")])
def test_pool_without_a_connection_is_unavailability(cause: Exception) -> None:
    assert isinstance(translate(cause), StoreUnavailable)


def test_translated_passes_our_own_errors_and_cancellation() -> None:
    ours = StoreRefused("no", sqlstate="23514", constraint="c")
    with pytest.raises(StoreRefused) as raised, translated():
        raise ours
    assert raised.value is ours
    with pytest.raises(asyncio.CancelledError), translated():
        raise asyncio.CancelledError
    with pytest.raises(StoreUnavailable) as other, translated():
        raise psycopg.errors.AdminShutdown("bye")
    assert isinstance(other.value.__cause__, psycopg.errors.AdminShutdown)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:SECRET@h:x/d",
        "postgresql://u:SECRET@h:70000/d",
        "host=h password=SECRET port=x",
        "postgres//u:SECRET@h/d",
        "SECRET",
        "postgresql://u:SECRET@h/d?sslmode",
    ],
)
def test_dsn_that_cannot_be_read_is_refused_without_repeating_it(dsn: str) -> None:
    with pytest.raises(ConfigError, match="DSN") as raised:
        check_dsn(dsn)
    assert "SECRET" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert "expected postgresql://" in str(raised.value)


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:p@h:5432/d", "host=a,b port=1,2", "postgresql:///d?host=/run", ""]
)
def test_dsn_that_libpq_reads_is_taken(dsn: str) -> None:
    check_dsn(dsn)
