"""The ledger: append-only, no overlap, the same rows however often they are made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from soulbox.mirror import Mirror
from soulbox.mirror.bills import BILL_ROWS
from soulbox.model.states import Kind
from soulbox.pure.prices import charge
from soulbox.store.ledger import (
    APPEND_ONLY_CONSTRAINT,
    PLAN_IMMUTABLE_CONSTRAINT,
    PLAN_OVERLAP_CONSTRAINT,
    WINDOW_CONSTRAINT,
)
from tests.support.fix_mirror import CONTEXT, MakeMirror, Recorded, drained, running, until
from tests.support.make_mirrored import make_pod, new_uid, newer

START, END = "2026-11-22T10:30:00Z", "2026-11-22T12:00:10Z"
INSERT = """
    insert into soulbox.billing_events (event_id, cluster, tenant, kind, pod_uid, window_hour,
        starts_at, ends_at, quantity, compute_units, amount, price_plan, sku, tier, occurred_at,
        corrects, metadata)
    values (gen_random_uuid(), %(cluster)s, 't', %(kind)s, %(pod)s, %(hour)s, %(starts)s,
        %(ends)s, %(quantity)s, %(units)s, %(amount)s, %(plan)s, 'default', 'free', %(ends)s,
        %(corrects)s, %(metadata)s)
    returning event_id"""
GOOD: dict[str, Any] = {
    "cluster": CONTEXT.cluster,
    "kind": "sandbox_runtime",
    "pod": "00000000-0000-0000-0000-00000000000a",
    "hour": "2026-11-22T10:00:00Z",
    "starts": "2026-11-22T10:30:00Z",
    "ends": "2026-11-22T10:30:10Z",
    "quantity": Decimal(10),
    "units": Decimal(10),
    "amount": Decimal("0.0002"),
    "plan": "default-free-1",
    "corrects": None,
    "metadata": "{}",
}


def finished_pod(**changes: Any) -> dict[str, Any]:
    return make_pod(started=START, finished=END, **changes)


def ledger(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select pod_uid, window_hour, starts_at, ends_at, quantity, amount, recorded_at"
        " from soulbox.billing_events order by 1, 2"
    ).fetchall()


async def test_offered_again_by_anybody_the_ledger_stays_as_it_is(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    pods = [finished_pod() for _ in range(20)]
    for _ in range(3):
        # Each with a memory of its own, like an operator that was restarted.
        async with running(make_mirror()) as mirror:
            for pod in pods:
                mirror.offer(Kind.POD, pod)
            await drained(mirror)
            assert all(mirror.is_recorded(pod["metadata"]["uid"]) for pod in pods)
            assert mirror.statistics().bill_conflicts == 0
        written = ledger(sql_connection)
        assert len(written) == 60
    assert len({row[6] for row in written}) == 1


async def test_what_the_ledger_says_is_what_the_pods_ran(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror()) as mirror:
        for index in range(30):
            mirror.offer(
                Kind.POD,
                make_pod(
                    started=f"2026-11-22T10:{index:02}:07Z",
                    finished=f"2026-11-22T1{index % 5}:59:{index:02}Z",
                    cpu=f"{100 + index}m",
                ),
            )
        await drained(mirror)
    rows = sql_connection.execute(
        "select extract(epoch from greatest(r.finished_at - r.started_at, '0')), sum(b.quantity)"
        "  from soulbox.pod_runs r join soulbox.billing_events b using (pod_uid)"
        " group by r.pod_uid"
    ).fetchall()
    assert len(rows) == 30
    assert all(ran == billed for ran, billed in rows)


async def test_rows_are_derived_again_in_one_line_of_sql(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """PostgreSQL and pure.prices round alike, and the stamped plan is enough."""
    async with running(make_mirror()) as mirror:
        for index in range(200):
            mirror.offer(
                Kind.POD,
                make_pod(
                    started="2026-11-22T10:00:00Z",
                    finished=f"2026-11-22T10:{index % 60:02}:{index * 7 % 60:02}Z",
                    cpu=f"{index * 37 + 1}m",
                    memory=f"{index * 104_729 + 1}",
                ),
            )
        await drained(mirror)
    wrong = sql_connection.execute(
        "select b.event_id from soulbox.billing_events b"
        "  join soulbox.pod_runs r using (pod_uid)"
        "  join soulbox.price_plans p on p.name = b.price_plan"
        " where b.compute_units <> round(b.quantity * greatest(r.cpu_millicores / 1000.0,"
        "       r.memory_bytes::numeric(60,40) / 2147483648), 10)"
        "    or b.amount <> round(b.compute_units * p.rate, 10)"
    ).fetchall()
    assert wrong == []
    assert len(ledger(sql_connection)) == 200


@pytest.mark.parametrize(
    "statement",
    [
        "update soulbox.billing_events set amount = 0",
        "delete from soulbox.billing_events",
        "truncate soulbox.billing_events",
        "truncate soulbox.billing_events cascade",
    ],
)
def test_ledger_is_append_only(sql_connection: psycopg.Connection, statement: str) -> None:
    sql_connection.execute(INSERT, GOOD)
    with pytest.raises(psycopg.errors.RestrictViolation) as raised:
        sql_connection.execute(statement)
    assert raised.value.diag.constraint_name == APPEND_ONLY_CONSTRAINT
    assert len(ledger(sql_connection)) == 1


BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "starts before its hour": (
        {"starts": "2026-11-22T09:59:59Z", "quantity": 1811},
        "billing_events_starts_in_hour",
    ),
    "starts in the next hour": (
        {"starts": "2026-11-22T11:00:00Z", "ends": "2026-11-22T11:00:00Z", "quantity": 0},
        "billing_events_starts_in_hour",
    ),
    "ends after its hour": (
        {"ends": "2026-11-22T11:00:01Z", "quantity": 1801},
        "billing_events_ends_in_hour",
    ),
    "ends before it starts": (
        {"ends": "2026-11-22T10:29:59Z", "quantity": -1},
        "billing_events_ends_in_hour",
    ),
    "half an hour as hour": (
        {"hour": "2026-11-22T10:30:00Z"},
        "billing_events_hour_whole",
    ),
    "more seconds than passed": ({"quantity": 11}, "billing_events_quantity_proved"),
    "a negative amount": ({"amount": -1}, "billing_events_signs"),
    "a price out of no plan": ({"plan": None}, "billing_events_unpriced_free"),
    "an unknown plan": ({"plan": "x"}, "billing_events_price_plan_fkey"),
    "no pod": ({"pod": None}, "billing_events_pod_given"),
    "an unknown kind": ({"kind": "gift"}, "billing_events_kind_known"),
    "an adjustment of nothing": (
        {"kind": "adjustment", "pod": None},
        "billing_events_adjustment_explained",
    ),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_ledger_refuses_by_name(sql_connection: psycopg.Connection, what: str) -> None:
    changes, want = BAD_ROWS[what]
    with pytest.raises(psycopg.errors.IntegrityError) as raised:
        sql_connection.execute(INSERT, {**GOOD, **changes})
    assert raised.value.diag.constraint_name == want


def test_second_row_of_a_pod_and_hour_is_refused(sql_connection: psycopg.Connection) -> None:
    sql_connection.execute(INSERT, GOOD)
    later = {"starts": "2026-11-22T10:40:00Z", "ends": "2026-11-22T10:40:10Z"}
    with pytest.raises(psycopg.errors.UniqueViolation) as raised:
        sql_connection.execute(INSERT, {**GOOD, **later})
    assert raised.value.diag.constraint_name == WINDOW_CONSTRAINT


def test_corrections_are_signed_rows_with_reference_and_reason(
    sql_connection: psycopg.Connection,
) -> None:
    row = sql_connection.execute(INSERT, GOOD).fetchone()
    assert row is not None
    correction = {
        **GOOD,
        "kind": "adjustment",
        "pod": None,
        "corrects": row[0],
        "quantity": -3,
        "units": -3,
        "amount": Decimal("-0.00006"),
    }
    for reason in ({}, {"reason": ""}):
        with pytest.raises(psycopg.errors.CheckViolation) as raised:
            sql_connection.execute(INSERT, {**correction, "metadata": json.dumps(reason)})
        assert raised.value.diag.constraint_name == "billing_events_adjustment_explained"
    for _ in range(2):
        said = json.dumps({"reason": "node clock was wrong"})
        sql_connection.execute(INSERT, {**correction, "metadata": said})
    total = sql_connection.execute("select sum(amount) from soulbox.billing_events").fetchone()
    assert total == (Decimal("0.00008"),)


async def test_bill_that_contradicts_the_ledger_is_an_alarm_and_changes_nothing(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    pod = finished_pod()
    uid = pod["metadata"]["uid"]
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await recorded.wait_for(Kind.POD, uid)
    before = ledger(sql_connection)
    # Somebody edits what bills are proved from: earlier end, so one hour too many is billed.
    await asyncio.to_thread(
        sql_connection.execute,
        "update soulbox.pod_runs set finished_at = '2026-11-22 11:30:00Z'",
    )
    recorded.clear()
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await recorded.wait_for(Kind.POD, uid)
        assert mirror.statistics().bill_conflicts == 2
        assert mirror.statistics().dead_letters == 2
    assert ledger(sql_connection) == before
    letters = sql_connection.execute(
        "select kind, payload -> 'ledger' ->> 'quantity', payload -> 'recomputed' ->> 'quantity'"
        " from soulbox.dead_letter order by 2"
    ).fetchall()
    assert letters == [
        ("BillingEvent", "10.000000", None),
        ("BillingEvent", "3600.000000", "1800.000000"),
    ]


async def test_bill_written_by_somebody_else_meanwhile_is_seen(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    """A trigger plays a writer that the fence should have kept out: it puts a row of its
    own in the place of ours at the very moment of inserting."""
    sql_connection.execute(
        """
        CREATE FUNCTION soulbox.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.metadata ? 'meddled' THEN RETURN NEW; END IF;
            NEW.metadata := '{"meddled": true}';
            NEW.amount := NEW.amount + 1;
            INSERT INTO soulbox.billing_events SELECT NEW.*;
            RETURN NULL;
        END $$;
        CREATE TRIGGER meddle BEFORE INSERT ON soulbox.billing_events
            FOR EACH ROW EXECUTE FUNCTION soulbox.meddle()"""
    )
    pod = make_pod(started=START, finished="2026-11-22T10:30:10Z")
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
        assert mirror.statistics().bill_conflicts == 1
    assert len(ledger(sql_connection)) == 1


async def test_hours_proven_before_stay_when_an_older_lease_is_read(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    pod = make_pod(started=START)
    await make_mirror().meter_running([pod], leases("2026-11-22T13:30:00Z"))
    mirror = make_mirror()
    await mirror.meter_running([pod], leases("2026-11-22T12:30:00Z"))
    assert mirror.statistics().bill_conflicts == 0
    assert len(ledger(sql_connection)) == 3


async def test_later_word_of_another_end_is_not_billed_again(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    """A node that came back after its pod was ended by its Lease."""
    lost_at = "2026-11-22T11:15:00.500000Z"
    going = {"deletionTimestamp": END, "annotations": {"soulbox.dev/lost-time": lost_at}}
    lost = make_pod(started=START, metadata=going)
    uid = lost["metadata"]["uid"]
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, lost)
        await recorded.wait_for(Kind.POD, uid)
        mirror.offer(Kind.POD, newer(make_pod(uid=uid, started=START, finished=END)))
        await drained(mirror)
        assert mirror.statistics().bill_conflicts == 0
    rows = sql_connection.execute(
        "select end_source, exit_reason, sum(quantity) from soulbox.pod_runs"
        " join soulbox.billing_events using (pod_uid) group by 1, 2"
    ).fetchall()
    assert rows == [("lease", "NodeLost", Decimal("2700.5"))]


async def test_pod_whose_end_nobody_knows_waits_for_the_lost_time(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    """The kubelet lost the container and with it the start, which an earlier version said."""
    pod = make_pod(started=START)
    uid = pod["metadata"]["uid"]
    lost = newer(
        make_pod(uid=uid),
        status={
            "phase": "Failed",
            "containerStatuses": [
                {
                    "name": "runner",
                    "state": {"terminated": {"reason": "ContainerStatusUnknown", "exitCode": 137}},
                }
            ],
        },
    )
    async with running(make_mirror(linger_seconds=0.2)) as mirror:
        # Both before a flush: the second hides the first.
        mirror.offer(Kind.POD, pod)
        mirror.offer(Kind.POD, lost)
        await drained(mirror)
        assert not mirror.is_recorded(uid)
    assert ledger(sql_connection) == []
    async with running(make_mirror()) as mirror:
        # After a restart only the database remembers the start.
        said = {"annotations": {"soulbox.dev/lost-time": "2026-11-22T10:40:00Z"}}
        mirror.offer(Kind.POD, newer(lost, metadata=said))
        await recorded.wait_for(Kind.POD, uid)
    row = sql_connection.execute(
        "select end_source, exit_reason, quantity from soulbox.pod_runs"
        " join soulbox.billing_events using (pod_uid)"
    ).fetchone()
    assert row == ("lease", "ContainerStatusUnknown", Decimal(600))


async def test_pod_that_never_started_is_recorded_at_once_and_bills_nothing(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    failed = make_pod(status={"phase": "Failed"})
    waiting = make_pod()
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, failed)
        mirror.offer(Kind.POD, waiting)
        await recorded.wait_for(Kind.POD, failed["metadata"]["uid"])
        assert not mirror.is_recorded(waiting["metadata"]["uid"])
        mirror.offer(Kind.POD, waiting, deleted=True)
        await drained(mirror)
        assert not mirror.is_recorded(waiting["metadata"]["uid"])
    assert sql_connection.execute("select count(*) from soulbox.pod_runs").fetchone() == (0,)


async def test_one_shot_pod_is_billed_as_execution(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    execution = new_uid()
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, finished_pod(execution_uid=execution))
        await drained(mirror)
    rows = sql_connection.execute(
        "select distinct kind, execution_uid::text, sandbox_uid from soulbox.billing_events"
    ).fetchall()
    assert rows == [("execution", execution, None)]


# Hours of pods that still run.


def leases(renewed: str) -> Any:
    return {"node-1": datetime.fromisoformat(renewed)}.get


async def test_hours_of_a_running_pod_are_billed_as_they_are_proven(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    pod = make_pod(started=START)
    uid = pod["metadata"]["uid"]
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await drained(mirror)
        for renewed, want in (
            ("2026-11-22T11:00:59Z", 0),
            ("2026-11-22T11:01:00Z", 1),
            ("2026-11-22T11:40:00Z", 1),
            ("2026-11-22T13:30:00Z", 3),
        ):
            await mirror.meter_running([pod], leases(renewed))
            assert len(ledger(sql_connection)) == want
        assert not mirror.is_recorded(uid)
        end = "2026-11-22T13:30:30Z"
        mirror.offer(Kind.POD, newer(make_pod(uid=uid, started=START, finished=end)))
        await recorded.wait_for(Kind.POD, uid)
        assert mirror.statistics().bill_conflicts == 0
    quantities = [row[4] for row in ledger(sql_connection)]
    assert quantities == [Decimal(1800), Decimal(3600), Decimal(3600), Decimal(1830)]


async def test_an_hour_of_old_pods_makes_an_hour_and_reads_no_earlier_one(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    pods = [make_pod(started=START) for _ in range(3)]
    mirror = make_mirror()
    await mirror.meter_running(pods, leases("2026-11-29T10:30:00Z"))
    assert len(ledger(sql_connection)) == 3 * 168
    # Rows of another amount: whoever looked at them would find that they contradict.
    for word in ("disable", "enable"):
        sql_connection.execute(f"alter table soulbox.billing_events {word} trigger user")
        if word == "disable":
            sql_connection.execute("update soulbox.billing_events set amount = amount + 1")
    written = mirror.statistics().rows_written
    await mirror.meter_running(pods, leases("2026-11-29T11:30:00Z"))
    assert mirror.statistics().rows_written == written + 3
    assert mirror.statistics().bill_conflicts == 0
    assert len(ledger(sql_connection)) == 3 * 169


async def test_many_hours_at_once_are_billed_in_portions_and_go_on_where_they_stopped(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    """Pods that nobody metered for a week end together: more rows than one transaction takes.
    The disk is full after the first portion; none is recorded before its last row."""
    sql_connection.execute(
        """
        CREATE TABLE soulbox.disk_full ();
        CREATE FUNCTION soulbox.fill_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM soulbox.billing_events)
               AND to_regclass('soulbox.disk_full') IS NOT NULL THEN
                RAISE EXCEPTION 'full' USING ERRCODE = 'disk_full'; END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER fill_disk BEFORE INSERT ON soulbox.billing_events
            FOR EACH STATEMENT EXECUTE FUNCTION soulbox.fill_disk()"""
    )
    pods = [make_pod(started=START, finished="2026-11-29T10:30:00Z") for _ in range(13)]
    async with running(make_mirror()) as mirror:
        for pod in pods:
            mirror.offer(Kind.POD, pod)
        await until(lambda: mirror.statistics().failures > 0)
        assert len(ledger(sql_connection)) == BILL_ROWS
        assert recorded == []
        sql_connection.execute("drop table soulbox.disk_full")
        for pod in pods:
            await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
        assert mirror.statistics().bill_conflicts == 0
    rows = sql_connection.execute(
        "select count(*), count(distinct window_hour), sum(quantity)"
        " from soulbox.billing_events group by pod_uid"
    ).fetchall()
    assert rows == [(169, 169, Decimal(7 * 86_400))] * 13


async def test_metering_after_a_restart_adds_only_what_is_missing(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    pod = make_pod(started=START)
    await make_mirror().meter_running([pod], leases("2026-11-22T12:30:00Z"))
    first = ledger(sql_connection)
    mirror = make_mirror()
    await mirror.meter_running([pod], leases("2026-11-22T13:30:00Z"))
    assert ledger(sql_connection)[:2] == first
    assert len(ledger(sql_connection)) == 3
    # Nothing new: not even a transaction.
    batches = mirror.statistics().batches
    await mirror.meter_running([pod], leases("2026-11-22T13:40:00Z"))
    assert mirror.statistics().batches == batches


async def test_hour_of_a_pod_that_the_watch_is_late_about_is_not_billed_whole(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    lives, late, gone = make_pod(started=START), make_pod(started=START), make_pod(started=START)
    ended = {"containerStatuses": [{"name": "runner", "state": {"terminated": {}}}]}
    asked: list[str] = []

    async def ask(pods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        asked.extend(pod["metadata"]["uid"] for pod in pods)
        return [lives, newer(late, status={"phase": "Failed", **ended})]

    mirror = make_mirror()
    until = leases("2026-11-22T12:30:00Z")
    await mirror.meter_running([lives, late, gone], until, ask)
    assert set(asked) == {pod["metadata"]["uid"] for pod in (lives, late, gone)}
    billed = sql_connection.execute("select distinct pod_uid::text from soulbox.billing_events")
    assert billed.fetchall() == [(lives["metadata"]["uid"],)]
    asked.clear()
    await mirror.meter_running([lives], until, ask)
    assert asked == [], "once an hour"


async def test_start_error_costs_nothing_and_is_recorded(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    """As containerd tells of a container that could not be started."""
    terminated = {
        "reason": "StartError",
        "exitCode": 128,
        "startedAt": "1970-01-01T00:00:00Z",
        "finishedAt": "2026-11-22T10:00:01Z",
    }
    statuses = [{"name": "runner", "state": {"terminated": terminated}}]
    pod = make_pod(status={"phase": "Failed", "containerStatuses": statuses})
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await drained(mirror)
        assert mirror.is_recorded(pod["metadata"]["uid"])
    assert ledger(sql_connection) == []
    assert sql_connection.execute("select * from soulbox.dead_letter").fetchall() == []


async def test_start_long_before_the_pod_was_made_goes_to_the_dead_letters(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    pod = make_pod(started="2024-11-22T10:00:00Z", finished="2026-11-22T10:00:01Z")
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await drained(mirror)
    assert ledger(sql_connection) == []
    (error,) = sql_connection.execute("select error from soulbox.dead_letter").fetchone() or ("",)
    assert "lies before the pod was made" in error


async def test_metering_leaves_out_what_has_no_start_node_or_lease(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    pods = [
        make_pod(),
        make_pod(started=START, spec={"nodeName": "node-2"}),
        {"metadata": "odd"},
    ]
    await make_mirror().meter_running(pods, leases("2026-11-23T00:00:00Z"))
    assert ledger(sql_connection) == []


# Prices.


def add_plan(connection: psycopg.Connection, name: str, rate: str, valid: str, sku: str) -> None:
    connection.execute(
        "insert into soulbox.price_plans (name, sku, tier, rate, valid)"
        " values (%s, %s, 'free', %s, %s)",
        (name, sku, rate, valid),
    )


async def test_price_of_the_sku_is_stamped_and_kept_when_prices_change(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    add_plan(sql_connection, "gpu-1", "0.5", "[2026-01-01,)", "gpu")
    pod = finished_pod(metadata={"annotations": {"soulbox.dev/sku": "gpu"}})
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
        book = mirror.price_book()
    assert book is not None
    plan = book.named("gpu-1")
    before = sql_connection.execute(
        "select price_plan, tier, sku, quantity, amount from soulbox.billing_events"
        " order by starts_at"
    ).fetchall()
    for row in before:
        assert row[:3] == ("gpu-1", "free", "gpu")
        assert row[4] == charge(row[3], 250, 256 * 2**20, plan).amount


async def test_bills_without_any_plan_are_rows_that_say_so(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    old = make_pod(
        created="2019-05-05T09:59:58Z",
        started="2019-05-05T10:00:00Z",
        finished="2019-05-05T10:00:05Z",
    )
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, old)
        await drained(mirror)
    row = sql_connection.execute(
        "select amount, price_plan, quantity, metadata from soulbox.billing_events"
    ).fetchone()
    assert row == (Decimal(0), None, Decimal(5), {"unpriced": True})


async def test_price_book_is_read_again(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    def plans(mirror: Mirror) -> int:
        book = mirror.price_book()
        return 0 if book is None else len(book)

    fresh = make_mirror(price_reload_seconds=0.05)
    assert fresh.price_book() is None
    async with running(fresh) as mirror:
        await until(lambda: plans(mirror) == 1)
        add_plan(sql_connection, "gpu-1", "0.5", "[2026-01-01,)", "gpu")
        await until(lambda: plans(mirror) == 2)


@pytest.mark.parametrize(
    "change",
    [
        "update soulbox.price_plans set rate = 1",
        "update soulbox.price_plans set name = 'x'",
        "update soulbox.price_plans set valid = '[2019-01-01,)'",
        "update soulbox.price_plans set valid = '[2020-01-01,2021-01-01)'",
        "delete from soulbox.price_plans",
    ],
)
def test_plan_that_has_begun_is_immutable(sql_connection: psycopg.Connection, change: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation) as raised:
        sql_connection.execute(change)
    assert raised.value.diag.constraint_name == PLAN_IMMUTABLE_CONSTRAINT


def test_plan_can_end_later_than_now_and_the_next_begins_there(
    sql_connection: psycopg.Connection,
) -> None:
    change = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(psycopg.errors.ExclusionViolation) as raised:
        add_plan(sql_connection, "default-2", "1", f"[{change.isoformat()},)", "default")
    assert raised.value.diag.constraint_name == PLAN_OVERLAP_CONSTRAINT
    sql_connection.execute(
        "update soulbox.price_plans set valid = tstzrange(lower(valid), %s)", (change,)
    )
    add_plan(sql_connection, "default-2", "1", f"[{change.isoformat()},)", "default")
    # One that has not begun may still be changed, or withdrawn.
    sql_connection.execute("update soulbox.price_plans set rate = 2 where name = 'default-2'")
    sql_connection.execute("delete from soulbox.price_plans where name = 'default-2'")
    assert sql_connection.execute("select name from soulbox.price_plans").fetchall() == [
        ("default-free-1",)
    ]


def test_plan_description_may_change(sql_connection: psycopg.Connection) -> None:
    sql_connection.execute("update soulbox.price_plans set description = 'x'")


@pytest.mark.parametrize(
    ("column", "value", "want"),
    [
        ("rate", "-1", "price_plans_rate_positive"),
        ("currency", "usd", "price_plans_currency_code"),
        ("sku", "", "price_plans_sku_given"),
        ("valid", "(,2030-01-01)", "price_plans_valid_from_given"),
        ("valid", "empty", "price_plans_valid_from_given"),
    ],
)
def test_plan_refuses_by_name(
    sql_connection: psycopg.Connection, column: str, value: str, want: str
) -> None:
    row = {
        "name": "n",
        "sku": "s",
        "tier": "t",
        "rate": "1",
        "currency": "USD",
        "valid": "[2030-01-01,)",
        column: value,
    }
    with pytest.raises(psycopg.errors.IntegrityError) as raised:
        sql_connection.execute(
            "insert into soulbox.price_plans (name, sku, tier, rate, currency, valid) values"
            " (%(name)s, %(sku)s, %(tier)s, %(rate)s, %(currency)s, %(valid)s)",
            row,
        )
    assert raised.value.diag.constraint_name == want


def test_default_plan_comes_with_the_schema(sql_connection: psycopg.Connection) -> None:
    row = sql_connection.execute(
        "select name, sku, tier, rate, currency, lower(valid), upper(valid)"
        " from soulbox.price_plans"
    ).fetchone()
    assert row is not None
    assert row[:5] == ("default-free-1", "default", "free", Decimal("0.00002"), "USD")
    assert row[6] is None
