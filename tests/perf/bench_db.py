"""The database bench: `make bench-db [ROWS=1000000]`.

Fills a durable server with data made by arithmetic (the same each time), asks the hot
queries as a reader under row security, and writes docs/reference/sql-performance.md with
p50, p95, rows read, plans and sizes. Then 50 readers at once, alone and beside a mirror
that writes; then the mirror's own speed against COPY. Figures are printed beside their
limits; nothing is asserted: machines differ.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection

from soulbox.store.call_sums import CallSums
from soulbox.store.migrate import migrate
from soulbox.store.pool import open_store
from soulbox.store.rollups import Rebuild, fold_usage
from tests.perf import bench_ledger, bench_mirror
from tests.support.postgres_server import PostgresServer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/sql-performance.md"
SEED = 6
TENANTS = 200
TOOLS = 10_000
# What a server of this size would be set to; all that matters is on the page.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "random_page_cost": "1.1",
    "jit": "off",
}
HELPERS = """
CREATE FUNCTION public.bench_share(what text, i bigint) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (hashint8extended(i, hashtext(what)) & 2147483647) / 2147483648.0 $$;
CREATE FUNCTION public.bench_uuid(what text, i bigint) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT md5(what || i)::uuid $$;
CREATE FUNCTION public.bench_tenant(what text, i bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT floor(200 * public.bench_share(what || '-tenant', i) ^ 2)::integer $$;
-- 5000 words of which few are frequent, as in any text.
CREATE FUNCTION public.bench_word(i bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 'word' || floor(5000 * public.bench_share('word', i) ^ 3)::integer $$;
"""

# Rows of the ledger that no fold has added yet: ten seconds of 200 a second.
UNFOLDED_ROWS = 2_000
UNFOLDED = """
INSERT INTO soulbox.pod_runs (pod_uid, cluster, tenant, user_name, namespace, pod_name,
        sandbox_uid, node, cpu_millicores, memory_bytes, sku, started_at, finished_at, end_source,
        resource_version)
SELECT bench_uuid('late-pod', i), bench_uuid('cluster', 0), 'tenant-' || t,
       'user-' || t || '-' || i %% 10, 'ns-' || t, 'late-' || i, bench_uuid('late-box', i),
       'node-0', 250, 268435456, 'default', h.hour, h.hour + interval '30 minutes', 'kubelet', i
  FROM (SELECT i, bench_tenant('late', i) AS t FROM generate_series(1, %(rows)s) AS i) AS x,
       LATERAL (SELECT date_trunc('hour', now()) AS hour) AS h
"""


@dataclass
class Hot:
    """A hot query: its text, its parameters from a generator, its limit for p95 in ms; who asks:
    a reader of all 200 tenants, one of the largest tenant, or an admin reader."""

    name: str
    sql: str
    params: Callable[[random.Random, int], dict[str, Any]]
    limit_ms: float
    asked_by: str = "bench_reader"
    times_ms: list[float] = field(default_factory=list)
    rows_read: int = 0
    plan: str = ""

    def quantile(self, share: float) -> float:
        ordered = sorted(self.times_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def tenant(chance: random.Random) -> str:
    """As the data is skewed, so are the questions."""
    return f"tenant-{int(TENANTS * chance.random() ** 2)}"


def user(chance: random.Random) -> str:
    return f"user-{int(TENANTS * chance.random() ** 2)}-{chance.randrange(10)}"


def called_tool(chance: random.Random) -> int:
    return int(TOOLS * chance.random() ** 2)


def words(chance: random.Random) -> str:
    return " ".join(f"word{int(5000 * chance.random() ** 3)}" for _ in range(2))


MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
HOT = [
    Hot(
        "newest 50 of a tenant",
        "select uid, created_at, name, state, duration_ms"
        " from soulbox.executions(of_tenant => %(tenant)s, max_rows => 50)",
        lambda chance, _: {"tenant": tenant(chance)},
        20,
    ),
    Hot(
        "one by uid",
        "select * from soulbox.v_executions(of_uid => md5('run' || %(i)s)::uuid)",
        lambda chance, rows: {"i": chance.randrange(rows)},
        20,
    ),
    Hot(
        "state and time filter",
        "select uid, created_at, name, reason from soulbox.executions("
        "of_tenant => %(tenant)s, in_state => 'failed', from_at => now() - interval '7 days',"
        " to_at => now() - interval '1 day', max_rows => 50)",
        lambda chance, _: {"tenant": tenant(chance)},
        20,
    ),
    Hot(
        "code search",
        "select tenant, code_sha256, rank, headline from soulbox.search_code(%(query)s, 20)",
        lambda chance, _: {"query": words(chance)},
        20,
        "bench_tenant",
    ),
    Hot(
        "search of tools",
        "select tool_id, rank, headline from soulbox.search_tools(%(query)s)",
        lambda chance, _: {"query": words(chance)},
        10,
        "bench_tenant",
    ),
    Hot(
        "a tool by its id",
        "select * from soulbox.find_tool(%(id)s)",
        lambda chance, _: {"id": f"tool:ns-0/tool-{1 + chance.randrange(600)}"},
        10,
        "bench_tenant",
    ),
    Hot(
        "newest 50 calls of a tool",
        "select uid, created_at, state, input, result from soulbox.executions("
        "of_function => md5('tool' || %(i)s)::uuid, max_rows => 50)",
        lambda chance, _: {"i": called_tool(chance)},
        20,
    ),
    Hot(
        "figures of a tool over 30 days",
        "select * from soulbox.tool_stats(30, of_function => md5('tool' || %(i)s)::uuid)",
        lambda chance, _: {"i": called_tool(chance)},
        50,
    ),
    Hot(
        "figures of a tenant's 700 tools over 30 days",
        "select * from soulbox.tool_stats(30)",
        lambda _chance, _rows: {},
        50,
        "bench_tenant",
    ),
    Hot(
        "dashboard",
        "select soulbox.dashboard(%(user)s, %(tenant)s)",
        lambda chance, _: {
            "user": (name := user(chance)),
            "tenant": f"tenant-{name.split('-')[1]}",
        },
        20,
    ),
    Hot(
        "month bill of one user",
        "select sum(total_cost), sum(billed_seconds) from soulbox.v_usage_monthly("
        "of_tenant => %(tenant)s, of_user => %(user)s, from_period => %(period)s,"
        " to_period => %(period)s)",
        lambda chance, _: {
            "tenant": (name := tenant(chance)),
            "user": name.replace("tenant", "user") + f"-{chance.randrange(10)}",
            "period": f"{MONTH:%Y-%m}",
        },
        20,
    ),
    Hot(
        "month bill of all tenants",
        "select tenant, currency, sum(total_cost), sum(billed_seconds)"
        " from soulbox.v_usage_monthly where period = %(period)s group by tenant, currency",
        lambda _chance, _rows: {"period": f"{MONTH:%Y-%m}"},
        50,
        "bench_admin",
    ),
    Hot(
        "usage of a sandbox over an hour",
        "select * from soulbox.usage_summary(md5('box' || %(box)s)::uuid,"
        " date_trunc('day', now()) - %(day)s * interval '1 day',"
        " date_trunc('day', now()) - %(day)s * interval '1 day' + interval '1 hour')",
        lambda chance, rows: {
            "box": (box := chance.randrange(max(rows // 50, 1))),
            "day": box % 28,
        },
        20,
    ),
]


# What a person asks now and then, of whole days and weeks: no limit, but to be known.
SELDOM = [
    Hot(
        "Executions of 7 days by class",
        "select * from soulbox.execution_stats(7, 'class')",
        lambda _chance, _rows: {},
        0,
    ),
    Hot(
        "slowest programs of 7 days",
        "select * from soulbox.slowest_programs(7, 20)",
        lambda _chance, _rows: {},
        0,
    ),
    Hot(
        "most failing programs of 7 days",
        "select * from soulbox.failing_programs(7, 20)",
        lambda _chance, _rows: {},
        0,
    ),
    Hot(
        "calls of 30 days by tool, all tenants",
        "select * from soulbox.tool_stats(30)",
        lambda _chance, _rows: {},
        0,
        "bench_admin",
    ),
    Hot(
        "search of tools over 200 tenants",
        "select * from soulbox.search_tools(%(query)s)",
        lambda chance, _: {"query": words(chance)},
        0,
    ),
    Hot(
        "search of a day's output",
        "select * from soulbox.search_output(%(query)s, 1, 20)",
        lambda chance, _: {"query": words(chance)},
        0,
    ),
    Hot(
        "code search over 200 tenants",
        "select * from soulbox.search_code(%(query)s, 20)",
        lambda chance, _: {"query": words(chance)},
        0,
    ),
    Hot(
        "all rows of the largest tenant, one kept",
        "select uid from soulbox.executions() where exit_code = 77 limit 1",
        lambda _chance, _rows: {},
        0,
        "bench_tenant",
    ),
    Hot(
        "history of a sandbox",
        "select * from soulbox.history(md5('box' || %(box)s)::uuid)",
        lambda chance, rows: {"box": chance.randrange(max(rows // 50, 1))},
        0,
    ),
]


def fill(dsn: str, rows: int) -> None:
    """Make the data; says how long each part took."""
    sandboxes = max(rows // 50, 1)
    numbers = {
        "rows": rows,
        "sandboxes": sandboxes,
        "programs": max(rows // 10, 1),
        "pods": max(rows * 3 // 40, 1),
        "samples": 150,
        "tools": TOOLS,
    }
    text = (Path(__file__).parent / "bench_db_data.sql").read_text()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(HELPERS)
        # Triggers rest: 3 M samples are no changes anybody watches.
        connection.execute("set session_replication_role = replica")
        connection.execute("set synchronous_commit = off")
        connection.execute("set search_path = public")
        for part in text.split("\n-- ")[1:]:
            name, _, statement = part.partition("\n")
            if not name.isidentifier():
                continue
            for key, number in numbers.items():
                statement = statement.replace(f"%({key})s", str(number))
            with timed(name):
                connection.execute(statement.encode())
        with timed("analyze"):
            connection.execute("analyze")
        with timed("ledger"):
            bench_ledger.bill_pods(dsn)
        with timed("sums of use"):
            asyncio.run(sum_up(dsn))
        connection.execute(UNFOLDED.encode(), {"rows": min(UNFOLDED_ROWS, rows)})
        bench_ledger.bill_pods(dsn, datetime.now(UTC) - timedelta(hours=2))
        with timed("vacuum analyze"):
            connection.execute("set search_path = soulbox")
            connection.execute("vacuum analyze")
            connection.execute("checkpoint")


@contextmanager
def timed(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    say(f"  {what:17} {time.perf_counter() - started:6.1f} s")


async def sum_up(dsn: str) -> None:
    """Marks, sums by day and month, sums of calls."""
    store = await open_store(dsn, statement_timeout_seconds=300)
    for steps in (Rebuild(store), CallSums(store)):
        while await steps.step() is not None:
            pass
    while await fold_usage(store):
        pass
    await store.close()


def ask(dsn: str, hot: Hot, rows: int, times: int, *, untimed: int = 10) -> None:
    """A query so many times, after some untimed ones that read pages into memory."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        chance = random.Random(SEED)
        for index in range(times + untimed):
            params = hot.params(chance, rows)
            started = time.perf_counter()
            connection.execute(hot.sql.encode(), params).fetchall()
            if index >= untimed:
                hot.times_ms.append((time.perf_counter() - started) * 1000)


def explain(dsn: str, hot: Hot, rows: int) -> None:
    """A plan of a query; of a function it is of its call."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        query = f"explain (analyze, buffers, costs off, summary off, format json) {hot.sql}"
        params = hot.params(random.Random(SEED + 1), rows)
        row = connection.execute(query.encode(), params).fetchone()
        assert row is not None
        hot.rows_read = rows_of(row[0][0]["Plan"])
        text = connection.execute(query.replace(", format json", "").encode(), params)
        hot.plan = "\n".join(line[0] for line in text.fetchall())


def rows_of(plan: dict[str, Any]) -> int:
    """Rows that the scans of a plan looked at, dropped ones too."""
    inner = sum(rows_of(child) for child in plan.get("Plans", ()))
    if "Scan" not in plan["Node Type"] or plan["Node Type"] == "Bitmap Index Scan":
        return inner
    looked = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    return inner + round(looked * plan["Actual Loops"])


async def readers(dsn: str, count: int, seconds: float) -> float:
    """p95 in ms of the newest 50 of a tenant, by so many readers at once that each ask ten
    times a second."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def read(index: int) -> None:
        chance = random.Random(SEED + index)
        async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
            while time.perf_counter() < end:
                started = time.perf_counter()
                cursor = await connection.execute(HOT[0].sql.encode(), HOT[0].params(chance, 1))
                await cursor.fetchall()
                times.append((time.perf_counter() - started) * 1000)
                await asyncio.sleep(max(0.0, 0.1 * (0.5 + chance.random()) - times[-1] / 1000))

    await asyncio.gather(*(read(index) for index in range(count)))
    return statistics.quantiles(times, n=20)[18]


def sizes(dsn: str) -> list[tuple[str, int, int, int]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("analyze")
        return connection.execute(
            "select table_name, live_rows, table_bytes, index_bytes from soulbox.v_table_health"
            " where live_rows > 0 order by table_bytes + index_bytes desc"
        ).fetchall()


def say(line: str) -> None:
    print(line, flush=True)


def page(rows: int, version: str, lines: list[str], dsn: str) -> str:
    """docs/reference/sql-performance.md."""
    settings = ", ".join(f"`{name}={value}`" for name, value in SETTINGS.items())
    with psycopg.connect(dsn) as connection:
        counted = connection.execute("select count(*) from soulbox.billing_events").fetchone()
        assert counted is not None
        ledger = counted[0]
    text = [
        "<!-- Generated by make bench-db; edits are lost. -->",
        "# How fast the database answers",
        "",
        f"`make bench-db ROWS={rows}` on {datetime.now(UTC):%Y-%m-%d}, PostgreSQL {version},"
        f" {os.cpu_count()} cores shared with other work (load {os.getloadavg()[1]:.1f} over five"
        f" minutes); {settings}.",
        f"{rows:,} Executions over 30 days, each a call of a tool, {ledger:,} ledger rows over 90"
        f" days, {rows // 50 * 150:,} samples, {rows // 10:,} programs, {TOOLS:,} tools, {TENANTS}"
        f" tenants of very unequal size; {UNFOLDED_ROWS:,} ledger rows are in no sum of use yet."
        " Asked by tenants' logins through functions (a reader of 200 tenants; search, and a tool"
        " by its id: of the largest; all tenants'"
        " bill: an admin reader), with other parameters each time; the client's time.",
        "",
        "| query | p50 ms | p95 ms | limit ms | rows read |",
        "|---|---|---|---|---|",
    ]
    text += [
        f"| {hot.name} | {hot.quantile(0.5):.2f} | {hot.quantile(0.95):.2f} | {hot.limit_ms:.0f}"
        f" | {hot.rows_read:,} |"
        for hot in HOT
    ]
    text += [
        "",
        "Rows read are those of one run of the plan below; of a function, those it gave.",
        "",
    ]
    text += [
        "Asked now and then, of many rows:",
        "",
        "| query | p50 ms | longest ms |",
        "|---|---|---|",
    ]
    text += [
        f"| {seldom.name} | {seldom.quantile(0.5):,.0f} | {seldom.quantile(1):,.0f} |"
        for seldom in SELDOM
    ]
    text += ["", "```text", *lines, "```", "", "## Sizes", ""]
    text += ["| table | rows | table MB | indexes MB |", "|---|---|---|---|"]
    text += [
        f"| `{name}` | {live:,} | {table / 1e6:.1f} | {index / 1e6:.1f} |"
        for name, live, table, index in sizes(dsn)
    ]
    text += ["", "## Plans", ""]
    for hot in HOT:
        text += [f"### {hot.name}", "", "```text", hot.sql, "", *hot.plan.splitlines(), "```", ""]
    return "\n".join(text).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=int(os.environ.get("ROWS") or 1_000_000))
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    rows: int = options.rows
    lines: list[str] = []

    def note(line: str) -> None:
        say(line)
        lines.append(line)

    with PostgresServer(settings=SETTINGS) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("create database bench")
            version = str(connection.info.parameter_status("server_version"))
        dsn = server.dsn("bench")
        migrate(dsn)
        say(f"filling with {rows:,} Executions (PostgreSQL {version})")
        fill(dsn, rows)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("create role bench_reader login in role soulbox_reader")
            connection.execute(
                "insert into soulbox.tenant_roles (role_name, tenant)"
                " select 'bench_reader', 'tenant-' || n from generate_series(0, 199) n"
            )
            connection.execute("create role bench_tenant login in role soulbox_reader")
            connection.execute(
                "insert into soulbox.tenant_roles (role_name, tenant)"
                " values ('bench_tenant', 'tenant-0')"
            )
            # Reports about all tenants are asked for by a login that may see all.
            connection.execute("create role bench_admin login in role soulbox_admin_reader")
        reader = server.dsn("bench", user="bench_reader")
        for hot in HOT:
            login = server.dsn("bench", user=hot.asked_by)
            ask(login, hot, rows, options.times)
            explain(login, hot, rows)
        for hot in HOT:
            say(
                f"  {hot.name:32} p50 {hot.quantile(0.5):7.2f} ms  p95 {hot.quantile(0.95):7.2f} ms"
                f"  limit {hot.limit_ms:.0f}  rows {hot.rows_read}"
            )
        for seldom in SELDOM:
            ask(server.dsn("bench", user=seldom.asked_by), seldom, rows, 5, untimed=1)
            say(f"  {seldom.name:32} p50 {seldom.quantile(0.5):7.0f} ms")
        note(bench_ledger.verify(dsn))
        idle = asyncio.run(readers(reader, 50, 8))
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.perf.bench_mirror", "--into", dsn, "--rows", "8000"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        writer.stdout.readline()  # it has made its manifests and begins
        busy = asyncio.run(readers(reader, 50, 8))
        writer.terminate()
        writer.wait()
        note(f"50 readers, ten questions a second each: p95 {idle:.1f} ms alone,")
        note(f"  {busy:.1f} ms beside a mirror that writes ({busy / idle:.1f} x, limit 3 x)")
        for line in bench_mirror.measure(20_000, 500):
            note(line)
        text = page(rows, version, lines, dsn)
    options.page.write_text(text)
    say(json.dumps({hot.name: round(hot.quantile(0.95), 2) for hot in HOT}))


if __name__ == "__main__":
    main()
