"""usage_daily and usage_aggregates: each row counted once, whatever happens."""

from __future__ import annotations

import asyncio
import random
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soulbox.model.errors import StoreConflict
from soulbox.model.states import Kind
from soulbox.store.pool import Store
from soulbox.store.rollups import (
    Rebuild,
    fold_usage,
    look_at_rollups,
    rollup_differences,
)
from tests.support.fix_mirror import MakeMirror, drained, running, until
from tests.support.make_mirrored import (
    make_execution,
    make_finished_execution,
    make_pod,
    newer,
)
from tests.support.usage import (
    NOON,
    add_adjustment,
    add_event,
    add_mark,
    assert_exact,
    assert_views_exact,
    direct_sums,
    stored_sums,
)


async def rebuild(store: Store, portion: int = 20_000) -> list[str]:
    steps = Rebuild(store, portion=portion)
    done = []
    while (one := await steps.step()) is not None:
        done.append(one)
    return done


async def fold_all(store: Store, portion: int = 20_000) -> None:
    while await fold_usage(store, portion=portion):
        pass


def one(connection: psycopg.Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def write_some(connection: psycopg.Connection) -> None:
    """A little of everything: users, tenants, days, currencies, SKUs, states, a correction."""
    first = add_event(connection)
    add_event(connection, hour=NOON + timedelta(hours=1), sku="gpu", amount=Decimal("0.0000000001"))
    add_event(connection, user="bob", hour=NOON + timedelta(days=9))
    add_event(connection, tenant="u", user="", currency="EUR", amount=Decimal("12.5"))
    add_adjustment(connection, first, Decimal("-0.0002"), NOON + timedelta(days=10))
    for state in ("completed", "completed", "failed", "timeout", "cancelled"):
        add_mark(connection, state=state)
    add_mark(connection, user="bob", ended=NOON + timedelta(days=30), duration_ms=0)


# What is summed, and for which day.


async def test_sums_are_those_of_the_rows(store: Store, sql_connection: psycopg.Connection) -> None:
    await rebuild(store)
    write_some(sql_connection)
    assert_views_exact(sql_connection)
    assert stored_sums(sql_connection) == {}
    await fold_all(store)
    assert_exact(sql_connection)
    ada = stored_sums(sql_connection)["t", "ada", "2026-11", "USD"]
    assert (ada.executions, ada.duration_ms) == (5, 35)
    assert (ada.seconds, ada.cost) == (Decimal(20), Decimal("0.0002000001"))
    assert ada.breakdown["state"]["completed"] == {"executions": 2, "duration_ms": 14}
    assert ada.breakdown["sku"]["gpu"]["cost"] == Decimal("0.0000000001")
    await rebuild(store)
    await fold_all(store)
    assert_exact(sql_connection)
    assert await rollup_differences(store) == []


async def test_row_counts_for_the_day_it_began_and_an_adjustment_for_the_day_it_was_decided(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    await rebuild(store)
    last_hour = datetime(2026, 11, 30, 23, tzinfo=UTC)
    event = add_event(sql_connection, hour=last_hour, seconds=3600)
    add_adjustment(sql_connection, event, Decimal("-0.0001"), datetime(2026, 12, 3, tzinfo=UTC))
    add_mark(sql_connection, ended=datetime(2026, 11, 30, 23, 59, 59, 999_000, tzinfo=UTC))
    sql_connection.execute("set timezone = 'Asia/Tokyo'")
    await fold_all(store)
    found = stored_sums(sql_connection)
    assert {key[2] for key in found} == {"2026-11", "2026-12"}
    assert found["t", "ada", "2026-11", "USD"].cost == Decimal("0.0002")
    assert found["t", "ada", "2026-12", "USD"].cost == Decimal("-0.0001")
    days = stored_sums(sql_connection, "usage_daily")
    assert {key[2] for key in days} == {"2026-11-30", "2026-12-03"}


async def test_operator_folds_what_it_writes(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    mirror = make_mirror(rollup_seconds=0.02)
    async with running(mirror):
        for index in range(40):
            mirror.offer(Kind.EXECUTION, make_finished_execution(spec={"user": f"u{index % 3}"}))
            mirror.offer(Kind.EXECUTION, make_execution())
        mirror.offer(
            Kind.POD, make_pod(started="2026-11-22T10:30:00Z", finished="2026-11-22T12:00:10Z")
        )
        await drained(mirror)
        await until(lambda: _is_folded(store))
    assert_exact(sql_connection)
    assert await rollup_differences(store) == []
    found = stored_sums(sql_connection)
    assert sum(sums.executions for sums in found.values()) == 40
    assert sum(sums.duration_ms for sums in found.values()) == 40 * 250
    assert found["tenant-team-a", "ada", "2026-11", "USD"].seconds == 5410


async def _is_folded(store: Store) -> bool:
    look = await look_at_rollups(store)
    return look.is_built and look.waiting_seconds is None and look.are_calls_summed


async def test_execution_counts_once_however_often_it_is_written(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    run = make_finished_execution()
    queued = make_execution()
    gone = make_execution(metadata={"deletionTimestamp": "2026-11-22T10:05:00Z"})
    async with running(make_mirror(rollup_seconds=0.02)) as mirror:
        for version in (run, newer(run, status={"durationMilliseconds": 9_999}), queued, gone):
            mirror.offer(Kind.EXECUTION, version)
            await drained(mirror)
        await until(lambda: _is_folded(store))
    # Another operator, and etcd as it was before the end: it ends again, otherwise.
    sql_connection.execute("update soulbox.mirror_state set mirror_epoch = 2")
    async with running(make_mirror(rollup_seconds=0.02)) as mirror:
        mirror.offer(Kind.EXECUTION, newer(run, status={"state": "Failed"}))
        mirror.offer(Kind.EXECUTION, newer(queued, status={"state": "Cancelled"}))
        await drained(mirror)
        await until(lambda: _is_folded(store))
    sums = stored_sums(sql_connection)["tenant-team-a", "", "2026-11", "USD"]
    assert sums.breakdown["state"] == {
        "completed": {"executions": 1, "duration_ms": 250},
        "cancelled": {"executions": 1, "duration_ms": 0},
    }


async def test_counts_outlive_the_executions(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror()) as mirror:
        for _ in range(5):
            mirror.offer(Kind.EXECUTION, make_finished_execution())
        await drained(mirror)
    await rebuild(store)
    sql_connection.execute("drop table soulbox.executions_y2026m11")
    assert one(sql_connection, "select count(*) from soulbox.executions") == 0
    await rebuild(store)
    await fold_all(store)
    assert_exact(sql_connection)
    assert sum(sums.executions for sums in stored_sums(sql_connection).values()) == 5
    for refused in ("delete from soulbox.usage_marks", "truncate soulbox.usage_marks"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            sql_connection.execute(refused.encode())


# Exactly once.


async def test_eight_writers_beside_folds_lose_and_double_nothing(
    dsn: str, store: Store, sql_connection: psycopg.Connection
) -> None:
    """Transactions end in another order than they began, some are rolled back. A reader sees
    all committed rows, exactly, at any moment."""
    await rebuild(store)
    ended = threading.Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(dsn) as connection:
            for number in range(60):
                for _ in range(chance.randrange(1, 4)):
                    add_event(connection, user=f"u{chance.randrange(3)}")
                    add_mark(connection, user=f"u{chance.randrange(3)}")
                connection.execute("select pg_sleep(%s)", (chance.random() / 100,))
                if number % 7 == 0:
                    connection.rollback()
                else:
                    connection.commit()

    def read() -> int:
        looks = 0
        # No JIT, as on the operator's own connections: on PostgreSQL 15 it compiles each look.
        with psycopg.connect(dsn, autocommit=True, options="-c jit=off") as connection:
            while not ended.is_set():
                have, want, cost, charged = connection.execute(
                    "select (select sum(total_executions) from soulbox.v_usage_monthly),"
                    " (select count(*) from soulbox.usage_marks),"
                    " (select sum(total_cost) from soulbox.v_usage_daily),"
                    " (select sum(amount) from soulbox.billing_events)"
                ).fetchone()  # type: ignore[misc]
                assert (have or 0, cost) == (want, charged)
                looks += 1
        return looks

    writers = [asyncio.create_task(asyncio.to_thread(write, seed)) for seed in range(8)]
    reader = asyncio.create_task(asyncio.to_thread(read))
    folds = 0
    try:
        while not all(task.done() for task in writers):
            await asyncio.gather(fold_usage(store, portion=5), fold_usage(store, portion=500))
            folds += 1
        await asyncio.gather(*writers)
        await fold_all(store, portion=7)
    finally:
        ended.set()  # else a failure leaves a thread that nobody ends
    assert await reader > 3
    assert folds > 3
    assert_exact(sql_connection)
    assert await rollup_differences(store) == []


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["event", "mark", "adjustment"]),
        st.sampled_from(["ada", "bob", ""]),
        st.integers(0, 40),  # days after noon of 22 November
        st.integers(1, 3600),
        st.booleans(),  # ends its transaction
        st.sampled_from(["fold", "portion", "rebuild", "epoch", "nothing", "nothing"]),
    ),
    max_size=12,
)


async def test_any_batching_is_the_direct_sum(
    dsn: str, store: Store, sql_connection: psycopg.Connection
) -> None:
    await rebuild(store)
    event = add_event(sql_connection)
    loop = asyncio.get_running_loop()

    def run(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(60)

    # Rows of one example stay for the next: the more there is, the more can go wrong.
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(ROWS)
    def example(rows: list[tuple[str, str, int, int, bool, str]]) -> None:
        with psycopg.connect(dsn) as connection:
            for what, user, days, seconds, ends, then in rows:
                moment = NOON + timedelta(days=days)
                if what == "event":
                    add_event(connection, user=user, hour=moment, seconds=seconds)
                elif what == "mark":
                    add_mark(connection, user=user, ended=moment, duration_ms=seconds)
                else:
                    add_adjustment(connection, event, Decimal(seconds), moment)
                if ends:
                    connection.commit()
                if then == "epoch" and ends:
                    sql_connection.execute(
                        "insert into soulbox.mirror_state values (gen_random_uuid(), 1, 1,"
                        " soulbox.database_epoch() + 1)"
                    )
                if then in ("rebuild", "epoch") and ends:
                    run(rebuild(store, portion=2))
                elif then == "fold":
                    run(fold_all(store))
                elif then == "portion":
                    run(fold_usage(store, portion=1))
                if ends:
                    assert_views_exact(sql_connection)
            connection.commit()
        run(fold_all(store, portion=3))
        assert_exact(sql_connection)

    await asyncio.to_thread(example)
    before = stored_sums(sql_connection, "usage_daily")
    assert before
    await rebuild(store)
    assert stored_sums(sql_connection, "usage_daily") == before
    assert await rollup_differences(store) == []


async def test_open_transaction_holds_back_the_tables_and_not_the_views(
    dsn: str, store: Store, sql_connection: psycopg.Connection
) -> None:
    await rebuild(store)
    with psycopg.connect(dsn) as slow:
        add_mark(slow, user="slow")
        add_mark(sql_connection)
        await fold_all(store)
        assert stored_sums(sql_connection) == {}
        assert_views_exact(sql_connection)
        look = await look_at_rollups(store)
        assert look.waiting_seconds is not None
    await fold_all(store)
    assert_exact(sql_connection)
    assert len(stored_sums(sql_connection)) == 2


async def test_nothing_new_costs_nothing(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    mirror = make_mirror(rollup_seconds=0.001)
    transactions = "select pg_snapshot_xmax(pg_current_snapshot())::text"
    async with running(mirror):
        await until(lambda: _is_folded(store))
        looks = "select sum(seq_scan) from pg_stat_user_tables where relname = 'rollup_state'"
        before = one(sql_connection, transactions), one(sql_connection, looks)

        async def looked_again() -> bool:
            sql_connection.execute("select pg_stat_clear_snapshot()")
            return bool(one(sql_connection, looks) > before[1] + 10)

        await until(looked_again)
        assert one(sql_connection, transactions) == before[0]
    plan = sql_connection.execute(
        "explain (costs off) select recorded_at from soulbox.usage_marks where epoch = 1"
        " and xid8 >= '1' order by xid8 limit 1"
    ).fetchall()
    assert "usage_marks_fold_idx" in str(plan)


# Built anew.


async def test_executions_of_before_there_were_marks_are_counted(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    """As after the upgrade: rows that an operator wrote that knew no marks, any number."""
    async with running(make_mirror()) as mirror:
        for _ in range(25):
            mirror.offer(Kind.EXECUTION, make_finished_execution())
        mirror.offer(Kind.EXECUTION, make_execution())
        await drained(mirror)
    sql_connection.execute("alter table soulbox.usage_marks disable trigger all")
    sql_connection.execute("delete from soulbox.usage_marks where execution_uid::text > '5'")
    done = await rebuild(store, portion=4)
    assert done.count("Executions looked at") == 7
    await fold_all(store)
    assert one(sql_connection, "select count(*) from soulbox.usage_marks") == 25
    assert_exact(sql_connection)


async def test_views_are_exact_while_a_rebuild_goes_on(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    write_some(sql_connection)
    assert_views_exact(sql_connection)  # before the first
    steps = Rebuild(store, portion=1)
    while await steps.step() is not None:
        add_event(sql_connection)
        add_mark(sql_connection, ended=NOON + timedelta(days=60))
        assert not await fold_usage(store)
        assert await rollup_differences(store) == []
        assert_views_exact(sql_connection)
    await fold_all(store)
    assert_exact(sql_connection)


async def test_who_begins_last_rebuilds(store: Store, sql_connection: psycopg.Connection) -> None:
    write_some(sql_connection)
    first, second = Rebuild(store), Rebuild(store)
    await first.step()
    await first.step()
    await second.step()
    with pytest.raises(StoreConflict, match="already rebuilding"):
        await first.step()
    while await second.step() is not None:
        pass
    assert_exact(sql_connection)


async def test_operator_leaves_anothers_rebuild_alone_until_he_is_gone(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    write_some(sql_connection)
    await Rebuild(store).step()
    by_another = one(sql_connection, "select rebuild_id from soulbox.rollup_state")
    mirror = make_mirror(rollup_seconds=0.01)
    async with running(mirror):
        await asyncio.sleep(0)
        mirror.offer(Kind.EXECUTION, make_finished_execution())
        await drained(mirror)
        assert one(sql_connection, "select rebuild_id from soulbox.rollup_state") == by_another
        sql_connection.execute("alter table soulbox.rollup_state disable trigger all")
        sql_connection.execute(
            "update soulbox.rollup_state set updated_at = now() - interval '1 hour'"
        )
        await until(lambda: _is_folded(store))
    assert_exact(sql_connection)


@pytest.mark.parametrize(
    "damage",
    [
        "update soulbox.usage_daily set total_cost = total_cost + 0.0000000001",
        "update soulbox.usage_aggregates set total_executions = total_executions + 1",
        "update soulbox.usage_daily set breakdown = '{}'",
        "delete from soulbox.usage_aggregates where period = '2026-12'",
        "update soulbox.usage_aggregates set period = '2020-01' where user_name = 'ada'"
        " and period = '2026-11'",
    ],
)
async def test_difference_is_told_and_mended(
    store: Store, sql_connection: psycopg.Connection, damage: str
) -> None:
    write_some(sql_connection)
    await rebuild(store)
    sql_connection.execute(damage.encode())
    found = await rollup_differences(store)
    assert found
    for one_found in found:
        assert one_found.stored != one_found.recomputed
        assert one_found.table in damage
    await rebuild(store)
    assert await rollup_differences(store) == []
    assert_exact(sql_connection)


async def test_database_of_a_new_epoch_is_summed_anew(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    """As soulbox db restore leaves it: rows of transactions that this server has yet to see."""
    await _bring_from_elsewhere(store, sql_connection)
    sql_connection.execute(
        "insert into soulbox.mirror_state (cluster, leader_epoch, database_epoch)"
        " values (gen_random_uuid(), 1, 1700000000)"
    )
    assert_views_exact(sql_connection)
    await _operator_mends(make_mirror, store, sql_connection)


async def test_database_that_was_copied_without_a_new_epoch_is_noticed(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    await _bring_from_elsewhere(store, sql_connection)
    assert (await look_at_rollups(store)).is_foreign
    await _operator_mends(make_mirror, store, sql_connection)
    assert one(sql_connection, "select soulbox.database_epoch()") > 1_700_000_000


async def _bring_from_elsewhere(store: Store, connection: psycopg.Connection) -> None:
    """Rows and state as a server had them that was two million transactions further."""
    write_some(connection)
    await rebuild(store)
    add_mark(connection, user="not-folded")
    for table in ("billing_events", "usage_marks"):
        connection.execute(f"alter table soulbox.{table} disable trigger all".encode())
        connection.execute(
            f"update soulbox.{table} set xid8 = (xid8::text::bigint + 2000000)::text::xid8".encode()
        )
        connection.execute(f"alter table soulbox.{table} enable trigger all".encode())
    connection.execute(
        "update soulbox.rollup_state"
        " set watermark = (watermark::text::bigint + 2000000)::text::xid8"
    )


async def _operator_mends(
    make_mirror: MakeMirror, store: Store, connection: psycopg.Connection
) -> None:
    mirror = make_mirror(rollup_seconds=0.01)
    async with running(mirror):
        for _ in range(3):
            mirror.offer(Kind.EXECUTION, make_finished_execution())
            await drained(mirror)
        await until(lambda: _is_folded(store))
    assert_exact(connection)
    assert await rollup_differences(store) == []
    folded = "select database_epoch = soulbox.database_epoch() from soulbox.rollup_state"
    assert one(connection, folded)


async def test_mirror_goes_on_where_sums_cannot_be_kept(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    await rebuild(store)
    sql_connection.execute(
        "alter table soulbox.usage_daily add constraint probe check (total_cost < 0) not valid"
    )
    mirror = make_mirror(rollup_seconds=0.01)
    async with running(mirror):
        for _ in range(5):
            mirror.offer(Kind.EXECUTION, make_finished_execution())
            await drained(mirror)
        waited = mirror.rollup_lag_seconds()
        await until(lambda: (mirror.rollup_lag_seconds() or 0) > (waited or 0))
        assert mirror.statistics().failures == 0
        assert_views_exact(sql_connection)
        assert stored_sums(sql_connection) == {}
        sql_connection.execute("alter table soulbox.usage_daily drop constraint probe")
        await until(lambda: _is_folded(store))
    assert sum(s.executions for s in direct_sums(sql_connection, monthly=True).values()) == 5
    assert_exact(sql_connection)
