"""What PostgreSQL refuses goes to the dead letters, alone, whole, and holds nobody up."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import psycopg
import pytest

from soulbox.model.states import Kind
from tests.support.fix_mirror import MakeMirror, Recorded, drained, running, until
from tests.support.make_mirrored import (
    make_execution,
    make_finished_execution,
    make_pod,
    make_sandbox,
    merge,
    newer,
)

# Each is refused at another place: by a CHECK, by a type, by the builder, by ensure_partition.
POISONS: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    "an unknown state": ({"status": {"state": "Odd"}}, "23514", "executions_state_known"),
    "a figure over 64 bits": ({"status": {"attempt": 2**70}}, None, None),
    "a negative figure": (
        {"status": {"durationMilliseconds": -5}},
        "23514",
        "executions_figures_positive",
    ),
    "a hash that is none": (
        {"status": {"output": {"stdoutSha256": "odd"}}},
        "23514",
        "executions_sha256_hex",
    ),
    "a status of another shape": ({"status": "Completed"}, None, None),
    "a date of another age": (
        {"metadata": {"creationTimestamp": "1970-01-01T00:00:00Z"}},
        "22008",
        None,
    ),
}


@pytest.mark.parametrize("what", POISONS)
async def test_poison_row_goes_to_the_dead_letters_whole(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, what: str
) -> None:
    changes, want_sqlstate, want_constraint = POISONS[what]
    poison = merge(make_finished_execution(stdout="a\x00b"), changes)
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, poison)
        mirror.offer(Kind.EXECUTION, make_finished_execution())
        await drained(mirror)
        assert mirror.statistics().dead_letters == 1
    row = sql_connection.execute(
        "select kind, uid, name, sqlstate, constraint_name, payload::text from soulbox.dead_letter"
    ).fetchone()
    assert row is not None
    assert row[:5] == (
        "Execution",
        poison["metadata"]["uid"],
        "run",
        want_sqlstate,
        want_constraint,
    )
    assert json.loads(row[5]) == poison
    assert sql_connection.execute("select count(*) from soulbox.executions").fetchone() == (1,)


async def test_batch_with_many_poison_rows_loses_no_other(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    dice = random.Random(7)
    good = [make_finished_execution(name=f"good-{index}") for index in range(300)]
    bad = [
        make_execution(metadata={"name": f"bad-{index}"}, status={"state": "Odd"})
        for index in range(17)
    ]
    offered = [*good, *bad]
    dice.shuffle(offered)
    async with running(make_mirror()) as mirror:
        for manifest in offered:
            mirror.offer(Kind.EXECUTION, manifest)
        await drained(mirror)
        statistics = mirror.statistics()
    assert statistics.dead_letters == 17
    # 300 rows and one program.
    assert statistics.rows_written == 301
    count = sql_connection.execute("select count(*) from soulbox.executions").fetchone()
    assert count == (300,)
    buried = sql_connection.execute("select count(*) from soulbox.dead_letter").fetchone()
    assert buried == (17,)


async def test_object_in_the_dead_letters_counts_as_recorded_when_it_ends(
    make_mirror: MakeMirror, recorded: Recorded
) -> None:
    poison = make_execution(status={"state": "Running", "attempt": -1})
    uid = poison["metadata"]["uid"]
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, poison)
        await drained(mirror)
        assert not mirror.is_recorded(uid)
        mirror.offer(Kind.EXECUTION, newer(poison, status={"state": "Failed"}))
        await recorded.wait_for(Kind.EXECUTION, uid)
        assert mirror.is_recorded(uid)


async def test_poison_pod_and_sandbox_let_go_when_deleted(
    make_mirror: MakeMirror, recorded: Recorded, sql_connection: psycopg.Connection
) -> None:
    gone = {"deletionTimestamp": "2026-11-22T11:00:00Z"}
    pod = make_pod(
        started="2026-11-22T10:00:00Z",
        finished="2026-11-22T10:01:00Z",
        cpu="lots",
        metadata=gone,
    )
    sandbox = make_sandbox(status={"incarnation": -3}, metadata=gone)
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        mirror.offer(Kind.SANDBOX, sandbox)
        await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
        await recorded.wait_for(Kind.SANDBOX, sandbox["metadata"]["uid"])
    rows = sql_connection.execute(
        "select kind, error from soulbox.dead_letter order by kind"
    ).fetchall()
    assert [row[0] for row in rows] == ["Pod", "Sandbox"]
    assert "'lots' is not a quantity" in rows[0][1]


async def test_same_poison_version_is_not_tried_again_a_newer_one_is(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    poison = make_execution(status={"state": "Odd"})
    async with running(make_mirror()) as mirror:
        for _ in range(3):
            mirror.offer(Kind.EXECUTION, poison)
            await drained(mirror)
        assert mirror.statistics().dead_letters == 1
        mirror.offer(Kind.EXECUTION, newer(poison))
        await drained(mirror)
    row = sql_connection.execute(
        "select refusals, resource_version from soulbox.dead_letter"
    ).fetchone()
    assert row is not None
    assert row[0] == 2
    assert row[1] != poison["metadata"]["resourceVersion"]


async def test_cured_object_is_written(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    poison = make_execution(status={"state": "Odd"})
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, poison)
        await drained(mirror)
        mirror.offer(Kind.EXECUTION, newer(poison, status={"state": "Running"}))
        await drained(mirror)
    assert sql_connection.execute("select state from soulbox.executions").fetchall() == [
        ("running",)
    ]


async def test_refused_program_does_not_cost_the_execution_its_row(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """Nothing of ours is known to be refused here, so the table is made stricter."""
    sql_connection.execute(
        "ALTER TABLE soulbox.programs ADD CONSTRAINT no_evil CHECK (code NOT LIKE '%evil%')"
    )
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, make_finished_execution(spec={"code": "evil()"}))
        mirror.offer(Kind.EXECUTION, make_finished_execution())
        await drained(mirror)
        # Known by now: not tried again.
        mirror.offer(Kind.EXECUTION, make_finished_execution(spec={"code": "evil()"}))
        await drained(mirror)
        assert mirror.statistics().dead_letters == 1
    rows = sql_connection.execute(
        "select code from soulbox.v_executions order by code nulls last"
    ).fetchall()
    assert rows == [("print(42)",), (None,), (None,)]
    row = sql_connection.execute("select kind, constraint_name from soulbox.dead_letter").fetchone()
    assert row == ("Program", "no_evil")


async def test_execution_refused_even_without_its_program_is_buried(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    poison = make_finished_execution(status={"state": "Odd"}, spec={"code": "only here"})
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, poison)
        await drained(mirror)
    row = sql_connection.execute("select kind, error from soulbox.dead_letter").fetchone()
    assert row is not None
    assert row[0] == "Execution"
    assert "executions_state_known" in row[1]
    assert "only here" not in row[1]


HOSTILE_CODE = {
    "every character once": "".join(map(chr, range(1, 0xD800))) + chr(0x10FFFF),
    "words without end": " ".join(f"w{index}" for index in range(45_000)),
    "one word": "x" * 262_144,
    "hosts and paths": " ".join(f"h{index}.example.com/a/b?c=d" for index in range(9_000)),
    "ideographs apart": " ".join(chr(0x4E00 + index % 20_000) for index in range(32_000)),
    "e-mail and numbers": " ".join(f"a{index}@b.cd -1.5e{index % 99}" for index in range(9_000)),
    "C31 quotes and the end of a statement": "'; DROP TABLE soulbox.executions;-- \\' $$ %s {} \"",
    "NUL and half a pair": "a\x00\ud800b",
    "empty": "",
}


@pytest.mark.parametrize("what", HOSTILE_CODE)
async def test_no_code_is_too_odd_to_keep(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, what: str
) -> None:
    code = HOSTILE_CODE[what]
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, make_finished_execution(spec={"code": code}))
        await drained(mirror)
        assert mirror.statistics().dead_letters == 0
    row = sql_connection.execute("select code, cleaned from soulbox.programs").fetchone()
    assert row is not None
    want = code.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert row == (want, want != code)


async def test_unmigrated_database_is_waited_for_and_buries_nothing(
    make_mirror: MakeMirror, empty_dsn: str
) -> None:
    from soulbox.store.migrate import migrate
    from soulbox.store.pool import open_store

    store = await open_store(empty_dsn)
    async with running(make_mirror(on=store)) as mirror:
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await until(lambda: mirror.statistics().failures >= 2)
        assert mirror.statistics().pending == 1
        assert not mirror.statistics().healthy
        await asyncio.to_thread(migrate, empty_dsn)
        await drained(mirror)
        assert mirror.statistics().dead_letters == 0
        # Its upkeep backs off on its own, so it may learn of the tables a moment later.
        await until(lambda: mirror.statistics().healthy)
    await store.close()
