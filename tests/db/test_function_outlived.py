"""A Function that is deleted leaves its calls, what they cost, and its versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from soulbox.model.retention import RetentionPolicy
from soulbox.model.states import Kind
from soulbox.store.pool import Store
from soulbox.store.retention import retain
from soulbox.store.tool_registry import ToolRegistry
from tests.support.builders import make_function
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import make_finished_execution, make_pod, new_uid
from tests.support.reconciling import NAMESPACE, uid_of, working

NOW = datetime.now(UTC).replace(microsecond=0)


def of_function(connection: psycopg.Connection, uid: str) -> dict[str, list[Any]]:
    """Every row that a bill of its calls is proved from."""
    queries = {
        "versions": "select version, tool_id, code_sha256 from soulbox.function_versions"
        " where function_uid = %(uid)s order by version",
        "calls": "select uid, state, function_version, duration_ms, billing, input, result"
        " from soulbox.executions where function_uid = %(uid)s order by uid",
        "pods": "select p.pod_uid, p.started_at, p.finished_at from soulbox.pod_runs p"
        " join soulbox.executions e on e.uid = p.execution_uid"
        " where e.function_uid = %(uid)s order by 1",
        "ledger": "select b.event_id, b.quantity, b.amount from soulbox.billing_events b"
        " join soulbox.executions e on e.uid = b.execution_uid"
        " where e.function_uid = %(uid)s order by 1",
        "sums": "select * from soulbox.call_sums where function_uid = %(uid)s order by day",
    }
    return {
        name: connection.execute(query.encode(), {"uid": uid}).fetchall()
        for name, query in queries.items()
    }


async def test_calls_bills_and_versions_outlive_their_function(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection, tmp_path: Path
) -> None:
    async def figures() -> list[dict[str, Any]]:
        async with store.transaction() as tx:
            return await ToolRegistry(tx).stats(30, "version")

    tool = {"title": "Resize", "category": "media"}
    async with working(tmp_path) as bench, running(make_mirror()) as mirror:
        bench.add_class()
        manifest = make_function("resize", NAMESPACE, description="Resizes", tool=tool)
        uid = uid_of(bench.api.add("functions", manifest))
        await bench.settle()
        function = bench.cache.get(Kind.FUNCTION, uid)
        assert function is not None
        mirror.offer(Kind.FUNCTION, function)
        for index in range(3):
            call = new_uid()
            at = NOW - timedelta(minutes=10 + index)
            mirror.offer(
                Kind.EXECUTION,
                make_finished_execution(
                    metadata={
                        "uid": call,
                        "namespace": NAMESPACE,
                        "creationTimestamp": at.isoformat(),
                        "labels": {"soulbox.dev/function-uid": uid},
                    },
                    spec={"functionRef": {"name": "resize", "version": "1"}},
                    status={"billing": {"costUsd": "0.25"}},
                ),
            )
            mirror.offer(
                Kind.POD,
                make_pod(
                    uid=new_uid(),
                    name=f"pod-{index}",
                    execution_uid=call,
                    started=f"{at:%FT%TZ}",
                    finished=f"{at + timedelta(seconds=9):%FT%TZ}",
                ),
            )
        await drained(mirror)
        assert mirror.statistics().dead_letters == 0
        before, told = of_function(sql_connection, uid), await figures()
        assert {name: len(rows) > 0 for name, rows in before.items()} == dict.fromkeys(before, True)
        assert len(before["calls"]) == len(before["pods"]) == 3
        assert [(row["runs"], row["cost_usd"]) for row in told] == [(3, Decimal("0.75"))]

        mirror.offer(Kind.FUNCTION, function, deleted=True)
        await drained(mirror)
        assert await retain(store, RetentionPolicy()) == []
        # A namesake is made: figures of the old one are still its own, under the shared name.
        namesake = {**function, "metadata": {**function["metadata"], "uid": new_uid()}}
        mirror.offer(Kind.FUNCTION, namesake)
        await drained(mirror)
    (gone,) = sql_connection.execute(
        "select deleted_at is not null from soulbox.functions where uid = %s", (uid,)
    ).fetchall()
    assert gone == (True,)
    assert of_function(sql_connection, uid) == before
    assert await figures() == told
    (withdrawn,) = sql_connection.execute(
        "select withdrawn_at is not null from soulbox.function_versions where function_uid = %s",
        (uid,),
    ).fetchall()
    assert withdrawn == (True,)
