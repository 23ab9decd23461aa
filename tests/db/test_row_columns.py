"""Every column of a mirrored row: what a newer version changes changes, what is to stay stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from soulbox.model.billing import EndSource
from soulbox.model.rows import (
    ExecutionRow,
    FunctionRow,
    FunctionVersionRow,
    PodRunRow,
    SandboxRow,
)
from soulbox.model.tables import Rule, rules_of
from soulbox.store.objects import ObjectStore, PartStore
from soulbox.store.pool import Store
from soulbox.store.staging import column_types
from soulbox.store.state import Epochs, StateStore

EPOCHS = Epochs(leader_epoch=1, mirror_epoch=1, database_epoch=1)
START = datetime(2026, 11, 22, 10, tzinfo=UTC)
# Where not just any value of the type will do: of a first and of a second version.
CHOSEN: dict[str, tuple[Any, Any]] = {
    "state": ("running", "error"),
    "kind": ("function", "program"),
    "end_source": (None, EndSource.LEASE),
    "finished_at": (None, START + timedelta(hours=1)),
    "completed_at": (None, START + timedelta(hours=1)),
    "deleted_at": (None, START + timedelta(hours=2)),
    "output_complete": (False, True),
    "code_sha256": ("a" * 64, "b" * 64),
    "stdout_sha256": ("c" * 64, "d" * 64),
    "stderr_sha256": ("e" * 64, "f" * 64),
    "content_sha256": ("1" * 64, "2" * 64),
}


def value(name: str, column_type: str, version: int) -> Any:
    """Differs from version to version, and from column to column where that is possible."""
    if name in CHOSEN:
        return CHOSEN[name][version]
    number = 10 * sum(name.encode()) + version
    match column_type:
        case "text":
            return f"{name}-{version}"
        case "int8":
            return number
        case "bool":
            return bool(version)
        case "timestamptz":
            return START + timedelta(seconds=number)
        case "numeric":
            return Decimal(number)
        case "uuid":
            return UUID(int=number)
        case "text[]":
            return (name, str(version))
        case "jsonb":
            return {name: version}
    raise AssertionError(column_type)


def versions(row_type: type[Any]) -> tuple[Any, Any]:
    """Two versions of an object that differ in every column but its key."""
    types, key = column_types(row_type), row_type.TABLE.key
    first = row_type(**{name: value(name, kind, 0) for name, kind in types.items()})
    if row_type is ExecutionRow:
        first = replace(first, state="running", created_at=START)
    if row_type is FunctionRow:
        first = replace(first, state="ready")
    changed = {name: value(name, kind, 1) for name, kind in types.items() if name not in key}
    if row_type is ExecutionRow:
        changed["state"] = "failed"
    first = replace(first, **{row_type.TABLE.uid: uuid4()})
    return first, replace(first, **changed)


@pytest.mark.parametrize("row_type", [SandboxRow, ExecutionRow, PodRunRow, FunctionRow])
async def test_newer_version_changes_every_column_but_those_that_stay(
    store: Store, row_type: type[Any]
) -> None:
    first, second = versions(row_type)
    rules, uid = rules_of(row_type), getattr(first, row_type.TABLE.uid)
    differing = [name for name in rules if getattr(first, name) != getattr(second, name)]
    assert set(rules) - set(differing) == set(row_type.TABLE.key)
    want = replace(
        second,
        **{name: getattr(first, name) for name, rule in rules.items() if rule is Rule.FIRST},
    )
    for written, expected, changed in ((first, first, 1), (second, want, 1), (first, want, 0)):
        async with store.transaction() as tx:
            await StateStore(tx).ensure_partitions([START])
            objects = ObjectStore(tx, row_type)
            assert await objects.upsert([written], EPOCHS) == changed
            assert await objects.by_uid([uid]) == {uid: expected}


async def test_newer_object_changes_every_column_of_its_parts_but_those_that_stay(
    store: Store,
) -> None:
    first, second = versions(FunctionVersionRow)
    first, second = (
        replace(row, function_uid=first.function_uid, tool_id=f"tool:a/b@{row.version}")
        for row in (first, second)
    )
    other = replace(first, version="other")
    rules = rules_of(FunctionVersionRow)
    want = replace(
        second,
        **{name: getattr(first, name) for name, rule in rules.items() if rule is Rule.FIRST},
    )

    async def write(
        rows: list[FunctionVersionRow], changed: int, *found: FunctionVersionRow
    ) -> None:
        async with store.transaction() as tx:
            parts = PartStore(tx, FunctionVersionRow)
            assert await parts.upsert(rows, EPOCHS) == changed
            assert await parts.of([first.function_uid]) == sorted(found, key=lambda x: x.version)

    await write([first, other], 2, first, other)
    await write([second], 1, want, other)
    await write([first, other], 0, want, other)
    async with store.transaction() as tx:
        parts = PartStore(tx, FunctionVersionRow)
        past = replace(second, version="past", resource_version=second.resource_version + 9)
        older = replace(past, resource_version=1)
        assert await parts.add([older, past, replace(past, version=first.version)], EPOCHS) == 1
        assert {row.version: row for row in await parts.of([first.function_uid])} == {
            "past": past,
            "other": other,
            first.version: want,
        }


async def test_where_an_ended_execution_ran_and_what_stays_until_the_next_epoch(
    store: Store,
) -> None:
    first, second = versions(ExecutionRow)
    first = replace(first, completed_at=START)

    async def write(row: ExecutionRow, mirror_epoch: int) -> ExecutionRow:
        async with store.transaction() as tx:
            await StateStore(tx).ensure_partitions([START])
            objects = ObjectStore(tx, ExecutionRow)
            await objects.upsert([row], replace(EPOCHS, mirror_epoch=mirror_epoch))
            return (await objects.by_uid([row.uid]))[row.uid]

    await write(first, 1)
    ended = await write(second, 1)
    assert (ended.sandbox_uid, ended.code_sha256) == (first.sandbox_uid, first.code_sha256)
    assert (ended.completed_at, ended.state) == (second.completed_at, second.state)
    restored = await write(second, 2)
    assert (restored.sandbox_uid, restored.code_sha256) == (second.sandbox_uid, second.code_sha256)


async def test_what_a_newer_version_no_longer_knows_or_has_saved_stays(store: Store) -> None:
    run, _ = versions(PodRunRow)
    execution, _ = versions(ExecutionRow)
    execution = replace(execution, output_complete=True)
    async with store.transaction() as tx:
        await StateStore(tx).ensure_partitions([START])
        await ObjectStore(tx, PodRunRow).upsert([run], EPOCHS)
        await ObjectStore(tx, ExecutionRow).upsert([execution], EPOCHS)
    bump = {"resource_version": run.resource_version + 1}
    later = replace(execution, output_complete=False, **bump)
    async with store.transaction() as tx:
        await ObjectStore(tx, PodRunRow).upsert([replace(run, node=None, **bump)], EPOCHS)
        await ObjectStore(tx, ExecutionRow).upsert([later], EPOCHS)
        assert await ObjectStore(tx, PodRunRow).by_uid([run.pod_uid]) == {
            run.pod_uid: replace(run, **bump)
        }
        found = await ObjectStore(tx, ExecutionRow).by_uid([execution.uid])
        assert found[execution.uid].output_complete
