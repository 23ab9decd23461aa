"""Lines of the logs of Executions, as they are kept and read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from soulbox.model.errors import StoreRefused
from soulbox.model.states import Kind
from soulbox.pure.log_lines import MAX_LINES, LogLevel, LogReader
from soulbox.store.logs import LogStore
from soulbox.store.outputs import OutputOwner
from soulbox.store.pool import Store, open_store
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import CLUSTER_UID, make_finished_execution

CREATED = datetime(2026, 11, 22, 10, tzinfo=UTC)
OWNER = OutputOwner(cluster=UUID(CLUSTER_UID), tenant="tenant-team-a", user_name="ada")


def read_log(*lines: dict[str, Any] | str) -> LogReader:
    reader = LogReader()
    for line in lines:
        text = line if isinstance(line, str) else json.dumps(line)
        reader.feed(text.encode() + b"\n")
    reader.finish()
    return reader


@pytest.fixture
async def uid(make_mirror: MakeMirror) -> UUID:
    """An Execution that is recorded, and the partition of its log."""
    execution = make_finished_execution(spec={"user": "ada"})
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, execution)
        await drained(mirror)
    return UUID(execution["metadata"]["uid"])


async def save(store: Store, uid: UUID, log: LogReader) -> None:
    async with store.transaction() as tx:
        await LogStore(tx).replace(uid, CREATED, OWNER, log.lines, log.omitted)


async def read(store: Store, uid: UUID, **wanted: Any) -> list[dict[str, Any]]:
    async with store.transaction() as tx:
        return await LogStore(tx).read(uid, **wanted)


async def test_log_is_read_back_in_order_and_by_level(store: Store, uid: UUID) -> None:
    log = read_log(
        "starting",
        {"level": 20, "msg": "looked", "time": 1796033730250},
        {"level": "INFO", "message": "said\x00", "user": {"name": "ada\ud800"}, "n": 10**400},
        "Traceback (most recent call last):",
        {"level": "fatal", "event": "gone", "deep": json.loads("[" * 900 + "]" * 900)},
    )
    await save(store, uid, log)
    rows = await read(store, uid)
    assert [(row["seq"], row["level"], row["message"]) for row in rows] == [
        (0, "debug", "looked"),
        (1, "info", "said\ufffd"),
        (2, "error", "gone"),
    ]
    assert rows[0]["at"] == datetime(2026, 11, 30, 10, 15, 30, 250_000, tzinfo=UTC)
    assert (rows[1]["at"], rows[1]["metadata"]) == (
        None,
        {"user": {"name": "ada\ufffd"}, "n": None},
    )
    for level, want in (("debug", [0, 1, 2]), ("info", [1, 2]), ("warn", [2]), ("error", [2])):
        found = await read(store, uid, at_least=LogLevel(level))
        assert [row["seq"] for row in found] == want
    assert [row["seq"] for row in await read(store, uid, after_seq=0, limit=1)] == [1]
    async with store.transaction() as tx:
        with pytest.raises(StoreRefused, match="22023"):
            await tx.fetch("select * from soulbox.execution_logs(gen_random_uuid(), 'loud')")


async def test_log_saved_again_is_replaced_and_says_what_is_left_out(
    store: Store, uid: UUID, sql_connection: psycopg.Connection
) -> None:
    line = {"level": "info", "message": "hello"}
    await save(store, uid, read_log(*[line] * (MAX_LINES + 5)))
    await save(store, uid, read_log(*[line] * (MAX_LINES + 3)))
    row = sql_connection.execute(
        "select count(*), max(seq), sum(lines_omitted),"
        " max(lines_omitted) filter (where seq = 999), min(tenant), min(user_name)"
        " from soulbox.execution_logs"
    ).fetchone()
    assert row == (MAX_LINES, MAX_LINES - 1, 3, 3, "tenant-team-a", "ada")
    await save(store, uid, read_log("no log"))
    assert await read(store, uid) == []


async def test_log_may_come_before_the_row_of_its_execution_and_is_read_after(
    store: Store, make_mirror: MakeMirror, uid: UUID
) -> None:
    execution = make_finished_execution()
    other = UUID(execution["metadata"]["uid"])
    await save(store, other, read_log({"level": "info", "message": "early"}))
    assert await read(store, other) == []
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, execution)
        await drained(mirror)
    assert [row["message"] for row in await read(store, other)] == ["early"]


async def test_operator_may_write_logs_and_change_none(
    dsn: str, uid: UUID, sql_connection: psycopg.Connection
) -> None:
    sql_connection.execute("create role log_writer login in role soulbox_writer")
    try:
        store = await open_store(psycopg.conninfo.make_conninfo(dsn, user="log_writer"))
        await save(store, uid, read_log({"level": "info", "message": "hello"}))
        await save(store, uid, read_log({"level": "info", "message": "again"}))
        assert [row["message"] for row in await read(store, uid)] == ["again"]
        await store.close()
        rows = sql_connection.execute(
            "select privilege"
            " from unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) privilege"
            " where has_table_privilege('soulbox_writer', 'soulbox.execution_logs', privilege)"
        ).fetchall()
        assert rows == [("INSERT",), ("DELETE",)]
    finally:
        sql_connection.execute("drop role log_writer")
