"""Functions and their versions: which can be called, and what stays of those that cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from soulbox.kinds.registry import ENTRIES
from soulbox.mirror import Mirror
from soulbox.mirror.entry import Built, Look, MirrorEntry
from soulbox.mirror.items import ItemBuilder
from soulbox.model.rows import FunctionRow, FunctionVersionRow
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext
from soulbox.store.objects import PartStore
from soulbox.store.pool import Store
from soulbox.store.state import Epochs
from tests.support.fix_mirror import CONTEXT, FAST, drained, running
from tests.support.make_mirrored import make_sandbox, newer
from tests.support.tools import REGISTERED, add_function, add_version

EPOCHS = Epochs(leader_epoch=1, mirror_epoch=1, database_epoch=1)


def placed(connection: psycopg.Connection, function: UUID) -> dict[str, str]:
    """What each version of a Function is."""
    rows = connection.execute(
        "select version, case when is_current then 'current' when withdrawn_at is null"
        " then 'callable' else 'withdrawn' end from soulbox.function_versions"
        " where function_uid = %s",
        (function,),
    ).fetchall()
    return dict(rows)


@pytest.mark.parametrize("first", ["versions", "function"])
def test_function_says_which_versions_can_be_called_in_whichever_order_rows_come(
    sql_connection: psycopg.Connection, first: str
) -> None:
    uid = uuid4()

    def add_versions() -> None:
        for version in ("1", "2", "3"):
            add_version(sql_connection, uid, version=version)

    if first == "versions":
        add_versions()
    add_function(sql_connection, uid=uid, version="3", versions=["2", "3"])
    if first == "function":
        add_versions()
    assert placed(sql_connection, uid) == {"1": "withdrawn", "2": "callable", "3": "current"}


def test_rollback_withdrawal_and_deletion(sql_connection: psycopg.Connection) -> None:
    uid = add_function(sql_connection, version="2", versions=["1", "2"])
    for version in ("1", "2"):
        add_version(sql_connection, uid, version=version)

    def change(**columns: Any) -> dict[str, str]:
        sets = ", ".join(f"{name} = %({name})s" for name in columns)
        sql_connection.execute(
            f"update soulbox.functions set {sets} where uid = %(uid)s".encode(),
            columns | {"uid": uid},
        )
        return placed(sql_connection, uid)

    assert change(version="1") == {"1": "current", "2": "callable"}
    assert change(versions=["1"]) == {"1": "current", "2": "withdrawn"}
    row = sql_connection.execute(
        "select withdrawn_at from soulbox.function_versions where version = '2'"
    ).fetchone()
    gone_at = datetime(2100, 1, 1, tzinfo=UTC)
    assert change(deleted_at=gone_at) == {"1": "withdrawn", "2": "withdrawn"}
    rows = sql_connection.execute(
        "select withdrawn_at from soulbox.function_versions order by version"
    ).fetchall()
    assert rows == [(gone_at,), row], "what was withdrawn before was so then"
    # A list that was older than the object: it is there after all.
    assert change(deleted_at=None, versions=["1", "2"]) == {"1": "current", "2": "callable"}
    # The current one is callable also where the list lacks it, and none is where there is none.
    assert change(versions=[]) == {"1": "current", "2": "withdrawn"}
    assert change(version=None, versions=["2"]) == {"1": "withdrawn", "2": "callable"}


def test_function_made_again_may_publish_the_same_tool(sql_connection: psycopg.Connection) -> None:
    old = add_function(sql_connection)
    add_version(sql_connection, old)
    # Nobody has seen yet that the old one is gone: no row is refused for that.
    new = add_function(sql_connection)
    add_version(sql_connection, new)
    sql_connection.execute("update soulbox.functions set deleted_at = now() where uid = %s", (old,))
    assert placed(sql_connection, old) == {"1.0.0": "withdrawn"}
    assert placed(sql_connection, new) == {"1.0.0": "current"}


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("tool_id", "resize@1", "function_versions_tool_id_form"),
        ("tool_id", "tool:acme/resize", "function_versions_tool_id_form"),
        ("code_sha256", "odd", "function_versions_sha256_hex"),
    ],
)
def test_malformed_version_is_refused(
    sql_connection: psycopg.Connection, column: str, value: str, constraint: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=constraint):
        add_version(sql_connection, uuid4(), **{column: value})


def build(manifest: Mapping[str, Any], context: RowContext, look: Look) -> Built:
    """As a kind's builder will: here of a Sandbox, whose labels are the versions."""
    metadata = manifest["metadata"]
    versions = tuple(metadata["labels"])
    function = FunctionRow(
        uid=UUID(metadata["uid"]),
        cluster=context.cluster,
        tenant=context.tenant_of("team-a"),
        namespace="team-a",
        name="resize",
        version=versions[-1],
        versions=versions,
        state="ready",
        reason="Published",
        message=None,
        suspended=False,
        created_at=REGISTERED,
        labels={},
        spec={},
        resource_version=int(metadata["resourceVersion"]),
        cleaned=False,
        deleted_at=look.gone_at,
    )
    return Built(row=function, parts=(version_of(function, versions[-1]),))


