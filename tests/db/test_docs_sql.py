"""The SQL of the docs works, and the proofs of billing.md find what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import ExecStatus

from soulbox.model.states import Kind
from soulbox.model.times import parse_time
from soulbox.store.adjustments import adjust
from soulbox.store.pool import Store
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import make_pod, new_uid

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def statements(page: Path) -> list[str]:
    blocks = re.findall(r"```sql\n(.*?)```", page.read_text(), re.DOTALL)
    return [one for block in blocks for one in re.split(r";\s*$", block, flags=re.M) if one.strip()]


ALL = [(page.name, one) for page in PAGES for one in statements(page)]
BILLING = statements(ROOT / "docs/billing.md")
PROOFS = [one for one in BILLING if one.startswith("-- no rows")]


@pytest.mark.parametrize(
    "statement", [one for _, one in ALL], ids=[f"{n}-{i}" for i, (n, _) in enumerate(ALL)]
)
def test_statement_prepares(sql_connection: psycopg.Connection, statement: str) -> None:
    result = sql_connection.pgconn.prepare(b"", statement.encode())
    assert result.status == ExecStatus.COMMAND_OK, result.error_message.decode()


@pytest.mark.parametrize("statement", statements(ROOT / "docs/sql.md"))
def test_example_runs(sql_connection: psycopg.Connection, statement: str) -> None:
    assert sql_connection.execute(statement.encode()).description


async def bill(make_mirror: MakeMirror) -> None:
    """A ledger with pods of every kind, of 15 rows."""
    day = "2026-11-22T"
    ended = [
        make_pod(uid=new_uid(), started=f"{day}{start}Z", finished=f"{day}{end}Z", **changes)
        for start, end, changes in (
            ("10:10:00", "10:10:09", {}),
            ("10:59:59", "13:00:00", {"cpu": "333m", "memory": "300000000"}),
            ("11:00:00", "12:00:00", {"cpu": "1", "memory": "3Gi"}),
            ("09:30:00", "12:45:01", {"cpu": "10m", "memory": "16777217"}),
            ("10:10:00", "10:10:00", {}),
            ("10:10:00", "08:00:00", {}),  # its node's clock was set back
            ("10:00:01", "10:00:08", {"execution_uid": new_uid()}),
        )
    ]
    lives = make_pod(uid=new_uid(), started=f"{day}10:30:00Z")
    mirror = make_mirror()
    async with running(mirror):
        for pod in (*ended, lives):
            mirror.offer(Kind.POD, pod)
        await drained(mirror)
        await mirror.meter_running([lives], lambda _: parse_time(f"{day}13:10:00Z"))


async def test_proofs_find_nothing_on_a_sound_ledger(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    await bill(make_mirror)
    count = sql_connection.execute("select count(*) from soulbox.billing_events").fetchone()
    assert count == (15,)
    assert len(PROOFS) == 4
    for proof in PROOFS:
        assert sql_connection.execute(proof.encode()).fetchall() == []


@pytest.mark.parametrize(
    "forgery",
    [
        "update soulbox.billing_events set amount = amount + 0.0000000001",
        "update soulbox.billing_events set compute_units = compute_units * 1.0001",
        "update soulbox.billing_events set kind = 'execution' where kind = 'sandbox_runtime'",
        "update soulbox.pod_runs set finished_at = finished_at + interval '1 s'"
        " where finished_at > started_at",
        "update soulbox.pod_runs set memory_bytes = memory_bytes * 2",
        "delete from soulbox.billing_events where quantity = 3600",
        "update soulbox.billing_events set price_plan = null, amount = 0",
        "update soulbox.billing_events set price_plan = 'other', amount = 0",
    ],
)
async def test_proofs_find_a_forgery(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, forgery: str
) -> None:
    await bill(make_mirror)
    for statement in (
        "alter table soulbox.billing_events disable trigger all",
        "insert into soulbox.price_plans (name, sku, tier, rate, valid)"
        " values ('other', 'gpu', 'free', 0, '[2020-01-01,)')",
        forgery,
    ):
        sql_connection.execute(statement.encode())
    assert any(sql_connection.execute(proof.encode()).fetchall() for proof in PROOFS)


async def test_correction_brings_a_bill_to_nothing(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    await bill(make_mirror)
    row = sql_connection.execute(
        "select event_id, amount from soulbox.billing_events where quantity = 9"
    ).fetchone()
    assert row is not None
    done = await adjust(store, row[0], amount=-row[1], reason="outage", reference="T-1")
    assert done.left == 0
    for proof in PROOFS:
        assert sql_connection.execute(proof.encode()).fetchall() == []
