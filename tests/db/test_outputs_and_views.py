"""Whole output, relations, what the writer role may do, and every query against the schema."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import conninfo

from soulbox.model.errors import StoreRefused
from soulbox.model.states import Kind
from soulbox.store.files import aggregates, load_queries
from soulbox.store.objects_sql import ROW_TYPES
from soulbox.store.outputs import PIECE_BYTES, OutputKey, OutputStore
from soulbox.store.pool import Store, open_store
from tests.support.fix_mirror import MakeMirror, drained, running, until
from tests.support.make_mirrored import (
    make_execution,
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    make_sandbox,
    new_uid,
    newer,
)

CREATED = datetime(2026, 11, 22, 10, tzinfo=UTC)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def saved(store: Store, uid: str, stream: Any = "stdout") -> tuple[bytes, bool]:
    async with store.transaction() as tx:
        return await OutputStore(tx).read(
            OutputKey(uid=UUID(uid), created_at=CREATED, stream=stream)
        )


SIZES = {
    "nothing": [],
    "an empty chunk": [b""],
    "one byte": [b"x"],
    "exactly one piece": [b"a" * PIECE_BYTES],
    "one byte more": [b"a" * PIECE_BYTES, b"b"],
    "many small chunks": [bytes([index % 256]) * 1000 for index in range(3000)],
    "binary with NUL": [b"\x00\xff\xfe" * 100_000],
    "ten mebibytes": [os.urandom(10 * PIECE_BYTES)],
}


@pytest.mark.parametrize("what", SIZES)
async def test_output_is_read_back_as_it_was_saved(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection, what: str
) -> None:
    execution = make_execution(spec={"user": "ada"})
    uid = execution["metadata"]["uid"]
    want = b"".join(SIZES[what])
    mirror = make_mirror()
    mirror.offer(Kind.EXECUTION, execution)
    assert await mirror.save_output(uid, CREATED, "stdout", chunks(*SIZES[what])) == len(want)
    assert (await saved(store, uid))[0] == want
    rows = sql_connection.execute(
        "select distinct tenant, user_name from soulbox.execution_outputs"
    ).fetchall()
    assert rows == ([("tenant-team-a", "ada")] if want else [])


@pytest.mark.parametrize("what", SIZES)
async def test_output_is_read_in_parts_once_all_of_it_is_saved(
    make_mirror: MakeMirror, store: Store, what: str
) -> None:
    execution = make_finished_execution()
    uid = execution["metadata"]["uid"]
    created_at = datetime.fromisoformat(execution["metadata"]["creationTimestamp"])
    key = OutputKey(uid=UUID(uid), created_at=created_at, stream="stdout")
    execution["status"]["output"]["stdoutTruncated"] = True
    want = b"".join(SIZES[what])
    mirror = make_mirror()

    async def part(offset: int, length: int = 700_000) -> bytes | None:
        async with store.transaction() as tx:
            return await OutputStore(tx).part(key, offset, length)

    async with running(mirror):
        mirror.offer(Kind.EXECUTION, execution)
        await drained(mirror)
        await mirror.save_output(uid, created_at, "stdout", chunks(*SIZES[what]))
        assert await part(0) is None, "not marked complete yet"
        await mirror.mark_output_complete(uid, created_at)
    found = b""
    while more := await part(len(found)):
        found += more
    assert found == want
    assert await part(2**40) == b""
    assert await part(0, 0) == b""


async def test_save_that_was_interrupted_is_replaced(make_mirror: MakeMirror, store: Store) -> None:
    execution = make_execution()
    uid = execution["metadata"]["uid"]
    mirror = make_mirror()
    mirror.offer(Kind.EXECUTION, execution)

    async def broken() -> AsyncIterator[bytes]:
        yield b"a" * (2 * PIECE_BYTES)
        raise ConnectionResetError("the runner went away")

    with pytest.raises(ConnectionResetError):
        await mirror.save_output(uid, CREATED, "stdout", broken())
    assert (await saved(store, uid))[0] == b""
    await mirror.save_output(uid, CREATED, "stdout", chunks(b"long " * PIECE_BYTES))
    await mirror.save_output(uid, CREATED, "stdout", chunks(b"short"))
    await mirror.save_output(uid, CREATED, "stderr", chunks(b"other"))
    assert await saved(store, uid) == (b"short", False)
    assert await saved(store, uid, "stderr") == (b"other", False)


async def test_lines_of_a_log_are_kept_beside_the_output_and_replaced_with_it(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    execution = make_finished_execution()
    uid = execution["metadata"]["uid"]
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, execution)
        await drained(mirror)
        line = b'{"level": "info", "msg": "one", "a": 1}\n'
        await mirror.save_output(
            uid, CREATED, "stderr", chunks(line, b"plain\n", line), is_log=True
        )
        await mirror.save_output(uid, CREATED, "stderr", chunks(line[:9], line[9:]), is_log=True)
    query = "select seq, level, message, metadata from soulbox.execution_logs"
    assert sql_connection.execute(query).fetchall() == [(0, "info", "one", {"a": 1})]


async def test_owner_of_output_is_read_from_the_row_after_a_restart(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    execution = make_execution(spec={"user": "ada"})
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, execution)
        await drained(mirror)
    uid = execution["metadata"]["uid"]
    await make_mirror().save_output(uid, CREATED, "stderr", chunks(b"x"))
    rows = sql_connection.execute(
        "select tenant, user_name, stream from soulbox.execution_outputs"
    ).fetchall()
    assert rows == [("tenant-team-a", "ada", "stderr")]


async def test_output_of_an_execution_nobody_saw_is_refused(make_mirror: MakeMirror) -> None:
    with pytest.raises(StoreRefused, match="never seen"):
        await make_mirror().save_output(new_uid(), CREATED, "stdout", chunks(b"x"))


@pytest.mark.parametrize("row_first", [True, False])
async def test_output_is_marked_complete_whichever_comes_first(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection, row_first: bool
) -> None:
    big = make_finished_execution(stdout="head", status={"output": {"stdoutTruncated": True}})
    uid = big["metadata"]["uid"]
    queued = make_execution(uid=uid, metadata={"resourceVersion": "1"})
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, big if row_first else queued)
        await drained(mirror)
        await mirror.save_output(uid, CREATED, "stdout", chunks(b"head", b"tail"))
        await mirror.mark_output_complete(uid, CREATED)
        mirror.offer(Kind.EXECUTION, newer(big))
        await drained(mirror)
        # Another operator that knows nothing of it.
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, newer(big))
        await drained(mirror)
    row = sql_connection.execute("select output_complete from soulbox.executions").fetchone()
    assert row == (True,)
    assert await saved(store, uid) == (b"headtail", True)


async def test_mark_before_there_is_any_row_is_not_lost(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    big = make_finished_execution(stdout="head", status={"output": {"stdoutTruncated": True}})
    uid = big["metadata"]["uid"]
    mirror = make_mirror()
    mirror.offer(Kind.EXECUTION, big)
    await mirror.save_output(uid, CREATED, "stdout", chunks(b"head", b"tail"))
    await mirror.mark_output_complete(uid, CREATED)
    async with running(make_mirror()) as other:
        other.offer(Kind.EXECUTION, big)
        await drained(other)
    row = sql_connection.execute("select output_complete from soulbox.executions").fetchone()
    assert row == (True,)


async def test_many_outputs_at_once_leave_connections_for_rows(
    make_mirror: MakeMirror, dsn: str, sql_connection: psycopg.Connection
) -> None:
    """Each waits for its runner with a transaction open; rows are written meanwhile."""
    store = await open_store(dsn, max_size=3)
    gate = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await gate.wait()
        yield b"b"

    async with running(make_mirror(on=store, output_saves=2)) as mirror:
        executions = [make_execution() for _ in range(8)]
        for execution in executions:
            mirror.offer(Kind.EXECUTION, execution)
        saves = [
            asyncio.create_task(
                mirror.save_output(execution["metadata"]["uid"], CREATED, "stdout", slow())
            )
            for execution in executions
        ]
        await drained(mirror)
        await until(
            lambda: (
                sql_connection.execute("select count(*) from soulbox.executions").fetchone() == (8,)
            )
        )
        gate.set()
        assert await asyncio.gather(*saves) == [2] * 8
    await store.close()


# Relations.


async def test_relations_are_walkable_both_ways(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    sandbox = make_running_sandbox()
    sandbox_uid = sandbox["metadata"]["uid"]
    inside = make_finished_execution(sandbox_uid=sandbox_uid)
    one_shot = make_finished_execution(spec={"sandboxRef": None, "className": "python"})
    waiting = make_execution()
    one_uid = one_shot["metadata"]["uid"]
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, sandbox)
        for execution in (inside, one_shot, waiting):
            mirror.offer(Kind.EXECUTION, execution)
        mirror.offer(
            Kind.POD,
            make_pod(
                sandbox_uid=sandbox_uid,
                started="2026-11-22T09:59:00Z",
                finished="2026-11-22T11:30:00Z",
            ),
        )
        mirror.offer(
            Kind.POD,
            make_pod(
                execution_uid=one_uid,
                started="2026-11-22T10:00:00Z",
                finished="2026-11-22T10:00:02Z",
            ),
        )
        await drained(mirror)

    def ask(query: str, *parameters: str) -> list[tuple[Any, ...]]:
        return sql_connection.execute(query, parameters).fetchall()

    inside_uid = inside["metadata"]["uid"]
    assert ask("select sandbox_uid::text from soulbox.owns where user_name = 'ada'") == [
        (sandbox_uid,)
    ]
    assert ask("select user_name from soulbox.owns where sandbox_uid = %s", sandbox_uid) == [
        ("ada",)
    ]
    assert ask(
        "select execution_uid::text from soulbox.runs where sandbox_uid=%s", sandbox_uid
    ) == [(inside_uid,)]
    assert ask(
        "select sandbox_uid::text, one_shot from soulbox.runs where execution_uid = %s", one_uid
    ) == [(one_uid, True)]
    assert ask("select count(*) from soulbox.runs") == [(2,)]
    # It ran in one hour of three that its sandbox is billed for.
    bills = ask(
        "select kind, starts_at from soulbox.generates where execution_uid = %s", inside_uid
    )
    assert bills == [("sandbox_runtime", CREATED)]
    assert ask("select kind from soulbox.generates where execution_uid = %s", one_uid) == [
        ("execution",)
    ]
    event = ask("select event_id::text from soulbox.generates where execution_uid = %s", inside_uid)
    assert ask(
        "select execution_uid::text from soulbox.generates where event_id = %s", event[0][0]
    ) == [(inside_uid,)]


def test_views_ask_with_the_rights_of_who_asks(sql_connection: psycopg.Connection) -> None:
    rows = sql_connection.execute(
        "select relname from pg_class where relnamespace = 'soulbox'::regnamespace"
        " and relkind = 'v' and not coalesce(reloptions @> '{security_invoker=true}', false)"
    ).fetchall()
    assert rows == []


async def test_code_is_found_by_its_words(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror()) as mirror:
        for code in ("import numpy\nnumpy.zeros(3)", "print('hello')", "print('hello')"):
            mirror.offer(Kind.EXECUTION, make_finished_execution(spec={"code": code}))
        await drained(mirror)
    rows = sql_connection.execute(
        "select code from soulbox.programs where code_search @@ to_tsquery('simple', 'numpy')"
    ).fetchall()
    assert rows == [("import numpy\nnumpy.zeros(3)",)]
    assert sql_connection.execute("select count(*) from soulbox.programs").fetchone() == (2,)


# Rights.


@pytest.fixture
def writer_dsn(dsn: str) -> str:
    """Connections with the rights of soulbox_writer and no others."""
    return conninfo.make_conninfo(dsn, options="-c role=soulbox_writer")


class TestRoles:
    async def test_writer_may_do_all_the_mirror_does(
        self, make_mirror: MakeMirror, writer_dsn: str
    ) -> None:
        store = await open_store(writer_dsn)
        pod = make_pod(started="2026-11-22T08:00:00Z")
        execution = make_execution()
        poison = make_execution(status={"state": "Odd"})
        async with running(make_mirror(on=store, changes_keep_seconds=0.0)) as mirror:
            mirror.offer(Kind.SANDBOX, make_running_sandbox())
            mirror.offer(Kind.EXECUTION, execution)
            mirror.offer(Kind.EXECUTION, make_finished_execution(created="2019-03-03T00:00:00Z"))
            mirror.offer(Kind.EXECUTION, poison)
            mirror.offer(Kind.POD, pod)
            await drained(mirror)
            await until(lambda: mirror.price_book() is not None)
            uid = execution["metadata"]["uid"]
            await mirror.save_output(uid, CREATED, "stdout", chunks(b"x"))
            await mirror.mark_output_complete(uid, CREATED)
            await mirror.meter_running([pod], lambda _: CREATED + timedelta(hours=3))

            async def lister() -> AsyncIterator[tuple[Kind, list[dict[str, Any]]]]:
                for kind in (Kind.SANDBOX, Kind.EXECUTION, Kind.POD):
                    yield kind, []

            await mirror.repair(lister())
            statistics = mirror.statistics()
        await store.close()
        assert (statistics.failures, statistics.dead_letters) == (0, 1)

    @pytest.mark.parametrize(
        "statement",
        [
            "delete from soulbox.billing_events",
            "update soulbox.billing_events set amount = 0",
            "truncate soulbox.billing_events",
            "insert into soulbox.price_plans (name, sku, tier, rate, valid)"
            " values ('free', 's', 't', 0, '[2030-01-01,)')",
            "update soulbox.price_plans set description = ''",
            "delete from soulbox.executions",
            "delete from soulbox.pod_runs",
            "create table soulbox.mine (a int)",
            "alter table soulbox.billing_events disable trigger all",
            "drop view soulbox.owns",
        ],
    )
    def test_writer_may_not(self, writer_dsn: str, statement: str) -> None:
        with (
            psycopg.connect(writer_dsn) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


def test_functions_with_their_owners_rights_are_not_for_everybody(
    sql_connection: psycopg.Connection,
) -> None:
    rows = sql_connection.execute(
        "select p.proname, has_function_privilege('public', p.oid, 'execute'),"
        "       p.proconfig @> '{\"search_path=pg_catalog, pg_temp\"}',"
        "       (select rolsuper from pg_roles r where r.oid = p.proowner)"
        "  from pg_proc p where p.pronamespace = 'soulbox'::regnamespace and p.prosecdef"
        " order by p.proname"
    ).fetchall()
    assert {row[0] for row in rows} >= {"drop_expired", "ensure_partition", "visible_tenants"}
    assert rows == [(row[0], False, True, False) for row in rows]


# Queries.

UNPREPARED = (
    *("make_roles", "become_owner", "apply_access", "feed_listen", "unfiltered", "repeatable"),
    *(
        "forget_staged",
        "put_aside",
        "put_back",
        "drop_unproved",
        "drop_replaced",
        "lock_adjustments",
        "lock_prices",
        "snapshot",
        "hold",
    ),
)
QUERIES = [
    (aggregate, name)
    for aggregate in aggregates()
    for name in load_queries(aggregate)
    # What PostgreSQL cannot prepare: statements of their own kind. They run in other tests.
    if not name.startswith(("stage", "copy", *UNPREPARED)) and name != "lock"
]


@pytest.mark.parametrize(("aggregate", "name"), QUERIES)
async def test_query_prepares_against_the_schema(
    store: Store, sql_connection: psycopg.Connection, aggregate: str, name: str
) -> None:
    text = load_queries(aggregate)[name]
    for row_type in ROW_TYPES:
        sql_connection.execute(load_queries(f"objects/{row_type.TABLE.name}")["stage"])
    sql_connection.execute(load_queries("ledger")["stage_billing_events"])
    sql_connection.execute(load_queries("samples")["stage_samples"])
    sql_connection.execute(load_queries("logs")["stage_logs"])
    # As psycopg sends it: numbered parameters whose types the server infers.
    numbered: dict[str, str] = {}
    import re

    prepared = re.sub(
        r"%\((\w+)\)s", lambda found: numbered.setdefault(found[1], f"${len(numbered) + 1}"), text
    )
    sql_connection.execute(f"PREPARE probe AS {prepared}")


async def test_sandbox_offered_while_its_last_version_is_written_is_not_recorded(
    make_mirror: MakeMirror,
) -> None:
    """What is committed is not its end while a newer version waits."""
    deleting = make_sandbox(metadata={"deletionTimestamp": "2026-11-22T11:00:00Z"})
    uid = deleting["metadata"]["uid"]
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, deleting)
        await until(lambda: mirror.is_recorded(uid))
        mirror.offer(Kind.SANDBOX, newer(deleting, status={"state": "Terminated"}))
        assert not mirror.is_recorded(uid)
        await until(lambda: mirror.is_recorded(uid))
