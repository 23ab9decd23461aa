"""Objects become rows: the whole way from offer() to a committed row."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg

from soulbox.kinds.registry import ENTRIES
from soulbox.mirror import Mirror, RowContext
from soulbox.mirror.fence import Fence
from soulbox.mirror.items import ItemBuilder
from soulbox.mirror.pending import Sighting
from soulbox.mirror.tracker import Tracker
from soulbox.mirror.writer import BatchResult, BatchWriter
from soulbox.model.keys import CODE_SHA256_ANNOTATION, SANDBOX_UID_LABEL
from soulbox.model.states import Kind
from soulbox.store.pool import Store
from tests.support.fix_mirror import (
    CONTEXT,
    FAST,
    MakeMirror,
    Recorded,
    drained,
    running,
    until,
)
from tests.support.make_mirrored import (
    make_execution,
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    newer,
)


async def test_offered_objects_become_rows(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, make_running_sandbox())
        mirror.offer(Kind.EXECUTION, make_finished_execution())
        await drained(mirror)
    row = sql_connection.execute(
        "select state, user_name, tenant, runtime_seconds, spec from soulbox.sandboxes"
    ).fetchone()
    assert row is not None
    assert row[:4] == ("running", "ada", "tenant-team-a", Decimal(61))
    assert row[4]["env"] == [{"name": "TOKEN"}]
    found = sql_connection.execute(
        "select state, stdout, exit_code, duration_ms, code, output_complete, billing"
        " from soulbox.v_executions"
    ).fetchone()
    assert found is not None
    assert found[:6] == ("completed", "42\n", 0, 250, "print(42)", True)
    assert found[6]["cost_usd"] == "0.0000012500"


async def test_finished_pod_is_billed_by_the_hour(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, recorded: Recorded
) -> None:
    pod = make_pod(started="2026-11-22T10:30:00Z", cpu="500m", memory="512Mi")
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await drained(mirror)
        assert not mirror.is_recorded(pod["metadata"]["uid"])
        ended = make_pod(
            uid=pod["metadata"]["uid"],
            started="2026-11-22T10:30:00Z",
            finished="2026-11-22T12:00:10Z",
            cpu="500m",
            memory="512Mi",
        )
        mirror.offer(Kind.POD, newer(ended))
        await recorded.wait_for(Kind.POD, pod["metadata"]["uid"])
        assert mirror.is_recorded(pod["metadata"]["uid"])
    rows = sql_connection.execute(
        "select kind, quantity, unit, compute_units, amount, price_plan"
        " from soulbox.billing_events order by starts_at"
    ).fetchall()
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        ("sandbox_runtime", Decimal(1800), Decimal(900), Decimal("0.018")),
        ("sandbox_runtime", Decimal(3600), Decimal(1800), Decimal("0.036")),
        ("sandbox_runtime", Decimal(10), Decimal(5), Decimal("0.0001")),
    ]
    assert {row[2] for row in rows} == {"seconds"}
    assert {row[5] for row in rows} == {"default-free-1"}


async def test_version_offered_while_the_last_is_committed_decides(
    make_mirror: MakeMirror,
    sql_connection: psycopg.Connection,
    dsn: str,
    recorded: Recorded,
) -> None:
    deleting = make_running_sandbox(metadata={"deletionTimestamp": "2026-11-22T11:00:00Z"})
    uid = deleting["metadata"]["uid"]
    async with running(make_mirror()) as mirror:
        with psycopg.connect(dsn) as blocker:
            blocker.execute("LOCK TABLE soulbox.sandboxes IN EXCLUSIVE MODE")
            mirror.offer(Kind.SANDBOX, deleting)
            await until(lambda: mirror.statistics().pending == 0)
            last = {"state": "Terminated", "message": "the last word"}
            mirror.offer(Kind.SANDBOX, newer(deleting, status=last))
            blocker.rollback()
        await recorded.wait_for(Kind.SANDBOX, uid)
    assert recorded == [(Kind.SANDBOX, uid)]
    rows = sql_connection.execute("select message from soulbox.sandboxes").fetchall()
    assert rows == [("the last word",)]


async def test_defect_at_one_object_holds_no_other_up_and_loses_nothing(
    store: Store, recorded: Recorded, sql_connection: psycopg.Connection
) -> None:
    def tenant_of(namespace: str) -> str:
        if namespace == "odd":
            raise RuntimeError("a defect")
        return namespace

    context = RowContext(cluster_uid=CONTEXT.cluster_uid, tenant_of=tenant_of)
    mirror = Mirror(store, ItemBuilder(ENTRIES, context), on_recorded=recorded.add, settings=FAST)
    odd = make_running_sandbox(metadata={"namespace": "odd"})
    async with running(mirror):
        mirror.offer(Kind.SANDBOX, odd)
        mirror.offer(Kind.SANDBOX, make_running_sandbox())
        await drained(mirror)
        assert mirror.statistics().healthy
    rows = sql_connection.execute("select tenant from soulbox.sandboxes").fetchall()
    assert rows == [("team-a",)]
    letters = sql_connection.execute("select error, payload from soulbox.dead_letter").fetchall()
    assert letters == [("malformed (RuntimeError)", odd)]


def make_writer(store: Store, *, known_programs: int = 10) -> BatchWriter:
    fence = Fence(store, CONTEXT.cluster_uid, None)
    builder = ItemBuilder(ENTRIES, CONTEXT)
    return BatchWriter(store, builder, fence, Tracker(ENTRIES), known_programs=known_programs)


def sighting_of(manifest: dict[str, Any]) -> Sighting:
    return Sighting(
        kind=Kind.EXECUTION,
        uid=manifest["metadata"]["uid"],
        manifest=manifest,
        version=int(manifest["metadata"]["resourceVersion"]),
        deleted=False,
        seen_at=datetime(2026, 11, 22, tzinfo=UTC),
        waiting_since=0.0,
    )


async def test_known_programs_are_not_sent_again(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    """Two are remembered; the third is sent again, which changes nothing."""
    writer = make_writer(store, known_programs=2)
    written: list[int] = []
    for code in ("a", "b", "a", "c", "b", "a"):
        result = BatchResult()
        await writer.write([sighting_of(make_finished_execution(spec={"code": code}))], result)
        written.append(result.rows_written)
    assert written == [2, 2, 1, 2, 1, 1]
    assert sql_connection.execute("select count(*) from soulbox.programs").fetchone() == (3,)


async def test_rows_made_ahead_give_way_to_what_came_meanwhile(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    """Rows of what comes next are made while a batch is written; a newer version that is
    offered until then is what is written, with its program if it brings another."""
    writer = make_writer(store)
    first = [sighting_of(make_finished_execution(spec={"code": "same"})) for _ in range(50)]
    waiting = [make_finished_execution(spec={"code": "same"}) for _ in range(50)]
    upcoming = [sighting_of(manifest) for manifest in waiting]
    await writer.write(first, BatchResult(), upcoming=upcoming)
    changed = newer(waiting[0], spec={"code": "other"}, status={"message": "newer"})
    await writer.write([sighting_of(changed), *upcoming[1:]], BatchResult())
    rows = sql_connection.execute(
        "select message, code, count(*) from soulbox.v_executions group by 1, 2 order by 3"
    ).fetchall()
    assert rows == [("newer", "other", 1), ("Exit code 0.", "same", 99)]


async def test_size_of_each_committed_batch_is_told(make_mirror: MakeMirror) -> None:
    mirror = make_mirror()
    sizes: list[int] = []
    mirror.count_batches(sizes.append)
    for _ in range(3):
        mirror.offer(Kind.SANDBOX, make_running_sandbox())
    async with running(mirror):
        await drained(mirror)
    assert sizes == [3]


async def test_overflow_without_anybody_to_tell_is_shown(make_mirror: MakeMirror) -> None:
    mirror = make_mirror(max_pending=1)
    mirror.offer(Kind.SANDBOX, make_running_sandbox())
    mirror.offer(Kind.SANDBOX, make_running_sandbox())
    async with running(mirror):
        await drained(mirror)
        assert mirror.statistics().relist_needed


async def test_old_changes_are_removed_and_young_ones_stay(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """More than one portion of old ones."""
    sql_connection.execute(
        "insert into soulbox.changes (epoch, cluster, tenant, kind, uid, op, at, payload)"
        " select 1, gen_random_uuid(), 't', 'sandbox', gen_random_uuid(), 'insert',"
        "        now() - make_interval(days => case when n > 25000 then 6 else 8 end), '{}'"
        "   from generate_series(1, 25100) n"
    )
    async with running(make_mirror()):

        def left() -> bool:
            row = sql_connection.execute("select count(*) from soulbox.changes").fetchone()
            return row == (100,)

        await until(left)


async def test_terms_of_a_run_are_columns_and_its_label_is_no_class(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    label = {"metadata": {"labels": {"soulbox.dev/class": "gold"}}}
    waiting = make_execution(**label)
    uid, metadata = waiting["metadata"]["uid"], waiting["metadata"]
    ended = make_finished_execution(
        metadata={"uid": uid, "labels": metadata["labels"]}, spec={"language": None}
    )
    query = (
        "select class_name, language, timeout_seconds, output_limit_bytes from soulbox.{}()"
        " where uid = %s"
    )
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, waiting)
        await drained(mirror)
        told = sql_connection.execute(query.format("executions").encode(), [uid]).fetchone()
        assert told == (None, "python", None, None)
        mirror.offer(Kind.EXECUTION, newer(ended))
        await drained(mirror)
    for relation in ("executions", "v_executions"):
        told = sql_connection.execute(query.format(relation).encode(), [uid]).fetchone()
        assert told == ("python", "python", 300, 10 * 2**20), relation


async def test_where_and_what_an_execution_ran_is_fixed_once_it_has_ended(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """Both come from names on the object, which a person may have rewritten (C23)."""
    before = make_finished_execution()
    spec = {**before["spec"], "codeFrom": {"configMapKeyRef": {"name": "c", "key": "main"}}}
    del spec["code"]
    first, second = "aa" * 32, "bb" * 32
    metadata = before["metadata"]
    ran = {
        **before,
        "spec": spec,
        "metadata": {
            **metadata,
            "annotations": {CODE_SHA256_ANNOTATION: first},
            "labels": {SANDBOX_UID_LABEL: "5a0d60c5-0000-4000-8000-0000000000b1"},
        },
    }
    edited = newer(
        ran,
        metadata={
            "annotations": {CODE_SHA256_ANNOTATION: second},
            "labels": {SANDBOX_UID_LABEL: "5a0d60c5-0000-4000-8000-0000000000b2"},
        },
    )
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.EXECUTION, ran)
        await drained(mirror)
        mirror.offer(Kind.EXECUTION, edited)
        await drained(mirror)
    row = sql_connection.execute(
        "select code_sha256, sandbox_uid::text, resource_version from soulbox.executions"
    ).fetchone()
    assert row is not None
    assert row[:2] == (first, "5a0d60c5-0000-4000-8000-0000000000b1")
    assert str(row[2]) == edited["metadata"]["resourceVersion"], "the newer version is written"
