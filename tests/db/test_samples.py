"""Resource figures in PostgreSQL: batches, outages, hostile figures, days without a partition."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest

from soulbox.mirror.fence import LeaderFenced
from soulbox.model.errors import StoreUnavailable
from soulbox.model.rows import SampleRow
from soulbox.store.pool import Store, open_store
from soulbox.store.samples import SampleStore
from soulbox.store.state import acquire_epoch
from tests.support.fix_mirror import MakeMirror
from tests.support.make_mirrored import CLUSTER_UID

NOW = datetime.now(UTC).replace(microsecond=0)
BOX = UUID("6f1c2a34-8a51-4f0e-9a3c-2f6d0b7c9e11")


def make_sample(**changes: object) -> SampleRow:
    base = SampleRow(
        sandbox_uid=BOX,
        recorded_at=NOW,
        cluster=UUID(CLUSTER_UID),
        tenant="team-a",
        user_name="",
        pod_uid=uuid4(),
        execution_uid=None,
        cpu_seconds_total=Decimal("1.5"),
        cpu_cores=Decimal("0.25"),
        memory_bytes=2**20,
        memory_peak_bytes=2**21,
        memory_limit_bytes=2**28,
        disk_used_bytes=0,
        disk_read_bytes=None,
        disk_write_bytes=None,
        network_rx_bytes=2**63 - 1,
        network_tx_bytes=None,
        network_rx_packets=None,
        network_tx_packets=None,
        processes=3,
        custom={"oom_kills": 0},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def count(connection: psycopg.Connection) -> int:
    found = connection.execute("select count(*) from soulbox.resource_metrics").fetchone()
    assert found is not None
    return int(found[0])


async def test_samples_of_a_round_are_one_transaction_and_read_back_as_they_were(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    samples = make_mirror().samples
    rows = [make_sample(sandbox_uid=uuid4()) for _ in range(200)]
    samples.offer(rows)
    await samples.flush()
    found = sql_connection.execute(
        "select count(*), count(distinct xmin::text), min(cpu_cores), max(network_rx_bytes),"
        " count(disk_used_bytes), count(disk_read_bytes) from soulbox.resource_metrics"
    ).fetchone()
    assert found == (200, 1, Decimal("0.25"), 2**63 - 1, 200, 0), "a gap is null, zero is zero"
    assert samples.statistics().written == 200
    assert samples.statistics().waiting == 0


async def test_the_same_sample_is_written_once(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    samples = make_mirror().samples
    row = make_sample()
    for _ in range(3):
        samples.offer([row])
        await samples.flush()
    assert count(sql_connection) == 1
    assert samples.statistics().written == 1


async def test_more_than_fits_drops_the_oldest_and_counts_them(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    samples = make_mirror(sample_capacity=100).samples
    samples.offer([make_sample(recorded_at=NOW + timedelta(seconds=n)) for n in range(250)])
    assert (samples.statistics().waiting, samples.statistics().dropped) == (100, 150)
    await samples.flush()
    found = sql_connection.execute(
        "select min(recorded_at), count(*) from soulbox.resource_metrics"
    ).fetchone()
    assert found == (NOW + timedelta(seconds=150), 100)


async def test_day_without_a_partition_is_made(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    samples = make_mirror().samples
    samples.offer([make_sample(recorded_at=datetime(2031, 5, day, tzinfo=UTC)) for day in (1, 2)])
    await samples.flush()
    assert count(sql_connection) == 2


async def test_sample_that_is_refused_costs_no_other(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    samples = make_mirror().samples
    rows = [make_sample(recorded_at=NOW + timedelta(seconds=n)) for n in range(9)]
    samples.offer([*rows[:5], make_sample(memory_bytes=-1, sandbox_uid=uuid4()), *rows[5:]])
    await samples.flush()
    assert count(sql_connection) == 9
    assert samples.statistics().refused == 1


async def test_while_postgresql_is_away_samples_wait(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    away = await open_store("postgresql://nobody@127.0.0.1:1/none", connect_timeout_seconds=1)
    try:
        samples = make_mirror(on=away).samples
        samples.offer([make_sample()])
        with pytest.raises(StoreUnavailable):
            await samples.flush()
        assert samples.statistics().waiting == 1
    finally:
        await away.close()


async def test_operator_that_was_overtaken_writes_none(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    epoch = await acquire_epoch(store, CLUSTER_UID)
    samples = make_mirror(epoch=epoch).samples
    await acquire_epoch(store, CLUSTER_UID)
    samples.offer([make_sample()])
    with pytest.raises(LeaderFenced):
        await samples.flush()
    assert count(sql_connection) == 0


async def test_samples_offered_during_a_flush_are_not_lost(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    samples = make_mirror(sample_capacity=12).samples
    first = [make_sample(recorded_at=NOW + timedelta(seconds=n)) for n in range(10)]
    more = [make_sample(recorded_at=NOW + timedelta(seconds=n)) for n in range(10, 15)]
    samples.offer(first)
    flushing = asyncio.create_task(samples.flush())
    await asyncio.sleep(0)
    samples.offer(more)
    await flushing
    await samples.flush()
    assert count(sql_connection) + samples.statistics().dropped == 15
    assert samples.statistics().waiting == 0


async def test_newest_sample_of_each_sandbox_is_found_unless_it_is_old(
    make_mirror: MakeMirror, store: Store
) -> None:
    other, old = uuid4(), uuid4()
    now = datetime.now(UTC)
    samples = make_mirror().samples
    samples.offer(
        [
            make_sample(recorded_at=now - timedelta(seconds=20), memory_bytes=1),
            make_sample(recorded_at=now - timedelta(seconds=5), memory_bytes=2, cpu_cores=None),
            make_sample(recorded_at=now - timedelta(seconds=9), sandbox_uid=other),
            make_sample(recorded_at=now - timedelta(hours=2), sandbox_uid=old),
        ]
    )
    await samples.flush()
    async with store.transaction() as tx:
        found = await SampleStore(tx).newest([BOX, other, old, uuid4()], 60)
    assert {row.sandbox_uid for row in found} == {BOX, other}
    (ours,) = (row for row in found if row.sandbox_uid == BOX)
    assert (ours.memory_bytes, ours.cpu_cores) == (2, None)
