"""How fast the mirror writes: `python -m tests.perf.bench_mirror [--rows N]`.

Prints Execution upserts a second through the whole path (manifest to committed row with
its change), the share of it that is building rows, and a raw COPY of the same rows into a
table without indexes on the same server. Figures are printed, nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
import uuid
from typing import Any, LiteralString

import orjson
import psycopg
from psycopg import sql
from psycopg.types.json import set_json_dumps

from soulbox.app.memory import COLLECT_THRESHOLDS
from soulbox.kinds.execution.rows import build_execution_row
from soulbox.kinds.registry import ENTRIES
from soulbox.mirror.fence import Fence
from soulbox.mirror.items import ItemBuilder
from soulbox.mirror.pending import Sighting
from soulbox.mirror.tracker import Tracker
from soulbox.mirror.writer import BatchResult, BatchWriter
from soulbox.model.rows import ExecutionRow
from soulbox.model.states import Kind
from soulbox.store.migrate import migrate
from soulbox.store.pool import open_store
from soulbox.store.staging import column_types, values_of
from tests.support.fix_mirror import CONTEXT
from tests.support.make_mirrored import make_finished_execution, merge
from tests.support.postgres_server import PostgresServer

BATCH = 500


def make_manifests(count: int) -> list[dict[str, Any]]:
    template = make_finished_execution()
    return [
        merge(
            template,
            {
                "metadata": {
                    "uid": str(uuid.uuid4()),
                    "name": f"run-{index}",
                    "resourceVersion": str(index + 1),
                },
                "spec": {"code": f"print({index % 100})"},
            },
        )
        for index in range(count)
    ]


def sightings(manifests: list[dict[str, Any]]) -> list[Sighting]:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    return [
        Sighting(
            kind=Kind.EXECUTION,
            uid=manifest["metadata"]["uid"],
            manifest=manifest,
            version=int(manifest["metadata"]["resourceVersion"]),
            deleted=False,
            seen_at=now,
            waiting_since=0.0,
        )
        for manifest in manifests
    ]


async def write_all(dsn: str, manifests: list[dict[str, Any]], batch: int) -> tuple[float, float]:
    """Seconds it took, and CPU seconds of this process, that is of an operator."""
    store = await open_store(dsn)
    fence = Fence(store, CONTEXT.cluster_uid, None)
    writer = BatchWriter(store, ItemBuilder(ENTRIES, CONTEXT), fence, Tracker(ENTRIES))
    result = BatchResult()
    seen = sightings(manifests)
    await writer.ensure_partitions(sighting.seen_at for sighting in seen)  # Mirror has them ahead
    started, cpu_started = time.perf_counter(), time.process_time()
    for start in range(0, len(seen), batch):
        # As Mirror does it: the rows of the next batch are made while this one is written.
        upcoming = seen[start + batch : start + 2 * batch]
        await writer.write(seen[start : start + batch], result, upcoming=upcoming)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    await store.close()
    return seconds, cpu_seconds


def copy_rate(dsn: str, manifests: list[dict[str, Any]], table: LiteralString) -> float:
    """Rows a second by one binary COPY, committed at its end."""
    rows = [build_execution_row(manifest, CONTEXT) for manifest in manifests]
    types = column_types(ExecutionRow)
    values = values_of(ExecutionRow)
    with psycopg.connect(dsn) as connection:
        set_json_dumps(orjson.dumps, connection)
        copy_raw = sql.SQL("copy {} ({}) from stdin (format binary)").format(
            sql.SQL(table), sql.SQL(", ").join(map(sql.Identifier, types))
        )
        started = time.perf_counter()
        with connection.cursor() as cursor, cursor.copy(copy_raw) as copy:
            copy.set_types(list(types.values()))
            for row in rows:
                copy.write_row(values(row))
        connection.commit()
        return len(rows) / (time.perf_counter() - started)


def measure(count: int, batch: int) -> list[str]:
    """Lines with the figures."""
    manifests = make_manifests(count)
    # As in an operator, which does not hold the objects of a whole run at once besides.
    gc.freeze()
    gc.set_threshold(*COLLECT_THRESHOLDS)
    started = time.perf_counter()
    for manifest in manifests:
        build_execution_row(manifest, CONTEXT)
    built = count / (time.perf_counter() - started)
    # Durable, as in production: the figure is of commits that survive a power cut.
    settings = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    with PostgresServer(settings=settings) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("create database bench")
            version = connection.info.server_version
        dsn = server.dsn("bench")
        migrate(dsn)
        # As in production: a login with the writer's rights, under row security.
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("create role mirror_bench login in role soulbox_writer")
        writer_dsn = server.dsn("bench", user="mirror_bench")
        again = [
            merge(one, {"metadata": {"resourceVersion": str(10_000_000 + index)}})
            for index, one in enumerate(manifests)
        ]
        timed = {
            "upserts of new Executions": asyncio.run(write_all(writer_dsn, manifests, batch)),
            "upserts of newer versions": asyncio.run(write_all(writer_dsn, again, batch)),
            "upserts that change nothing": asyncio.run(write_all(writer_dsn, again, batch)),
        }
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "create unlogged table bare (like soulbox.executions including defaults)"
            )
            connection.execute(
                "create table indexed (like soulbox.executions_y2026m11 including all)"
            )
        bare, indexed = copy_rate(dsn, manifests, "bare"), copy_rate(dsn, manifests, "indexed")
    inserts = count / timed["upserts of new Executions"][0]
    return [
        f"PostgreSQL {version // 10000}, {count} Executions, batches of {batch}, each durable",
        f"  rows built from manifests     {built:8,.0f} /s",
        *(
            f"  {what:29} {count / seconds:8,.0f} /s  {cpu_seconds / count * 1e6:3.0f} us CPU here"
            for what, (seconds, cpu_seconds) in timed.items()
        ),
        f"  COPY, same table and indexes  {indexed:8,.0f} /s   one commit for all",
        f"  COPY, no index, unlogged      {bare:8,.0f} /s",
        f"  new upserts / COPY            {inserts / indexed:8.2f}      limit 0.5 (with indexes)",
        f"  new upserts                   {inserts:8,.0f} /s   limit 15,000",
    ]


def write_for_ever(dsn: str, count: int) -> None:
    """Write batches until ended, for others to be measured beside."""
    manifests = make_manifests(count)
    print("writing", flush=True)
    while True:
        asyncio.run(write_all(dsn, manifests, BATCH))
        manifests = [merge(one, {"metadata": {"uid": str(uuid.uuid4())}}) for one in manifests]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--into", help="write into this migrated database until ended")
    options = parser.parse_args()
    if options.into:
        write_for_ever(options.into, options.rows)
        return
    print("\n".join(measure(options.rows, options.batch)))


if __name__ == "__main__":
    main()
