"""call_sums: at every moment what the rows of executions add up to, whatever becomes of them."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from soulbox.model.retention import RetentionPolicy
from soulbox.store.call_sums import CallSums
from soulbox.store.pool import Store
from soulbox.store.retention import retain
from soulbox.store.tool_registry import STATS_BY, ToolRegistry
from tests.support.fix_mirror import MakeMirror, running, until
from tests.support.make_mirrored import CLUSTER_UID
from tests.support.tools import add_tool

NOW = datetime.now(UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
# Every sum beside the one made from executions; none where they are equal. A row that does not
# know its newest call is right in that.
DIFFERENT = """
select * from (
    select function_uid, day, function_version, tenant, cluster, sum(runs) as runs,
           sum(success) as success, sum(errors) as errors, sum(timed) as timed,
           sum(duration_ms) as duration_ms, sum(cost_usd) as cost_usd,
           sum(durations) as durations, max(created_at) as last_run_at
      from soulbox.v_calls group by 1, 2, 3, 4, 5) w
  full join (select * from soulbox.call_sums where runs <> 0) s
 using (function_uid, day, function_version, tenant, cluster)
 where (w.runs, w.success, w.errors, w.timed, w.duration_ms, w.cost_usd, w.durations,
        w.last_run_at)
       is distinct from
       (s.runs, s.success, s.errors, s.timed, s.duration_ms, s.cost_usd, s.durations,
        coalesce(s.last_run_at, w.last_run_at))
