"""The questions asked most, their answers worked out by hand; and `soulbox query`."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner

from soulbox.app import cli
from soulbox.app.cli import app
from soulbox.model.errors import (
    AlreadyExists,
    CursorExpired,
    InvalidRequest,
    NotFound,
    StoreConflict,
    StoreRefused,
    StoreUnavailable,
)
from soulbox.model.states import Kind
from soulbox.store.pool import Store, open_store
from soulbox.store.reader import Reader
from soulbox.store.reading import Filter, History, Page
from soulbox.store.reports import REPORTS, parse_params, run_report
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import (
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    new_uid,
)

NOW = datetime.now(UTC).replace(microsecond=0)
ODD_QUERIES = [
    "",
    "   ",
    '"',
    "'",
    "& | ! <-> ( ) : *",
    "foo & | bar",
    "a:b:*",
    "--; drop table",
    "or or or",
    "-",
    "the",
    "\\",
    "%s %(x)s",
    "日本語 🎉",
    "x" * 100_000,
]


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).isoformat().replace("+00:00", "Z")


def run(user: str, **changes: Any) -> dict[str, Any]:
    created = changes.pop("created", ago(hours=1))
    duration = changes.pop("duration", 250)
    state = changes.pop("state", "Completed")
    return make_finished_execution(
        metadata={"creationTimestamp": created, "name": changes.pop("name", "run")},
        spec={"user": user, "code": changes.pop("code", "print(1)")},
        status={"state": state, "durationMilliseconds": duration, "reason": state},
        **changes,
    )


async def write(make_mirror: MakeMirror, *objects: tuple[Kind, dict[str, Any]]) -> None:
    mirror = make_mirror()
    async with running(mirror):
        for kind, manifest in objects:
            mirror.offer(kind, manifest)
        await drained(mirror)


async def report(store: Store, name: str, **params: str) -> list[dict[str, Any]]:
    async with store.transaction() as tx:
        return (await run_report(tx, name, parse_params(name, params))).rows


async def test_dashboard(make_mirror: MakeMirror, store: Store) -> None:
    box = make_running_sandbox()
    over = make_running_sandbox(status={"state": "Terminated"})
    runs = [run("ada", created=ago(minutes=index), duration=100) for index in range(1, 13)]
    old = run("ada", created=ago(hours=25), duration=5000)
    other = run("bob")
    await write(
        make_mirror,
        (Kind.SANDBOX, box),
        (Kind.SANDBOX, over),
        *((Kind.EXECUTION, one) for one in (*runs, old, other)),
    )
    (row,) = await report(store, "dashboard", user="ada")
    board = row["dashboard"]
    assert [one["uid"] for one in board["active_sandboxes"]] == [box["metadata"]["uid"]]
    assert [one["uid"] for one in board["last_executions"]] == [
        one["metadata"]["uid"] for one in runs[:10]
    ]
    assert (board["executions_24h"], board["duration_ms_24h"]) == (12, 1200)
    (row,) = await report(store, "dashboard", user="")
    assert row["dashboard"]["last_executions"] == []


def insert_sample(
    connection: psycopg.Connection, sandbox: str, at: datetime, cpu: str | None, memory: int
) -> None:
    connection.execute("select soulbox.ensure_partition('resource_metrics', %s)", (at,))
    connection.execute(
        "insert into soulbox.resource_metrics"
        " (sandbox_uid, recorded_at, cluster, tenant, user_name, cpu_cores, memory_bytes)"
        " values (%s, %s, %s, 'tenant-team-a', 'ada', %s, %s)",
        (sandbox, at, new_uid(), cpu, memory),
    )


async def test_usage_summary_leaves_gaps(store: Store, sql_connection: psycopg.Connection) -> None:
    box = new_uid()
    start = NOW - timedelta(hours=2)
    for seconds, cpu, memory in ((0, None, 100), (10, "0.5", 300), (20, "1.5", 200), (620, "1", 0)):
        insert_sample(sql_connection, box, start + timedelta(seconds=seconds), cpu, memory)
    insert_sample(sql_connection, box, start + timedelta(seconds=700), "9", 9)
    window = {"from": start.isoformat(), "to": (start + timedelta(seconds=700)).isoformat()}
    (row,) = await report(store, "usage", sandbox=box, **window)
    assert row == {
        "data_points": 4,
        "average_cpu_cores": 1,
        "peak_cpu_cores": pytest.approx(1.5),
        "average_memory_bytes": 150,
        "peak_memory_bytes": 300,
        "first_at": start,
        "last_at": start + timedelta(seconds=620),
        "longest_gap_seconds": 600,
    }
    (row,) = await report(store, "usage", sandbox=new_uid(), **window)
    assert row["data_points"] == 0
    assert row["average_cpu_cores"] is None


async def test_statistics(make_mirror: MakeMirror, store: Store) -> None:
    runs = [run("ada", duration=index) for index in range(1, 101)]
    runs += [run("bob", state="Failed", duration=7), run("bob", state="Timeout", duration=9)]
    runs += [run("ada", created=ago(days=8), duration=10_000)]
    await write(make_mirror, *((Kind.EXECUTION, one) for one in runs))
    ada, bob = await report(store, "statistics", days="7", by="user")
    assert ada == {
        "key": "ada",
        "total": 100,
        "completed": 100,
        "failed": 0,
        "timeout": 0,
        "cancelled": 0,
        "unfinished": 0,
        "average_ms": pytest.approx(50.5),
        "p50_ms": 50,
        "p95_ms": 95,
        "p99_ms": 99,
    }
    assert (bob["total"], bob["failed"], bob["timeout"]) == (2, 1, 1)
    for by in ("class", "day", "language", "namespace", "program", "sandbox", "tenant"):
        rows = await report(store, "statistics", days="7", by=by)
        assert sum(row["total"] for row in rows) == 102


async def test_slowest_and_failing_programs(make_mirror: MakeMirror, store: Store) -> None:
    runs = [run("ada", code="slow()", duration=5000), run("ada", code="fast()", duration=5)]
    runs += [run("ada", code="bad()", state="Failed") for _ in range(3)]
    runs += [run("ada", code="bad()"), run("ada", code="worse()", state="Timeout")]
    await write(make_mirror, *((Kind.EXECUTION, one) for one in runs))
    slowest = await report(store, "slowest", days="7")
    assert slowest[0]["code"] == "slow()"
    assert slowest[-1]["code"] == "fast()"
    failing = await report(store, "failing", days="7")
    assert [(row["code"], row["failures"], float(row["failed_percent"])) for row in failing] == [
        ("bad()", 3, 75.0),
        ("worse()", 1, 100.0),
    ]


async def test_code_is_found_by_word_phrase_and_stem(make_mirror: MakeMirror, store: Store) -> None:
    programs = [
        "open_connection()  # connections are retried",
        "read the file and read the file again",
        "import pandas  # file of another kind",
    ]
    await write(make_mirror, *((Kind.EXECUTION, run("ada", code=code)) for code in programs))

    async def found(query: str) -> list[str]:
        return [row["headline"] for row in await report(store, "code", query=query)]

    assert found is not None
    assert len(await found("connect")) == 1
    assert "«connections»" in (await found("connecting"))[0]
    assert len(await found("file")) == 2
    assert len(await found("file -pandas")) == 1
    assert len(await found('"read the file"')) == 1
    assert len(await found("pandas or connection")) == 2
    assert await found("nowhere") == []
    # Twice is more than once.
    assert "read" in (await found("file"))[0]


async def test_words_as_written_come_before_their_stems(
    make_mirror: MakeMirror, store: Store
) -> None:
    programs = ["connections connections connections", "one connection", "connecting"]
    await write(make_mirror, *((Kind.EXECUTION, run("ada", code=code)) for code in programs))
    rows = await report(store, "code", query="connection")
    assert rows[0]["headline"] == "«connection»"
    assert len(rows) == 3


async def test_output_is_found(make_mirror: MakeMirror, store: Store) -> None:
    runs = [
        run("ada", stdout="the connection was refused"),
        run("ada", stdout="all is well"),
        run("ada", stdout="connection refused", created=ago(days=3)),
    ]
    await write(make_mirror, *((Kind.EXECUTION, one) for one in runs))
    rows = await report(store, "output", query="refuses connections")
    assert [row["uid"] for row in rows] == [UUID(runs[0]["metadata"]["uid"])]
    assert "«connection»" in rows[0]["headline"]
    assert len(await report(store, "output", query="refused", days="7")) == 2


@pytest.mark.parametrize("query", ODD_QUERIES, ids=range(len(ODD_QUERIES)))
@pytest.mark.parametrize("name", ["code", "output"])
async def test_no_query_is_an_error(
    make_mirror: MakeMirror, store: Store, name: str, query: str
) -> None:
    await write(make_mirror, (Kind.EXECUTION, run("ada")))
    assert isinstance(await report(store, name, query=query), list)


async def test_relations_both_ways_and_history(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    box = make_running_sandbox(metadata={"creationTimestamp": ago(hours=3)})
    uid = box["metadata"]["uid"]
    one = run("ada", sandbox_uid=uid, created=ago(hours=2))
    one["status"] |= {"startTime": ago(hours=2), "completionTime": ago(hours=1, minutes=50)}
    pod = make_pod(sandbox_uid=uid, started=ago(hours=3), finished=ago(minutes=5))
    await write(make_mirror, (Kind.SANDBOX, box), (Kind.EXECUTION, one), (Kind.POD, pod))
    insert_sample(sql_connection, uid, NOW - timedelta(hours=1, minutes=55), "1", 1)
    insert_sample(sql_connection, uid, NOW - timedelta(minutes=20), "1", 1)
    run_uid = one["metadata"]["uid"]
    (owned,) = await report(store, "owns", user="ada")
    assert owned["sandbox_uid"] == UUID(uid)
    (owner,) = await report(store, "owns", sandbox=uid)
    assert owner["user_name"] == "ada"
    (ran,) = await report(store, "runs", sandbox=uid)
    assert ran["execution_uid"] == UUID(run_uid)
    (where,) = await report(store, "runs", execution=run_uid)
    assert where["sandbox_uid"] == UUID(uid)
    bills = await report(store, "generates", execution=run_uid)
    assert bills
    (covered,) = await report(store, "generates", event=str(bills[0]["event_id"]))
    assert covered["execution_uid"] == UUID(run_uid)
    (sample,) = await report(store, "metrics", execution=run_uid)
    assert sample["recorded_at"] == NOW - timedelta(hours=1, minutes=55)
    history = await report(store, "history", uid=uid)
    assert [row["event"] for row in history if row["event"] != "started"] == [
        "created",
        "pod_started",
        "execution",
        "pod_finished",
    ]
    assert [row["event"] for row in await report(store, "history", uid=run_uid)][-1] == "completed"


async def pages(store: Store, wanted: Filter, limit: int) -> Iterator[Page]:
    found, cursor = [], None
    while True:
        async with store.transaction() as tx:
            page = await History(tx).executions(wanted, limit=limit, cursor=cursor)
        found.append(page)
        cursor = page.next_cursor
        if cursor is None:
            return iter(found)


async def test_pages_hold_every_row_once_also_with_equal_times(
    make_mirror: MakeMirror, store: Store
) -> None:
    runs = [run("ada", created=ago(minutes=index // 5)) for index in range(23)]
    runs += [run("bob") for _ in range(3)]
    await write(make_mirror, *((Kind.EXECUTION, one) for one in runs))
    for limit in (1, 4, 5, 23, 24):
        listed = [
            row for page in await pages(store, Filter(user_name="ada"), limit) for row in page.rows
        ]
        assert {str(row["uid"]) for row in listed} == {one["metadata"]["uid"] for one in runs[:23]}
        assert len(listed) == 23
        assert [row["created_at"] for row in listed] == sorted(
            (row["created_at"] for row in listed), reverse=True
        )


async def test_cursors_that_are_none_or_too_old_are_refused(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    await write(make_mirror, *((Kind.EXECUTION, run("ada")) for _ in range(3)))

    async def go_on(cursor: str, **wanted: Any) -> Page:
        async with store.transaction() as tx:
            return await History(tx).executions(Filter(**wanted), limit=1, cursor=cursor)

    async with store.transaction() as tx:
        cursor = (await History(tx).executions(Filter(), limit=1)).next_cursor
    assert cursor is not None
    assert (await go_on(cursor)).rows
    for made_up in ("", "x", "AAAA", cursor[:-2], cursor + "A", "ü", cursor.swapcase(), "A" * 9999):
        with pytest.raises(InvalidRequest, match="not issued by SoulBox"):
            await go_on(made_up)
    with pytest.raises(InvalidRequest, match="other filters"):
        await go_on(cursor, user_name="ada")
    sql_connection.execute("update soulbox.mirror_state set database_epoch = database_epoch + 1")
    with pytest.raises(CursorExpired, match="restored after"):
        await go_on(cursor)


async def test_errors_are_typed(store: Store, make_mirror: MakeMirror) -> None:
    async with store.transaction() as tx:
        history = History(tx)
        with pytest.raises(NotFound):
            await history.execution(UUID(new_uid()))
        for limit in (0, -1, 1001):
            with pytest.raises(InvalidRequest, match="limit"):
                await history.executions(Filter(), limit=limit)
        with pytest.raises(InvalidRequest, match="state: 'odd' is not a state"):
            await history.executions(Filter(state="odd"))
        with pytest.raises(InvalidRequest, match="swap them"):
            await history.executions(Filter(since=NOW, until=NOW - timedelta(days=1)))
        assert (await history.health()).schema_version >= 12
    with pytest.raises(StoreRefused, match="22023"):
        async with store.transaction() as tx:
            await run_report(tx, "statistics", {"days": 7, "by": "nothing"})

    async def run_twice(statement: LiteralString) -> None:
        async with store.transaction() as tx:
            await tx.execute(statement)
            await tx.execute(statement)

    with pytest.raises(AlreadyExists):
        await run_twice("insert into soulbox.tenant_roles values ('r', 't')")
    with pytest.raises(StoreConflict):
        await run_twice("do $$ begin raise sqlstate '40001'; end $$")


@pytest.mark.parametrize(
    ("name", "params", "want"),
    [
        ("nothing", {}, "there is no report 'nothing'"),
        ("dashboard", {}, "dashboard needs it"),
        ("dashboard", {"user": "a", "x": "1"}, "dashboard has no such parameter"),
        ("usage", {"sandbox": "x", "from": ago(), "to": ago()}, "'x' is not a UID"),
        ("usage", {"sandbox": new_uid(), "from": "soon", "to": ago()}, "'soon' is not a time"),
        ("usage", {"sandbox": new_uid(), "from": ago(), "to": ago(days=1)}, "swap them"),
        ("statistics", {"days": "0"}, "'0' is not a number from 1 to 3660"),
        ("statistics", {"days": "٣"}, "is not a number"),
        ("executions", {"limit": "1001"}, "not a number from 1 to 1000"),
        ("owns", {}, "give user or sandbox"),
        ("code", {"query": "a\0b"}, "NUL"),
    ],
)
def test_parameters_that_make_no_sense(name: str, params: dict[str, str], want: str) -> None:
    with pytest.raises(InvalidRequest, match=want):
        parse_params(name, params)


async def test_replica_that_is_away_is_told_and_the_primary_answers(store: Store) -> None:
    away = await open_store("postgresql://nobody@127.0.0.1:1/x", connect_timeout_seconds=0.2)
    try:

        async def ask(tx: Any) -> int:
            return await History(tx).epoch()

        answer, source = await Reader(store, away).read(ask)
        assert answer == 1
        assert source.problem is not None
        assert "Connection refused" in source.problem
        answer, source = await Reader(store, store).read(ask)
        assert (answer, source.problem) == (1, None)
        with pytest.raises(StoreUnavailable):
            await Reader(away, away).read(ask)
    finally:
        await away.close()


# The command.


@pytest.fixture
def soulbox(dsn: str) -> Any:
    runner = CliRunner(env={"SOULBOX_DSN": dsn, "COLUMNS": "200"})
    return lambda *words: runner.invoke(app, ["query", *words])


@pytest.fixture
def asoulbox(soulbox: Any) -> Any:
    """In a thread: the command has an event loop of its own."""
    return lambda *words: asyncio.to_thread(soulbox, *words)


async def test_command_prints_table_json_and_csv(make_mirror: MakeMirror, asoulbox: Any) -> None:
    hostile = run("ada", name="first", code="=cmd()\x1b[2J")
    await write(make_mirror, (Kind.EXECUTION, hostile), (Kind.EXECUTION, run("ada", name="x")))
    table = (await asoulbox("executions", "-p", "user=ada")).stdout
    assert table.splitlines()[0].split()[:2] == ["UID", "CREATED_AT"]
    assert len(table.splitlines()) == 3
    rows = json.loads((await asoulbox("executions", "-p", "user=ada", "-o", "json")).stdout)
    assert {row["name"] for row in rows} == {"first", "x"}
    listed = list(csv.DictReader(io.StringIO((await asoulbox("slowest", "-o", "csv")).stdout)))
    assert any(row["code"].startswith("'=cmd()") for row in listed)
    assert "\x1b" not in (await asoulbox("slowest")).stdout
    more = await asoulbox("executions", "-p", "limit=1")
    # The line can be pasted as it is, filters and all.
    words = shlex.split(more.stderr.removeprefix("more: soulbox query "))
    assert (await asoulbox(*words)).stderr == ""
    assert len(words[-1]) < 80
    assert (await asoulbox("executions", "-p", "user=nobody")).stdout == "no rows\n"


async def test_objects_are_named_as_people_name_them(make_mirror: MakeMirror, store: Store) -> None:
    box = make_running_sandbox()
    where, name = box["metadata"]["namespace"], box["metadata"]["name"]
    uid = box["metadata"]["uid"]
    old = run("ada", name="job", created=ago(hours=3), sandbox_uid=uid)
    new = run("ada", name="job", created=ago(hours=1), sandbox_uid=uid)
    await write(make_mirror, (Kind.SANDBOX, box), (Kind.EXECUTION, old), (Kind.EXECUTION, new))
    job = f"{new['metadata']['namespace']}/job"
    assert len(await report(store, "runs", sandbox=f"{where}/{name}")) == 2
    by_name = await report(store, "history", uid=job)
    assert by_name == await report(store, "history", uid=new["metadata"]["uid"])
    for wrong in (f"{where}/nothing", f"elsewhere/{name}"):
        with pytest.raises(InvalidRequest, match=f"no sandbox {wrong} is recorded; give its UID"):
            await report(store, "runs", sandbox=wrong)
    with pytest.raises(InvalidRequest, match=r"is not a UID; .*or write NAMESPACE/NAME"):
        await report(store, "runs", sandbox=name)


def test_command_lists_the_reports(soulbox: Any) -> None:
    listed = soulbox().stdout
    for name in REPORTS:
        assert f"{name} " in listed


def test_every_report_runs_on_an_empty_database(soulbox: Any) -> None:
    samples = {
        "text": "x",
        "uuid": new_uid(),
        "texts": "a,b",
        "tool": "team-a/resize",
        "int": "1",
        "time": ago(),
        **dict.fromkeys(("sandbox", "execution", "object"), new_uid()),
    }
    for name, one in REPORTS.items():
        words = [
            f"-p{key}={samples[param.kind]}"
            for key, param in one.params.items()
            if key not in ("cursor", "state", "by", "level")
        ]
        result = soulbox(name, *words, "-o", "json")
        assert result.exit_code == 0, (name, result.output, result.exception)
        json.loads(result.stdout)


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (["nothing"], "soulbox: name: there is no report 'nothing'"),
        (["code", "-p", "query"], "soulbox: --param: 'query' is not name=value"),
        (["code", "-p", "query=a", "-p", "query=b"], "soulbox: query: it is given twice"),
        (["executions", "-p", "cursor=made-up"], "soulbox: cursor: it was not issued"),
        (["tool", "-p", "id=resize"], "soulbox: id: 'resize' is not a tool's id"),
        (["logs", "-p", "execution=a/b", "-p", "level=loud"], "soulbox: level: 'loud' is not"),
    ],
)
def test_command_says_what_is_wrong_in_one_line(
    dsn: str,
    words: list[str],
    want: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SOULBOX_DSN", dsn)
    monkeypatch.setattr(sys, "argv", ["soulbox", "query", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith(want)
    assert said.count("\n") == 1
