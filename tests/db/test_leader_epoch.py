"""The epoch a new leader takes, while the one before still holds locks."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import psycopg
import pytest

from soulbox.mirror.fence import Fence, LeaderFenced
from soulbox.store.pool import Store
from soulbox.store.state import acquire_epoch
from tests.support.fix_mirror import until
from tests.support.make_mirrored import CLUSTER_UID

# What a stopped leader did last: it has the epochs' row, and says nothing more.
LOCK = "select 1 from soulbox.mirror_state for share"


async def locks_and_is_silent(dsn: str, name: str) -> psycopg.AsyncConnection[object]:
    """A session in the middle of a transaction."""
    connection = await psycopg.AsyncConnection.connect(dsn, application_name=name)
    await connection.execute(LOCK)
    return connection


async def test_new_leader_does_not_wait_for_one_that_is_stopped(store: Store, dsn: str) -> None:
    before = await acquire_epoch(store, CLUSTER_UID)
    stopped = await locks_and_is_silent(dsn, "soulbox")
    async with asyncio.timeout(10):
        assert await acquire_epoch(store, CLUSTER_UID, forsaken_seconds=0.0) == before + 1
    with pytest.raises(psycopg.OperationalError):
        await stopped.execute("select 1")
    async with store.transaction() as tx:
        with pytest.raises(LeaderFenced, match=f"leader epoch {before} is over"):
            await Fence(store, CLUSTER_UID, before).check(tx)


@pytest.mark.parametrize(
    ("name", "forsaken_seconds"),
    [("soulbox", 60.0), ("psql", 0.0)],
    ids=["it spoke a moment ago", "it is no operator"],
)
async def test_new_leader_waits_for_everybody_else(
    name: str, forsaken_seconds: float, store: Store, dsn: str
) -> None:
    before = await acquire_epoch(store, CLUSTER_UID)
    other = await locks_and_is_silent(dsn, name)
    taking = asyncio.create_task(
        acquire_epoch(store, CLUSTER_UID, forsaken_seconds=forsaken_seconds)
    )
    try:
        await until(lambda: is_waiting(other))
        assert not taking.done()
        await other.commit()
        assert await taking == before + 1
    finally:
        taking.cancel()
        with suppress(asyncio.CancelledError):
            await taking
        await other.close()


async def is_waiting(other: psycopg.AsyncConnection[object]) -> bool:
    """Whether somebody waits for what this session has locked."""
    found = await other.execute(
        "select exists (select from pg_stat_activity where %s = any(pg_blocking_pids(pid)))",
        (other.info.backend_pid,),
    )
    row = await found.fetchone()
    assert row is not None
    return bool(row[0])  # type: ignore[index]