"""


def different(connection: psycopg.Connection) -> list[Any]:
    return connection.execute(DIFFERENT.encode()).fetchall()


async def sum_anew(store: Store) -> None:
    steps = CallSums(store)
    while await steps.step() is not None:
        pass


def are_summed(connection: psycopg.Connection) -> bool:
    row = connection.execute("select calls_summed_at from soulbox.rollup_state").fetchone()
    return row is not None and row[0] is not None


@dataclass
class Tool:
    name: str
    tenant: str
    uid: UUID

    def key(self, by: str, version: str | None) -> str:
        tool = f"tool:{self.tenant.removeprefix('tenant-')}/{self.name}"
        return {"tenant": self.tenant, "tool": tool, "version": f"{tool}@{version or '(none)'}"}[by]


@dataclass
class Calls:
    """Rows of executions, and what is known of them."""

    connection: psycopg.Connection
    tools: list[Tool] = field(default_factory=list)
    rows: dict[UUID, dict[str, Any]] = field(default_factory=dict)

    def add_tools(self) -> None:
        for name, team in (("resize", "team-a"), ("crop", "team-a"), ("mail", "team-b")):
            tenant = f"tenant-{team}"
            uid = add_tool(self.connection, name=name, namespace=team, tenant=tenant)
            self.tools.append(Tool(name, tenant, uid))

    def add(self, tool: Tool, created_at: datetime, **columns: Any) -> UUID:
        self.connection.execute("select soulbox.ensure_partition('executions', %s)", (created_at,))
        row: dict[str, Any] = {
            "uid": uuid4(),
            "created_at": created_at,
            "cluster": CLUSTER_UID,
            "tenant": tool.tenant,
            "namespace": "n",
            "name": "call",
            "user_name": "",
            "state": "queued",
            "kind": "function",
            "function_uid": tool.uid,
            "function_version": None,
            "duration_ms": None,
            "billing": None,
            "resource_version": 1,
        } | columns
        names = ", ".join(row)
        values = ", ".join(f"%({name})s" for name in row)
        self.connection.execute(
            f"insert into soulbox.executions ({names}) values ({values})".encode(), row
        )
        self.rows[row["uid"]] = row
        return row["uid"]

    def change(self, uids: Sequence[UUID], **columns: Any) -> None:
        """In one statement, as the mirror writes a batch."""
        sets = ", ".join(f"{name} = %({name})s" for name in columns)
        self.connection.execute(
            f"update soulbox.executions set {sets} where uid = any (%(uids)s)".encode(),
            {**columns, "uids": list(uids)},
        )
        for uid in uids:
            self.rows[uid] |= columns

    def remove(self, uids: Sequence[UUID]) -> None:
        self.connection.execute(
            "delete from soulbox.executions where uid = any (%s)", (list(uids),)
        )
        for uid in uids:
            del self.rows[uid]

    def figures(self, days: int, by: str, user: str | None = None) -> dict[str, dict[str, Any]]:
        """What tool_stats must say, but for percentiles: those are lists of durations."""
        since = MIDNIGHT - timedelta(days=days)
        of: dict[str, list[dict[str, Any]]] = defaultdict(list)
        by_uid = {tool.uid: tool for tool in self.tools}
        for row in self.rows.values():
            if row["created_at"] >= since and user in (None, row["user_name"]):
                of[by_uid[row["function_uid"]].key(by, row["function_version"])].append(row)
        found = {}
        for key, rows in of.items():
            states = [row["state"] for row in rows]
            times = [row["duration_ms"] for row in rows if row["duration_ms"] is not None]
            costs = [Decimal(row["billing"].obj["cost_usd"]) for row in rows if row["billing"]]
            found[key] = {
                "runs": len(rows),
                "success": states.count("completed"),
                "errors": states.count("failed") + states.count("timeout"),
                "average_ms": round(Decimal(sum(times)) / len(times), 3) if times else None,
                "last_run_at": max(row["created_at"] for row in rows),
                "cost_usd": sum(costs, Decimal(0)),
                "times": sorted(times),
            }
        return found

    async def agree(self, store: Store, days: int = 30) -> None:
        for by in STATS_BY:
            async with store.transaction() as tx:
                rows = {row.pop("key"): row for row in await ToolRegistry(tx).stats(days, by)}
            want = self.figures(days, by)
            assert set(rows) == set(want)
            for key, row in rows.items():
                times = want[key].pop("times")
                for share in (50, 95, 99):
                    assert is_near(row.pop(f"p{share}_ms"), disc(times, share / 100))
                assert row == want[key], (by, key)


def disc(ordered: list[int], share: float) -> int | None:
    """As percentile_disc: the first value that so large a share is not greater than."""
    return next((t for i, t in enumerate(ordered, 1) if i / len(ordered) >= share), None)


def is_near(found: int | None, true: int | None) -> bool:
    """As documented: exact below 8 ms, else within an eighth."""
    if found is None or true is None or true < 8:
        return found == true
    return abs(found - true) * 8 <= true


def ended(chance: random.Random) -> dict[str, Any]:
    return {
        "state": chance.choice(["completed"] * 3 + ["failed", "timeout", "cancelled"]),
        "duration_ms": chance.choice([None, 0, chance.randrange(40), chance.randrange(10**5)]),
        "billing": Jsonb({"cost_usd": f"{chance.randrange(10**6)}.0000000125"}),
    }


@pytest.fixture
def calls(sql_connection: psycopg.Connection) -> Calls:
    found = Calls(sql_connection)
    found.add_tools()
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_figures_agree_with_the_rows_whatever_becomes_of_them(
    store: Store, sql_connection: psycopg.Connection, calls: Calls, seed: int
) -> None:
    """Calls come, end, are told late what they cost, are given another version, and go."""
    chance = random.Random(seed)
    edge = [MIDNIGHT - timedelta(days=30), MIDNIGHT - timedelta(days=30, microseconds=1)]
    if seed != 1:
        await sum_anew(store)
    for number in range(120):
        some = chance.sample(sorted(calls.rows), min(len(calls.rows), chance.randrange(1, 9)))
        match chance.randrange(12):
            case 0 if some:
                calls.remove(some[:2])
            case 1 | 2 if some:
                calls.change(some, function_version=chance.choice(["1", "2"]))
            case 3 if some:
                calls.change(some, state="running")
            case 4 | 5 | 6 if some:
                calls.change(some, **ended(chance))
            case 7 if some:
                calls.change(some[:1], function_uid=calls.tools[0].uid, tenant="tenant-team-a")
            case _:
                at = NOW - timedelta(seconds=chance.randrange(86400 * 40))
                calls.add(chance.choice(calls.tools), chance.choice([at, at, *edge]))
        if number % 10 == 9:
            await calls.agree(store, chance.choice([1, 7, 30, 60]))
            if seed != 1:
                assert different(sql_connection) == []
    assert len(calls.rows) > 20
    if seed == 1:  # counted from the rows until they are summed
        assert not are_summed(sql_connection)
        await sum_anew(store)
        assert are_summed(sql_connection)
        await calls.agree(store)
        assert different(sql_connection) == []


async def test_window_begins_at_midnight_utc(store: Store, calls: Calls) -> None:
    tool = calls.tools[0]
    calls.add(tool, MIDNIGHT - timedelta(days=30))
    late = calls.add(tool, MIDNIGHT - timedelta(days=30, microseconds=1))
    for _ in ("counted", "summed"):
        async with store.transaction() as tx:
            registry = ToolRegistry(tx)
            (row,) = await registry.stats(30)
            assert (row["runs"], row["last_run_at"]) == (1, MIDNIGHT - timedelta(days=30))
            (row,) = await registry.stats(31, function_uid=tool.uid)
            assert row["runs"] == 2
            assert await registry.stats(29) == []
        await sum_anew(store)
    calls.remove([late])
    await calls.agree(store, 60)


async def test_truncated_sums_are_made_anew_and_never_missed(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection, calls: Calls
) -> None:
    chance = random.Random(4)
    for index in range(40):
        calls.add(chance.choice(calls.tools), NOW - timedelta(days=index), **ended(chance))
    await sum_anew(store)
    steps = CallSums(store)
    await steps.step()
    sql_connection.execute("truncate soulbox.call_sums")
    assert not are_summed(sql_connection)
    await calls.agree(store)
    while await steps.step() is not None:
        pass
    assert not are_summed(sql_connection), "whoever summed before the truncate does not know"
    calls.add(calls.tools[0], NOW, **ended(chance))
    calls.remove([next(iter(calls.rows))])
    await calls.agree(store)
    async with running(make_mirror()):
        await until(lambda: are_summed(sql_connection))
    assert different(sql_connection) == []
    await calls.agree(store)
    sql_connection.execute("truncate soulbox.executions")
    calls.rows.clear()
    await calls.agree(store)
    assert different(sql_connection) == []


async def test_rows_deleted_from_the_sums_come_back_when_all_is_summed(
    store: Store, sql_connection: psycopg.Connection, calls: Calls
) -> None:
    for index in range(9):
        calls.add(calls.tools[index % 3], NOW - timedelta(days=index), state="completed")
    await sum_anew(store)
    sql_connection.execute("delete from soulbox.call_sums where tenant = 'tenant-team-b'")
    sql_connection.execute("update soulbox.call_sums set runs = 7")
    sql_connection.execute(
        "insert into soulbox.call_sums select cluster, tenant, gen_random_uuid(), '', day, 1, 1, 0,"
        " 0, 0, 0, 0 from soulbox.call_sums limit 1"
    )
    assert different(sql_connection) != []
    await sum_anew(store)
    assert different(sql_connection) == []


async def test_sums_go_with_the_rows_that_retention_drops(
    store: Store, sql_connection: psycopg.Connection, calls: Calls
) -> None:
    old = NOW - timedelta(days=200)
    calls.add(calls.tools[0], old, state="completed")
    calls.add(calls.tools[0], NOW, state="failed")
    await sum_anew(store)
    dropped = await retain(store, RetentionPolicy(executions_months=2))
    assert f"executions_y{old:%Ym%m}" in dropped
    calls.rows = {uid: row for uid, row in calls.rows.items() if row["created_at"] != old}
    await calls.agree(store, 3660)
    assert different(sql_connection) == []


async def test_call_that_is_written_while_all_is_summed_is_counted_once(
    store: Store, dsn: str, sql_connection: psycopg.Connection, calls: Calls
) -> None:
    calls.add(calls.tools[0], NOW)
    with psycopg.connect(dsn) as other:
        writer = Calls(other, calls.tools, calls.rows)
        writer.add(calls.tools[0], NOW)
        summing = asyncio.create_task(sum_anew(store))
        waiting = "select count(*) from pg_locks where not granted"
        await until(lambda: sql_connection.execute(waiting).fetchone() == (1,))
        writer.add(calls.tools[1], NOW)
        assert not summing.done()
        other.commit()
    await summing
    assert different(sql_connection) == []
    await calls.agree(store)


async def test_partition_is_dropped_while_all_is_summed(
    store: Store, dsn: str, sql_connection: psycopg.Connection, calls: Calls
) -> None:
    """Both need executions and the sums; they take them in one order."""
    old = NOW - timedelta(days=200)
    calls.add(calls.tools[0], old)
    calls.add(calls.tools[0], NOW)
    with psycopg.connect(dsn) as other:
        # As drop_expired is in the middle of it: the partition is gone, the sums are not yet.
        other.execute(f"drop table soulbox.executions_y{old:%Ym%m}".encode())
        summing = asyncio.create_task(sum_anew(store))
        waiting = "select count(*) from pg_locks where not granted"
        await until(lambda: sql_connection.execute(waiting).fetchone() == (1,))
        other.execute("delete from soulbox.call_sums where day < %s", (NOW.date(),))
        other.commit()
    await summing
    assert different(sql_connection) == []


async def test_odd_costs_hold_up_no_row(store: Store, calls: Calls) -> None:
    for odd in ("NaN", "x", "", "1e400", "-", "9" * 30, {"a": 1}, [], None, True):
        calls.add(calls.tools[0], NOW, billing=Jsonb({"cost_usd": odd}))
    calls.add(calls.tools[0], NOW, billing=Jsonb({"cost_usd": "-0.25"}))
    calls.add(calls.tools[0], NOW, billing=Jsonb([]))
    for _ in ("counted", "summed"):
        async with store.transaction() as tx:
            (row,) = await ToolRegistry(tx).stats(1)
        assert (row["runs"], row["cost_usd"]) == (12, Decimal("-0.25"))
        await sum_anew(store)


def test_buckets_follow_each_other_and_percentiles_are_as_near_as_told(
    sql_connection: psycopg.Connection,
) -> None:
    edges = sorted({(1 << k) + d for k in range(3, 28) for d in (-1, 0, 1)} | set(range(300)))
    buckets = [
        row[0]
        for row in sql_connection.execute(
            "select soulbox.duration_bucket(d) from unnest(%s::bigint[]) with ordinality x (d, i)"
            " order by i",
            ([*edges, 2**63 - 1],),
        )
    ]
    assert buckets[:8] == list(range(8))
    assert all(0 <= b - a <= 4 for a, b in pairwise(buckets))
    assert buckets[-1] == buckets[edges.index(1 << 27)] == 104
    chance = random.Random(5)
    for _ in range(60):
        top = 10 ** chance.uniform(0, 8)
        times = [int(chance.random() ** 3 * top) for _ in range(chance.randrange(1, 400))]
        row = sql_connection.execute(
            "select soulbox.duration_percentiles(sum(soulbox.duration_mark(d)))"
            " from unnest(%s::bigint[]) d",
            (times,),
        ).fetchone()
        assert row is not None
        ordered = sorted(times)
        for found, share in zip(row[0], (0.5, 0.95, 0.99), strict=True):
            assert is_near(found, disc(ordered, share)), (times, share)
    row = sql_connection.execute("select soulbox.duration_percentiles(0)").fetchone()
    assert row == ([None, None, None],)


def test_back_ends_user_is_told_of_own_calls_alone(
    sql_connection: psycopg.Connection, calls: Calls
) -> None:
    sql_connection.execute("create role sums_app login in role soulbox_app")
    try:
        for user, count in (("ada", 2), ("bob", 3)):
            for _ in range(count):
                calls.add(calls.tools[0], NOW, user_name=user)
        calls.add(calls.tools[2], NOW, user_name="ada")
        sql_connection.execute("update soulbox.rollup_state set calls_summed_at = now()")
        dsn = psycopg.conninfo.make_conninfo(sql_connection.info.dsn, user="sums_app")
        with psycopg.connect(dsn, autocommit=True) as app:
            query = "select key, runs from soulbox.tool_stats(1)"
            app.execute("select set_config('app.tenant', 'tenant-team-a', false)")
            assert app.execute(query).fetchall() == [("tool:team-a/resize", 5)]
            app.execute("select set_config('app.user', 'ada', false)")
            assert app.execute(query).fetchall() == [("tool:team-a/resize", 2)]
            for table in ("call_sums", "v_calls"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(f"select * from soulbox.{table}".encode())
    finally:
        sql_connection.execute("drop role sums_app")
