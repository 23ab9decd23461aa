"""What an Execution was given and what it returned, whatever that is."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from soulbox.model.json_values import TOO_DEEP
from soulbox.model.states import Kind
from soulbox.store.migrate import migrate
from soulbox.store.pool import Store
from soulbox.store.reading import History
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import make_finished_execution, new_uid, newer

CREATED = datetime(2026, 11, 22, 10, tzinfo=UTC)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def call(given: Any, returned: Any) -> dict[str, Any]:
    manifest = make_finished_execution(
        metadata={"labels": {"soulbox.dev/function-uid": new_uid()}},
        spec={"functionRef": {"name": "resize", "version": "1.2.0"}, "user": "ada"},
    )
    # Not by keyword: None would take the field off.
    manifest["spec"]["input"], manifest["status"]["result"] = given, returned
    return manifest


# What is given or returned, and what is read back; of those of the second list not all is kept.
WHOLE: dict[str, Any] = {
    "an object": {"url": "https://…", "camelCase": {"aB": [1, 2.5, True, None]}},
    "a text": "42",
    "a number": 0,
    "false": False,
    "an empty list": [],
    "keys as in PostgreSQL": {"'; drop table soulbox.executions; --": "\\u0000 %s %(x)s"},
    "as deep as may be": nested(100),
    "256 KiB": {"text": "ö" * 128 * 1024},
    "many keys": {f"key-{index}": index for index in range(20_000)},
}
PARTS: dict[str, tuple[Any, Any]] = {
    "NUL": ({"a\x00": ["\x00"]}, {"a\ufffd": ["\ufffd"]}),
    "half of a surrogate pair": ("\udc00", "\ufffd"),
    "numbers that none holds": ([10**400, math.nan, -math.inf, 10**21], [None, None, None, 1e21]),
    "50,000 levels": (nested(50_000), None),
}


async def test_any_json_is_recorded_and_holds_nobody_up(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    kept = {what: call(value, value) for what, value in WHOLE.items()}
    parted = {what: call(value, value) for what, (value, _) in PARTS.items()}
    async with running(make_mirror()) as mirror:
        for manifest in (*kept.values(), *parted.values()):
            mirror.offer(Kind.EXECUTION, manifest)
        await drained(mirror)
        assert mirror.statistics().dead_letters == 0
    found = {
        str(uid): row
        for uid, *row in sql_connection.execute(
            "select uid, kind, function_uid::text, function_version, input, result, cleaned"
            " from soulbox.executions"
        ).fetchall()
    }
    for what, manifest in (kept | parted).items():
        kind, function, version, given, returned, cleaned = found[manifest["metadata"]["uid"]]
        assert (kind, version) == ("function", "1.2.0"), what
        assert function == manifest["metadata"]["labels"]["soulbox.dev/function-uid"]
        assert cleaned is (what in PARTS), what
        if what == "50,000 levels":
            for _ in range(100):
                (given,) = given
            assert given == TOO_DEEP
        else:
            want = PARTS[what][1] if what in PARTS else WHOLE[what]
            assert given == returned == want, what
            assert type(given) is type(want), what


async def test_result_that_the_object_had_no_room_for_stays_in_its_row(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    whole = call({}, {"text": "x" * 60_000})
    whole["status"]["resultOmittedBytes"] = 60_011
    # What the API server has: this version, which the watch may bring first, and any later one.
    bare = newer(whole, metadata={"resourceVersion": whole["metadata"]["resourceVersion"]})
    del bare["status"]["result"]
    later = newer(bare)
    async with running(make_mirror()) as mirror:
        for manifest in (bare, whole, later):
            mirror.offer(Kind.EXECUTION, manifest)
            await drained(mirror)
    row = sql_connection.execute(
        "select resource_version, result from soulbox.executions"
    ).fetchone()
    assert row == (int(later["metadata"]["resourceVersion"]), whole["status"]["result"])


async def test_program_without_input_has_none(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, make_finished_execution())
        await drained(mirror)
    row = sql_connection.execute(
        "select kind, function_uid, function_version, cause, input, result from soulbox.executions"
    ).fetchone()
    assert row == ("program", None, None, None, None, None)


async def test_what_started_it_is_recorded_and_found(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, store: Store
) -> None:
    trigger = new_uid()
    cause = {"kind": "Trigger", "name": "nightly", "uid": trigger, "eventID": "1.7421.3"}
    by_trigger = make_finished_execution(spec={"cause": cause})
    by_app = make_finished_execution(spec={"cause": cause | {"kind": "App", "eventID": None}})
    by_hand = make_finished_execution()
    found = (
        "select cause ->> 'name', trigger_uid::text, event_id"
        " from soulbox.v_executions(of_uid => %s)"
    )
    async with running(make_mirror()) as mirror:
        for manifest in (by_trigger, by_app, by_hand):
            mirror.offer(Kind.EXECUTION, manifest)
        await drained(mirror)
        for manifest, want in (
            (by_trigger, ("nightly", trigger, "1.7421.3")),
            (by_app, ("nightly", None, None)),
            (by_hand, (None, None, None)),
        ):
            uid = manifest["metadata"]["uid"]
            assert sql_connection.execute(found, (uid,)).fetchone() == want
        # A release that knew only the cause wrote it; the next version fills in the rest.
        sql_connection.execute("update soulbox.executions set trigger_uid = null, event_id = null")
        mirror.offer(Kind.EXECUTION, newer(by_trigger))
        await drained(mirror)
    async with store.transaction() as tx:
        row = await History(tx).execution(UUID(by_trigger["metadata"]["uid"]))
    assert (str(row["trigger_uid"]), row["event_id"]) == (trigger, "1.7421.3")
    assert row["cause"]["event_id"] == "1.7421.3"


@pytest.mark.slow
def test_rows_of_a_release_before_are_programs(empty_dsn: str) -> None:
    """One lies there when the columns come; another is written by that release meanwhile."""
    migrate(empty_dsn, until=49)
    insert = (
        "insert into soulbox.executions (uid, created_at, cluster, tenant, namespace, name, state,"
        " resource_version) values (%s, %s, %s, 'a', 'a', 'run', 'queued', 1)"
    )
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("select soulbox.ensure_partition('executions', %s)", (CREATED,))
        connection.execute(insert, (new_uid(), CREATED, new_uid()))
        migrate(empty_dsn)
        connection.execute(insert, (new_uid(), CREATED, new_uid()))
        later = datetime(2027, 5, 1, tzinfo=UTC)
        connection.execute("select soulbox.ensure_partition('executions', %s)", (later,))
        connection.execute(insert, (new_uid(), later, new_uid()))
        rows = connection.execute("select kind, input from soulbox.executions").fetchall()
        assert rows == [("program", None)] * 3
        with pytest.raises(psycopg.errors.CheckViolation, match="executions_kind_known"):
            connection.execute("update soulbox.executions set kind = 'odd'")
