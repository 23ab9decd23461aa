"""Deleted objects past their deadline while PostgreSQL is away: spooled, or told about."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from soulbox.app.held import HeldObjects
from soulbox.kinds.objects import Objects
from soulbox.kinds.registry import ENTRIES
from soulbox.kube.events import Note
from soulbox.mirror import Mirror, MirrorSettings, RowContext, Spool
from soulbox.mirror.items import ItemBuilder
from soulbox.model.states import Kind
from soulbox.schema.settings import Settings
from soulbox.store.pool import open_store
from tests.support.fix_mirror import until
from tests.support.make_mirrored import (
    CLUSTER_UID,
    make_finished_execution,
    make_pod,
    make_running_sandbox,
    merge,
)

pytestmark = pytest.mark.usefixtures("logged")

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FINALIZER = {"finalizers": ["soulbox.dev/recorded"]}
LATE = {"metadata": {"deletionTimestamp": "2026-11-22T11:40:00Z", **FINALIZER}}
FRESH = {"metadata": {"deletionTimestamp": "2026-11-22T11:59:00Z", **FINALIZER}}
OVER = {"started": "2026-11-22T10:30:00Z", "finished": "2026-11-22T11:30:00Z"}


@dataclass
class Told:
    """Events that would be posted."""

    notes: list[tuple[Kind, Note]] = field(default_factory=list)

    def post(self, manifest: Mapping[str, Any], kind: Kind, event: Note) -> None:
        self.notes.append((kind, event))


@dataclass
class Bench:
    """A mirror whose PostgreSQL is at no address, and what looks after its objects."""

    mirror: Mirror
    cache: Objects
    told: Told
    held: HeldObjects
    recorded: list[tuple[Kind, str]]

    def see(self, kind: Kind, manifest: dict[str, Any]) -> str:
        self.cache.put(kind, manifest)
        self.mirror.offer(kind, manifest)
        return str(manifest["metadata"]["uid"])


@asynccontextmanager
async def bench(directory: Path | None) -> AsyncIterator[Bench]:
    """PostgreSQL has been away longer than an outage is waited out."""
    store = await open_store("postgresql://u@127.0.0.1:1/d", connect_timeout_seconds=0.2)
    recorded: list[tuple[Kind, str]] = []
    mirror = Mirror(
        store,
        ItemBuilder(
            ENTRIES, RowContext(cluster_uid=CLUSTER_UID, tenant_of=lambda namespace: namespace)
        ),
        on_recorded=lambda kind, uid: recorded.append((kind, uid)),
        settings=MirrorSettings(linger_seconds=0.01, backoff_max_seconds=0.1),
        clock=lambda: NOW,
    )
    if directory is not None:
        spool = Spool(directory, CLUSTER_UID)
        spool.open()
        mirror.spooler.use(spool)
    cache, told = Objects(), Told()
    settings = Settings(dsn=SecretStr("postgresql:///x"))
    held = HeldObjects(mirror, cache, told, settings)  # type: ignore[arg-type]
    task = asyncio.create_task(mirror.run())
    await until(lambda: mirror.failing_seconds() > 0)
    mirror._loop.failing_since = asyncio.get_running_loop().time() - 61
    try:
        yield Bench(mirror, cache, told, held, recorded)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await store.close()


async def test_late_objects_go_to_the_volume_and_no_others(tmp_path: Path) -> None:
    async with bench(tmp_path) as one:
        late = [
            (Kind.POD, one.see(Kind.POD, merge(make_pod(**OVER), LATE))),
            (Kind.SANDBOX, one.see(Kind.SANDBOX, merge(make_running_sandbox(), LATE))),
            (Kind.EXECUTION, one.see(Kind.EXECUTION, merge(make_finished_execution(), LATE))),
        ]
        one.see(Kind.SANDBOX, merge(make_running_sandbox(), FRESH))
        one.see(Kind.SANDBOX, make_running_sandbox())
        one.see(Kind.POD, merge(make_pod(started=OVER["started"]), LATE))  # it still runs
        foreign = merge(make_running_sandbox(), LATE)
        foreign["metadata"]["finalizers"] = ["another.dev/one"]
        one.see(Kind.SANDBOX, foreign)
        one.mirror.offer(Kind.SANDBOX, merge(make_running_sandbox(), LATE))  # gone from the cache
        await one.held.look()
        await one.held.look()
        assert one.recorded == late
        assert one.held.count == 0
        assert one.told.notes == []
        assert one.mirror.spooler.statistics().objects == 3


async def test_without_a_volume_they_stay_and_their_owners_are_told() -> None:
    async with bench(None) as one:
        one.see(Kind.EXECUTION, merge(make_finished_execution(), LATE))
        await one.held.look()
        assert (one.held.count, one.recorded) == (1, [])
        ((kind, note),) = one.told.notes
        assert (kind, note.type, note.reason) == (Kind.EXECUTION, "Warning", "RecordHeld")
        assert "spool_directory" in note.message
        assert "soulbox doctor" in note.message


async def test_volume_that_cannot_be_written_is_named_and_they_stay(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir()
    async with bench(directory) as one:
        directory.rmdir()
        one.see(Kind.EXECUTION, merge(make_finished_execution(), LATE))
        await one.held.look()
        assert (one.held.count, one.recorded) == (1, [])
        ((_, note),) = one.told.notes
        assert f"the spool volume {directory} cannot be used: No such file" in note.message
        directory.mkdir()
        await one.held.look()
        assert (one.held.count, len(one.recorded)) == (0, 1)


async def test_short_outage_is_waited_out(tmp_path: Path) -> None:
    async with bench(tmp_path) as one:
        one.see(Kind.EXECUTION, merge(make_finished_execution(), LATE))
        one.held.count = 5  # of an outage before
        one.mirror._loop.failing_since = asyncio.get_running_loop().time() - 59
        await one.held.look()
        assert (one.held.count, one.recorded) == (0, [])


async def test_it_looks_by_itself_and_tries_the_volume_before_it_is_needed(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir()
    async with bench(directory) as one:
        one.see(Kind.EXECUTION, merge(make_finished_execution(), LATE))
        directory.rmdir()
        task = asyncio.create_task(one.held.run())
        await until(lambda: one.held.count > 0)
        task.cancel()
        assert one.mirror.spooler.statistics().failures == 2
