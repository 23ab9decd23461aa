"""`soulbox watch`: every committed change once, in order, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from soulbox.kinds.registry import ENTRIES
from soulbox.mirror import Mirror
from soulbox.mirror.items import ItemBuilder
from soulbox.model.errors import CursorExpired, InvalidRequest, StoreUnavailable
from soulbox.model.states import Kind
from soulbox.store.live import Change, ChangeFilter, Feed
from soulbox.store.migrate import migrate
from soulbox.store.pool import Store, open_store
from tests.support.fix_mirror import CONTEXT, FAST, MakeMirror, drained, running, until
from tests.support.make_mirrored import (
    make_execution,
    make_finished_execution,
    make_running_sandbox,
    make_sandbox,
    new_uid,
    newer,
)
from tests.support.postgres_server import PostgresServer

WAIT_SECONDS = 60.0


class Watcher:
    """A `soulbox watch -o json` of its own process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, dsn: str, *words: str) -> Watcher:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "soulbox.app.cli",
            "watch",
            "-o",
            "json",
            *words,
            env={**os.environ, "SOULBOX_DSN": dsn},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            if line.endswith(b"\n"):  # the last of a killed one may be cut
                self.lines.append(json.loads(line))
                self._news.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.lines) < count:
                self._news.clear()
                await self._news.wait()

    async def kill(self) -> None:
        """SIGKILL; what it had printed is read to the end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reading


def is_following(dsn: str, least: int = 1) -> bool:
    """Whether so many watchers have their position."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity"
            " where application_name = 'soulbox watch' and query ~ 'pg_snapshot_xmin|changes'"
            " and query !~ 'LISTEN' and state = 'idle'"
        ).fetchone()
    return row is not None and row[0] >= least


def committed(dsn: str) -> list[tuple[str, str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "select uid::text, payload ->> 'resource_version' from soulbox.changes"
            " order by xid8, seq"
        ).fetchall()


def shown(*watchers: Watcher) -> list[tuple[str, str]]:
    return [(line["uid"], str(line["resource_version"])) for one in watchers for line in one.lines]


@pytest.mark.slow
async def test_every_version_once_in_order_with_both_sides_killed(
    own_server: PostgresServer,
) -> None:
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("create database feed")
    dsn = own_server.dsn("feed")
    await asyncio.to_thread(migrate, dsn)
    store = await open_store(dsn)
    mirror = Mirror(
        store, ItemBuilder(ENTRIES, CONTEXT), on_recorded=lambda *_: None, settings=FAST
    )
    boxes = [make_sandbox() for _ in range(4)]
    watchers = [await Watcher.start(dsn)]
    await until(lambda: is_following(dsn))
    offered = 0

    async def write(versions: int) -> None:
        nonlocal offered
        for _ in range(versions):
            index = offered % len(boxes)
            boxes[index] = newer(boxes[index])
            mirror.offer(Kind.SANDBOX, boxes[index])
            offered += 1
            await drained(mirror)

    async with running(mirror):
        await write(10)
        await watchers[-1].wait_for(5)
        # PostgreSQL dies while there are changes on their way, and while others are written.
        writing = asyncio.create_task(write(10))
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        await writing
        await watchers[-1].wait_for(12)
        # The watcher dies; another goes on after the last line that it printed.
        writing = asyncio.create_task(write(10))
        await watchers[-1].kill()
        watchers.append(await Watcher.start(dsn, "--since", watchers[-1].lines[-1]["cursor"]))
        await writing
        # Both at once.
        await watchers[-1].wait_for(3)
        writing = asyncio.create_task(write(10))
        await asyncio.gather(watchers[-1].kill(), asyncio.to_thread(own_server.kill))
        await asyncio.to_thread(own_server.start)
        watchers.append(await Watcher.start(dsn, "--since", watchers[-1].lines[-1]["cursor"]))
        await writing
        want = committed(dsn)
        await watchers[-1].wait_for(len(want) - sum(len(one.lines) for one in watchers[:-1]))
    for one in watchers:
        await one.kill()
    await store.close()
    assert shown(*watchers) == want
    assert len(set(want)) == len(want) > 20


class Follower:
    """A Feed in this process, with what it gave."""

    def __init__(self, feed: Feed) -> None:
        self.changes: list[Change] = []
        self.task = asyncio.create_task(self._run(feed))

    async def _run(self, feed: Feed) -> None:
        async for change in feed.changes():
            self.changes.append(change)


@pytest.fixture
async def follow(dsn: str) -> AsyncIterator[Any]:
    tasks: list[asyncio.Task[None]] = []

    async def start(since: str | None = None, **wanted: Any) -> Follower:
        follower = Follower(Feed(dsn, ChangeFilter(**wanted), since=since))
        tasks.append(follower.task)
        await until(lambda: is_following(dsn) or follower.task.done())
        return follower

    yield start
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


async def test_command_names_sandboxes_as_people_do_and_leaves_samples_out(
    dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    box = make_running_sandbox()
    name = f"{box['metadata']['namespace']}/{box['metadata']['name']}"
    uid = box["metadata"]["uid"]
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, box)
        await drained(mirror)
        watcher = await Watcher.start(dsn, "--sandbox", name)
        sampler = await Watcher.start(dsn, "--sandbox", uid, "--metrics", "--count", "1")
        try:
            await until(lambda: is_following(dsn, 2))
            now = datetime.now(UTC)
            sql_connection.execute(
                "select soulbox.ensure_partition('resource_metrics', %s)", (now,)
            )
            sql_connection.execute(
                "insert into soulbox.resource_metrics"
                " (sandbox_uid, recorded_at, cluster, tenant, memory_bytes)"
                " values (%s, %s, gen_random_uuid(), 'a', 1)",
                (uid, now),
            )
            await sampler.wait_for(1)
            mirror.offer(Kind.EXECUTION, make_finished_execution(sandbox_uid=uid))
            await watcher.wait_for(1)
        finally:
            await watcher.kill()
            await sampler.kill()
    assert [one["kind"] for one in sampler.lines] == ["metric"]
    assert [one["kind"] for one in watcher.lines] == ["execution"]


async def test_filters(follow: Any, make_mirror: MakeMirror) -> None:
    box = make_running_sandbox()
    uid = box["metadata"]["uid"]
    mine = make_finished_execution(sandbox_uid=uid, spec={"user": "ada"})
    other = make_execution(spec={"user": "bob"})
    by_sandbox = await follow(sandbox_uid=UUID(uid))
    by_user = await follow(user_name="bob")
    by_kind = await follow(kind="sandbox")
    everything = await follow()
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, box)
        mirror.offer(Kind.EXECUTION, mine)
        mirror.offer(Kind.EXECUTION, other)
        await until(lambda: len(everything.changes) == 3)
    await until(lambda: len(by_sandbox.changes) == 2 and len(by_user.changes) == 1)
    assert {str(one.uid) for one in by_sandbox.changes} == {uid, mine["metadata"]["uid"]}
    assert [str(one.uid) for one in by_user.changes] == [other["metadata"]["uid"]]
    assert [one.kind for one in by_kind.changes] == ["sandbox"]


