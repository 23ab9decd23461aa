"""Rows of Functions and their versions as the operator's own parts make them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from soulbox.kinds.function.history import VersionHistory
from soulbox.model.states import Kind
from tests.support.builders import make_function
from tests.support.fix_mirror import CONTEXT, MakeMirror, drained, running, until
from tests.support.reconciling import NAMESPACE, Bench, uid_of, working

SCHEMA = {"type": "object", "properties": {"someField": {"default": None, "const": "a\x00b"}}}
SECRET = [{"name": "A", "value": "s3cret"}]


async def published(bench: Bench) -> str:
    """A Function of three versions, of which the second is current; its uid."""
    bench.add_class()
    uid = uid_of(
        bench.api.add(
            "functions",
            make_function(
                "resize",
                NAMESPACE,
                description="Resizes images",
                tool={"tags": ["image", "cpu"], "category": "media", "type": "code"},
                env=SECRET,
                files=[{"path": "a.txt", "content": "s3cret"}],
                ttlSecondsAfterFinished=60,
            ),
        )
    )
    await bench.settle()
    for code in ("print(2)", "print(3)", "print(2)"):
        bench.api.edit("functions", NAMESPACE, "resize", {"spec": {"code": code}})
        await bench.settle()
    return uid


def versions(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select version, case when is_current then 'current' when withdrawn_at is null"
        " then 'callable' else 'withdrawn' end from soulbox.function_versions order by version"
    ).fetchall()


async def test_versions_are_complete_after_a_repair_whatever_was_lost(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, tmp_path: Path
) -> None:
    async with working(tmp_path) as bench:
        uid = await published(bench)
        manifest = bench.cache.get(Kind.FUNCTION, uid)
        assert manifest is not None
        mirror = make_mirror()
        history = VersionHistory(bench.kube, bench.cache, mirror, CONTEXT)
        async with running(mirror):
            mirror.offer(Kind.FUNCTION, manifest)
            await drained(mirror)
            assert versions(sql_connection) == [("2", "current")]
            # The others were current for a moment only, in which nobody wrote.
            await history.complete()
            whole = [("1", "callable"), ("2", "current"), ("3", "callable")]
            assert versions(sql_connection) == whole
            reads = len(bench.api.reads)
            await history.complete()
            assert len(bench.api.reads) == reads, "what has its row is not read again"

            before = sql_connection.execute(
                "select version, tool_id, revision, content_sha256, code_sha256, execution_config,"
                " tags, registered_at from soulbox.function_versions order by version"
            ).fetchall()
            sql_connection.execute("truncate soulbox.function_versions")
            await history.complete()
            assert versions(sql_connection) == whole
            after = sql_connection.execute(
                "select version, tool_id, revision, content_sha256, code_sha256, execution_config,"
                " tags, registered_at from soulbox.function_versions order by version"
            ).fetchall()
            assert after == before
            assert mirror.statistics().dead_letters == 0


async def test_versions_published_within_one_batch_have_their_rows_without_a_repair(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, tmp_path: Path
) -> None:
    async with working(tmp_path) as bench:
        uid = await published(bench)
        manifest = bench.cache.get(Kind.FUNCTION, uid)
        assert manifest is not None
        mirror = make_mirror()
        history = VersionHistory(bench.kube, bench.cache, mirror, CONTEXT)
        follows = asyncio.create_task(history.run(settle_seconds=0))
        async with running(mirror):
            # All the mirror is told of is the newest: the one before was replaced as it waited.
            mirror.offer(Kind.FUNCTION, manifest)
            await drained(mirror)
            history.notice(Kind.FUNCTION, manifest)
            whole = [("1", "callable"), ("2", "current"), ("3", "callable")]
            await until(lambda: versions(sql_connection) == whole)
            second = await published_other(bench)
            reads = len(bench.api.reads)
            history.notice(Kind.FUNCTION, manifest)
            history.notice(Kind.SANDBOX, manifest)
            # What comes next is looked at, so what came before was.
            history.notice(Kind.FUNCTION, second)
            await until(lambda: len(versions(sql_connection)) == 4)
            assert len(bench.api.reads) == reads + 1, "only what has no row is read"
        follows.cancel()
        with suppress(asyncio.CancelledError):
            await follows


async def published_other(bench: Bench) -> Mapping[str, Any]:
    """Another Function of one version."""
    uid = uid_of(bench.api.add("functions", make_function("other", NAMESPACE)))
    await bench.settle()
    manifest = bench.cache.get(Kind.FUNCTION, uid)
    assert manifest is not None
    return manifest


async def test_rows_hold_neither_code_nor_values_and_schemas_as_they_are_written(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection, tmp_path: Path
) -> None:
    async with working(tmp_path) as bench:
        uid = await published(bench)
        manifest = bench.cache.get(Kind.FUNCTION, uid)
        assert manifest is not None
        spec = {**manifest["spec"], "inputSchema": SCHEMA}
        mirror = make_mirror()
        async with running(mirror):
            mirror.offer(Kind.FUNCTION, {**manifest, "spec": spec})
            await drained(mirror)
    function = sql_connection.execute(
        "select version, versions, state, reason, suspended, cleaned, spec from soulbox.functions"
    ).fetchone()
    assert function is not None
    assert function[:6] == ("2", ["3", "2", "1"], "ready", "Published", False, True)
    row = sql_connection.execute(
        "select function_uid, tool_id, execution_config, tags, category, tool_type, description,"
        " input_schema, published_by from soulbox.function_versions"
    ).fetchone()
    assert row is not None
    assert row[:2] == (UUID(uid), f"tool:{NAMESPACE}/resize@2")
    config = row[2]
    assert (config["handler"], config["class_name"]) == ("main", "python")
    assert config["env"] == [{"name": "A"}]
    assert config["files"] == [{"path": "a.txt"}]
    assert config["ttl_seconds_after_finished"] == 60
    assert row[3:7] == (["image", "cpu"], "media", "code", "Resizes images")
    assert row[7]["properties"]["someField"] == {"default": None, "const": "a\ufffdb"}
    assert row[8] is None
    changes = sql_connection.execute(
        "select kind, op, user_name, sandbox_uid, payload->>'state' from soulbox.changes"
    ).fetchall()
    assert changes == [("function", "insert", "", None, "ready")]
    for table in ("functions", "function_versions", "changes"):
        text = sql_connection.execute(f"select t::text from soulbox.{table} t".encode()).fetchall()
        assert "s3cret" not in str(text)
        assert "print(" not in str(text)
