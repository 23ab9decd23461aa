"""A tenant's login keeps nobody waiting: no lock of ours is one that it can take, and a
transaction that it leaves open holds back neither changes nor sums of use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import psycopg
import pytest
from psycopg import conninfo

from soulbox.store.adjustments import adjust
from soulbox.store.pool import open_store
from tests.support.fix_access import Logins


def a_later_commit_is_settled(connection: psycopg.Connection) -> bool:
    """Whether what is committed now lies below the watermark at once."""
    row = connection.execute("select pg_current_xact_id()::text").fetchone()
    settled = connection.execute("select soulbox.watermark() > %s::text::xid8", row).fetchone()
    assert settled is not None
    return bool(settled[0])


@contextmanager
def left_open(dsn: str) -> Iterator[None]:
    """A transaction with an id that somebody leaves open."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select pg_current_xact_id()")
        yield


def test_open_transactions_of_readers_and_other_databases_hold_nothing_back(
    logins: Logins, sql_connection: psycopg.Connection
) -> None:
    elsewhere = conninfo.make_conninfo(logins.trial, dbname="postgres")
    for dsn in (logins.reader_a, logins.stranger, logins.app, logins.admin_reader, elsewhere):
        with left_open(dsn):
            assert a_later_commit_is_settled(sql_connection)
    for dsn in (logins.writer, logins.owner, logins.trial):
        with left_open(dsn):
            assert not a_later_commit_is_settled(sql_connection)
        assert a_later_commit_is_settled(sql_connection)


@pytest.mark.parametrize("right", ["insert", "insert (cluster)"])
def test_login_that_may_add_samples_is_waited_for(
    logins: Logins, sql_connection: psycopg.Connection, right: str
) -> None:
    """Samples become changes by a trigger, whatever rights their writer has on these."""
    grant = f"grant {right} on soulbox.resource_metrics to soulbox_app"
    sql_connection.execute(grant.encode())
    with left_open(logins.app):
        assert not a_later_commit_is_settled(sql_connection)
    assert a_later_commit_is_settled(sql_connection)


def test_own_transaction_is_waited_for(sql_connection: psycopg.Connection) -> None:
    with sql_connection.transaction():
        row = sql_connection.execute("select pg_current_xact_id()::text").fetchone()
        assert sql_connection.execute("select soulbox.watermark()::text").fetchone() == row


def test_reader_sees_a_change_while_another_reader_idles(
    logins: Logins, sql_connection: psycopg.Connection
) -> None:
    with left_open(logins.stranger):
        sql_connection.execute(
            "insert into soulbox.changes (epoch, cluster, tenant, kind, uid, op, payload)"
            " values (1, gen_random_uuid(), 'tenant-team-a', 'execution', gen_random_uuid(),"
            " 'insert', '{\"late\": true}')"
        )
        with psycopg.connect(logins.reader_a) as connection:
            rows = connection.execute(
                "select payload from soulbox.changes() where payload ? 'late'"
            ).fetchall()
    assert rows == [({"late": True},)]


async def test_reader_takes_no_lock_that_adjustments_wait_for(logins: Logins) -> None:
    with psycopg.connect(logins.trial) as connection:
        row = connection.execute(
            "select event_id, tenant, user_name from soulbox.billing_events where amount > 0"
        ).fetchone()
    assert row is not None
    event_id, tenant, user = row
    store = await open_store(logins.writer, statement_timeout_seconds=5)
    try:
        with psycopg.connect(logins.reader_a) as reader:
            for name in (str(event_id), f"{tenant}/{user}"):
                reader.execute(
                    "select pg_advisory_lock(hashtextextended('soulbox.adjust/' || %s, 0))", (name,)
                )
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute("lock table soulbox.rollup_state in share update exclusive mode")
            amount = Decimal("0.01")
            done = await adjust(store, event_id, amount=amount, reason="late", reference="T-1")
    finally:
        await store.close()
    assert done.is_new


def test_reader_takes_no_lock_that_partitions_wait_for(logins: Logins) -> None:
    with psycopg.connect(logins.reader_a) as reader, psycopg.connect(logins.writer) as writer:
        reader.execute("select pg_advisory_lock(hashtext('soulbox.ensure_partition'))")
        reader.execute("lock table soulbox.schema_migrations in access share mode")
        reader.execute("select count(*) from soulbox.executions()")
        writer.execute("set lock_timeout = '5s'")
        row = writer.execute(
            "select soulbox.ensure_partition('resource_metrics', '2031-01-01')"
        ).fetchone()
        assert row == (True,)
        for mode in ("row share", "share update exclusive", "exclusive"):
            try:
                reader.execute(f"lock table soulbox.schema_migrations in {mode} mode".encode())
            except psycopg.errors.InsufficientPrivilege:
                reader.rollback()
            else:
                raise AssertionError(mode)