async def test_samples_come_too(follow: Any, sql_connection: psycopg.Connection) -> None:
    box = new_uid()
    metrics = await follow(kind="metric", sandbox_uid=UUID(box))
    now = datetime.now(UTC)
    sql_connection.execute("select soulbox.ensure_partition('resource_metrics', %s)", (now,))
    sql_connection.execute(
        "insert into soulbox.resource_metrics"
        " (sandbox_uid, recorded_at, cluster, tenant, memory_bytes)"
        " select %s, %s - make_interval(secs => n), gen_random_uuid(), 'a', n"
        "   from generate_series(0, 2) n",
        (box, now),
    )
    await until(lambda: len(metrics.changes) == 3)
    assert [one.payload["memory_bytes"] for one in metrics.changes] == [2, 1, 0]


async def test_change_waits_for_an_older_transaction_and_is_not_lost(
    follow: Any, dsn: str, make_mirror: MakeMirror
) -> None:
    """What commits early by a late number is shown in the order of numbers."""
    everything = await follow()
    insert = (
        "insert into soulbox.changes (epoch, cluster, tenant, kind, uid, op, payload)"
        " values (1, gen_random_uuid(), 'a', 'sandbox', gen_random_uuid(), 'insert',"
        " jsonb_build_object('name', %s::text))"
    )
    with psycopg.connect(dsn) as early, psycopg.connect(dsn) as late:
        early.execute(insert, ("early",))
        late.execute(insert, ("late",))
        late.commit()
        watcher = await follow()
        early.commit()
    await until(lambda: len(everything.changes) == 2)
    assert [one.payload["name"] for one in everything.changes] == ["early", "late"]
    assert [one.payload["name"] for one in watcher.changes] in ([], ["early", "late"])


async def test_cursor_of_before_a_restore_or_pruned_or_made_up_is_refused(
    follow: Any, dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    first = await follow()
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.SANDBOX, make_sandbox())
        await until(lambda: len(first.changes) == 1)
    cursor = first.changes[0].cursor

    async def error_of(since: str) -> BaseException | None:
        follower = await follow(since=since)
        await asyncio.wait({follower.task}, timeout=WAIT_SECONDS)
        return follower.task.exception()

    assert isinstance(await error_of("made-up"), InvalidRequest)
    sql_connection.execute("delete from soulbox.changes")
    gone = await error_of(cursor)
    assert isinstance(gone, CursorExpired)
    assert "no longer kept" in str(gone)
    sql_connection.execute("update soulbox.mirror_state set database_epoch = database_epoch + 1")
    # The one that was following all the while learns it too.
    sql_connection.execute("notify soulbox_changes")
    await until(first.task.done)
    assert isinstance(first.task.exception(), CursorExpired)
    old = await error_of(cursor)
    assert isinstance(old, CursorExpired)
    assert "restored" in str(old)


async def test_server_that_was_never_reached_is_an_error_at_once() -> None:
    feed = Feed("postgresql://nobody@127.0.0.1:1/x", ChangeFilter())
    with pytest.raises(StoreUnavailable, match="Connection refused"):
        await anext(feed.changes())
    with pytest.raises(InvalidRequest, match="kind"):
        Feed("postgresql://nobody@127.0.0.1:1/x", ChangeFilter(kind="odd"))


async def test_metric_changes_are_pruned_after_a_day(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    from soulbox.store.feed import FeedStore

    for kind in ("metric", "sandbox"):
        for age in ("2 days", "1 hour"):
            sql_connection.execute(
                "insert into soulbox.changes (epoch, cluster, tenant, kind, uid, op, payload, at)"
                " values (1, gen_random_uuid(), 'a', %s, gen_random_uuid(), 'insert', '{}',"
                " now() - %s::interval)",
                (kind, age),
            )
    async with store.transaction() as tx:
        assert await FeedStore(tx).prune_changes(7 * 86_400, 100) == 1