def version_of(function: FunctionRow, version: str, **changes: Any) -> FunctionVersionRow:
    row = FunctionVersionRow(
        function_uid=function.uid,
        version=version,
        cluster=function.cluster,
        tenant=function.tenant,
        namespace=function.namespace,
        name=function.name,
        tool_id=f"tool:team-a/resize@{version}",
        revision=f"resize-{version}",
        content_sha256="a" * 64,
        code_sha256="b" * 64,
        input_schema=True,
        output_schema=None,
        execution_config={"timeout_seconds": 30},
        tags=("image", "cpu"),
        category="media",
        tool_type="code",
        title=None,
        description="Resizes",
        published_by="ada",
        registered_at=REGISTERED,
        deprecated=None,
        resource_version=function.resource_version,
        cleaned=False,
    )
    return replace(row, **changes)


async def test_mirror_writes_a_function_with_its_current_version(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    """By an entry in the place of the Sandboxes', until there is the kind."""
    entry = MirrorEntry(
        kind=Kind.SANDBOX, row_type=FunctionRow, build=build, is_final=lambda _, gone: gone
    )
    entries = [entry if one.kind is Kind.SANDBOX else one for one in ENTRIES]
    first = make_sandbox(metadata={"labels": {"1": ""}})
    uid = UUID(first["metadata"]["uid"])
    second = newer(first, metadata={"labels": {"1": "", "2": ""}})
    mirror = Mirror(
        store, ItemBuilder(entries, CONTEXT), on_recorded=lambda *_: None, settings=FAST
    )
    async with running(mirror):
        mirror.offer(Kind.SANDBOX, first)
        await drained(mirror)
        assert placed(sql_connection, uid) == {"1": "current"}
        mirror.offer(Kind.SANDBOX, second)
        await drained(mirror)
        assert placed(sql_connection, uid) == {"1": "callable", "2": "current"}
        mirror.offer(Kind.SANDBOX, newer(second), deleted=True)
        await drained(mirror)
        assert placed(sql_connection, uid) == {"1": "withdrawn", "2": "withdrawn"}
        assert mirror.statistics().dead_letters == 0


async def test_versions_that_nobody_saw_as_current_are_added_from_what_holds_them(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    manifest = make_sandbox(metadata={"labels": {"1": "", "2": "", "3": ""}})
    function = build(manifest, CONTEXT, Look(seen_at=REGISTERED)).row
    assert isinstance(function, FunctionRow)
    shown = version_of(function, "3", deprecated="use 4")
    add_function(sql_connection, uid=function.uid, version="3", versions=["2", "3"])
    async with store.transaction() as tx:
        parts = PartStore(tx, FunctionVersionRow)
        await parts.upsert([shown], EPOCHS)
    held = [version_of(function, version) for version in ("1", "2", "3")]
    async with store.transaction() as tx:
        parts = PartStore(tx, FunctionVersionRow)
        assert await parts.add(held, EPOCHS) == 2
        assert await parts.of([function.uid]) == [*held[:2], shown]
    assert placed(sql_connection, function.uid) == {
        "1": "withdrawn",
        "2": "callable",
        "3": "current",
    }
