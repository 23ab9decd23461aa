"""Objects become rows: the whole way from offer() to a committed row."""

from __future__ import annotations

from decimal import Decimal

import psycopg

from soulbox.model.states import Kind
from tests.support.fix_mirror import MakeMirror, Recorded, drained, running
from tests.support.make_mirrored import (
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    newer,
)


async def test_offered_objects_become_rows(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, make_running_sandbox())
        mirror.offer(Kind.EXECUTION, make_finished_execution())
        await drained(mirror)
    row = sql_connection.execute(
        "select state, user_name, tenant, runtime_seconds, spec from soulbox.sandboxes"
    ).fetchone()
    assert row is not None
    assert row[:4] == ("running", "ada", "tenant-team-a", Decimal(61))
    assert row[4]["env"] == [{"name": "TOKEN"}]
    found = sql_connection.execute(
        "select state, stdout, exit_code, duration_ms, code, output_complete, billing"
        " from soulbox.v_executions"
    ).fetchone()
    assert found is not None
    assert found[:6] == ("completed", "42\n", 0, 250, "print(42)", True)
    assert found[6]["cost_usd"] == "0.0000012500"


async def test_finished_pod_is_billed_by_the_hour(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    pod = make_pod(started="2026-11-22T10:30:00Z", cpu="500m", memory="512Mi")
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await drained(mirror)
        assert not mirror.is_recorded(pod["metadata"]["uid"])
        ended = make_pod(
            uid=pod["metadata"]["uid"],
            started="2026-11-22T10:30:00Z",
            finished="2026-11-22T12:00:10Z",
            cpu="500m",
            memory="512Mi",
        )
        mirror.offer(Kind.POD, newer(ended))
        await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
        assert mirror.is_recorded(pod["metadata"]["uid"])
    rows = sql_connection.execute(
        "select kind, quantity, unit, compute_units, amount, price_plan"
        " from soulbox.billing_events order by starts_at"
    ).fetchall()
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        ("sandbox_runtime", Decimal(1800), Decimal(900), Decimal("0.018")),
        ("sandbox_runtime", Decimal(3600), Decimal(1800), Decimal("0.036")),
        ("sandbox_runtime", Decimal(10), Decimal(5), Decimal("0.0001")),
    ]
    assert {row[2] for row in rows} == {"seconds"}
    assert {row[5] for row in rows} == {"default-free-1"}
