"""The registry of tools: search, look-up, counts, and figures of calls."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from soulbox.model.errors import CursorExpired, InvalidRequest, NotFound, StoreRefused
from soulbox.model.states import Kind
from soulbox.store.pool import Store
from soulbox.store.reports import Result, parse_params, run_report
from soulbox.store.tool_registry import COUNTED_BY, STATS_BY, ToolFilter, ToolRegistry
from tests.db.test_queries import ODD_QUERIES
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import make_finished_execution
from tests.support.tools import REGISTERED, add_function, add_tool, add_version

NOW = datetime.now(UTC).replace(microsecond=0)


async def search(store: Store, query: str | None = None, **wanted: Any) -> list[str]:
    """Names of what is found, in order."""
    async with store.transaction() as tx:
        page = await ToolRegistry(tx).search(ToolFilter(query=query, **wanted), limit=1000)
    assert page.next_cursor is None
    return [row["name"] for row in page.rows]


@pytest.fixture
def media(sql_connection: psycopg.Connection) -> None:
    """Some tools: two of a category, one deprecated, one suspended, and what is no tool."""

    def tool(name: str, **columns: Any) -> None:
        add_tool(sql_connection, name=name, **columns)

    tool("resize", title="Resize an image", tags=["image", "cpu"], category="media")
    tool("crop", description="Crops what resize made", tags=["image"], category="media")
    tool("thumbs", description="Resizing of many images at once", tool_type="code")
    tool("mail-send", title="Send mail", deprecated="use mail2", namespace="ops")
    tool("plain", tool_id=None, description="resize, but no tool")
    gone = add_tool(sql_connection, name="gone", description="resize")
    sql_connection.execute(
        "update soulbox.functions set deleted_at = now() where uid = %s", (gone,)
    )
    sql_connection.execute("update soulbox.functions set suspended = true where name = 'crop'")


async def test_words_as_written_in_a_name_come_before_others_and_stems_last(
    store: Store, media: None
) -> None:
    assert await search(store, "resize") == ["resize", "crop", "thumbs"]
    assert await search(store, "RESIZES") == ["resize", "crop", "thumbs"]
    assert await search(store, '"resize an image"') == ["resize"]
    assert await search(store, "resize -crops") == ["resize", "thumbs"]
    assert await search(store, "thu*") == ["thumbs"]
    assert sorted(await search(store, "mail or crops")) == ["crop", "mail-send"]
    assert await search(store, "cpu") == ["resize"], "a tag is a word too"
    assert await search(store, "nowhere") == []


async def test_filters_are_exact_and_all_tags_are_needed(store: Store, media: None) -> None:
    assert await search(store) == ["mail-send", "crop", "resize", "thumbs"]
    assert await search(store, tags=("image",)) == ["crop", "resize"]
    assert await search(store, tags=("cpu", "image")) == ["resize"]
    assert await search(store, tags=("imag",)) == []
    assert await search(store, category="media") == ["crop", "resize"]
    assert await search(store, type="code") == ["thumbs"]
    assert await search(store, "resize", category="media", tags=("cpu",)) == ["resize"]
    assert await search(store, tenant="another") == []
    async with store.transaction() as tx:
        rows = {row["name"]: row for row in (await ToolRegistry(tx).search(ToolFilter())).rows}
    assert rows["crop"]["suspended"]
    assert rows["mail-send"]["deprecated"] == "use mail2"
    assert rows["resize"]["tool_id"] == "tool:team-a/resize@1.0.0"
    async with store.transaction() as tx:
        (row,) = (await ToolRegistry(tx).search(ToolFilter(query="crops"))).rows
    assert row["headline"] == "«Crops» what resize made"


@pytest.mark.parametrize("query", ODD_QUERIES)
async def test_no_query_is_an_error(store: Store, media: None, query: str) -> None:
    found = await search(store, query)
    assert set(found) <= {"resize", "crop", "thumbs", "mail-send"}
    assert not (found and set(query) <= set(" \"'-&|!()"))


async def test_a_tool_is_found_by_its_current_version_alone(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    uid = add_function(sql_connection, version="2", versions=["1", "2"])
    add_version(sql_connection, uid, version="1", description="scales")
    add_version(sql_connection, uid, version="2", description="stretches")
    assert await search(store, "scales") == []
    assert await search(store, "stretches") == ["resize"]
    sql_connection.execute("update soulbox.functions set version = '1'")
    assert await search(store, "scales") == ["resize"]
    assert await search(store, "stretches") == []
    sql_connection.execute("update soulbox.function_versions set description = 'shrinks'")
    assert await search(store, "scales") == []
    assert await search(store, "shrinking") == ["resize"]


@pytest.mark.parametrize("query", [None, "picture"])
async def test_pages_hold_each_tool_once_while_others_come_and_go(
    store: Store, sql_connection: psycopg.Connection, query: str | None
) -> None:
    chance = random.Random(7)
    for index in range(60):
        words = "picture " * chance.randrange(1, 4) + "word " * chance.randrange(20)
        namespace = f"team-{index % 3}"
        add_tool(sql_connection, name=f"tool-{index % 20}", namespace=namespace, description=words)
    wanted = ToolFilter(query=query)
    async with store.transaction() as tx:
        want = [
            row["function_uid"] for row in (await ToolRegistry(tx).search(wanted, limit=1000)).rows
        ]
    assert len(set(want)) == 60
    seen: list[Any] = []
    cursor: str | None = None
    for number in range(100):
        async with store.transaction() as tx:
            page = await ToolRegistry(tx).search(wanted, limit=7, cursor=cursor)
        seen += [row["function_uid"] for row in page.rows]
        add_tool(sql_connection, name=f"new-{number}", description="picture")
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [uid for uid in seen if uid in set(want)] == want
    assert len(set(seen)) == len(seen)


async def test_cursor_is_of_one_search_and_one_database(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    for name in ("a", "b"):
        add_tool(sql_connection, name=name, tags=["x"], description="picture")
    wanted = ToolFilter(query="picture", tags=("x",))
    async with store.transaction() as tx:
        cursor = (await ToolRegistry(tx).search(wanted, limit=1)).next_cursor
    assert cursor is not None
    for other in (replace(wanted, query="pictures"), replace(wanted, tags=None)):
        async with store.transaction() as tx:
            with pytest.raises(InvalidRequest, match="issued for other filters"):
                await ToolRegistry(tx).search(other, limit=1, cursor=cursor)
    for limit in (0, 1001):
        async with store.transaction() as tx:
            with pytest.raises(InvalidRequest, match="not from 1 to 1000"):
                await ToolRegistry(tx).search(wanted, limit=limit)
    sql_connection.execute(
        "insert into soulbox.mirror_state (cluster, database_epoch) values (gen_random_uuid(), 2)"
    )
    async with store.transaction() as tx:
        with pytest.raises(CursorExpired):
            await ToolRegistry(tx).search(wanted, limit=1, cursor=cursor)


async def test_longest_names_fit_into_a_cursor(
    store: Store, sql_connection: psycopg.Connection
) -> None:
    for end in "ab":
        name, namespace = "n" * 252 + end, "s" * 63
        add_tool(sql_connection, name=name, namespace=namespace, description="picture")
    for query in (None, "picture"):
        async with store.transaction() as tx:
            registry, wanted = ToolRegistry(tx), ToolFilter(query=query)
            first = await registry.search(wanted, limit=1)
            second = await registry.search(wanted, limit=1, cursor=first.next_cursor)
        assert [row["name"][-1] for row in first.rows + second.rows] == ["a", "b"]


async def test_a_tool_is_looked_up_by_id(store: Store, sql_connection: psycopg.Connection) -> None:
    old = add_function(sql_connection, versions=[], version=None, deleted_at=NOW)
    add_version(sql_connection, old, description="of the Function before", published_by="ada")
    uid = add_function(sql_connection, version="1.2.0", versions=["1.1.0", "1.2.0"])
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        add_version(sql_connection, uid, version=version)
    sql_connection.execute(
        "insert into soulbox.programs (tenant, code_sha256, cluster, code, code_bytes)"
        " values ('tenant-team-a', repeat('a', 64), gen_random_uuid(), 'x = 1', 5)"
    )
    sql_connection.execute(
        "update soulbox.function_versions set code_sha256 = repeat('a', 64) where version = '1.2.0'"
    )

    async def find(tool_id: str) -> dict[str, Any]:
        async with store.transaction() as tx:
            return await ToolRegistry(tx).find(tool_id)

    for tool_id in ("tool:team-a/resize", "team-a/resize", "tool:team-a/resize@1.2.0"):
        found = await find(tool_id)
        assert (found["version"], found["is_current"], found["code"]) == ("1.2.0", True, "x = 1")
    found = await find("team-a/resize@1.1.0")
    assert (found["is_current"], found["withdrawn_at"], found["code"]) == (False, None, None)
    # Both Functions had a 1.0.0; neither can be called.
    found = await find("team-a/resize@1.0.0")
    assert found["withdrawn_at"] is not None
    sql_connection.execute("delete from soulbox.function_versions where function_uid = %s", (uid,))
    found = await find("tool:team-a/resize@1.0.0")
    assert (found["published_by"], found["withdrawn_at"]) == ("ada", NOW)
    for missing in ("team-a/resize", "team-a/resize@9", "team-b/resize", "team-a/Resize"):
        with pytest.raises(NotFound, match="or it is of another tenant"):
            await find(missing)
    for odd in ("", "resize", "tool:", "a/b/c", "a/b@c@d", "a\0/b", "'/;--@", "/x", "x/"):
        with pytest.raises(InvalidRequest, match="not a tool's id"):
            await find(odd)
    async with store.transaction() as tx:
        with pytest.raises(StoreRefused) as refused:
            await tx.fetch("select * from soulbox.find_tool('resize')")
    assert refused.value.constraint == "tool_id_form"


async def test_tools_are_counted_by_each_key(store: Store, media: None) -> None:
    want = {
        "category": {"media": 2, "(none)": 2},
        "namespace": {"team-a": 3, "ops": 1},
        "state": {"ready": 3, "deprecated": 1},
        "tag": {"image": 2, "(none)": 2, "cpu": 1},
        "tenant": {"tenant-team-a": 4},
        "type": {"(none)": 3, "code": 1},
    }
    async with store.transaction() as tx:
        assert {by: await ToolRegistry(tx).count(by) for by in COUNTED_BY} == want
        assert await ToolRegistry(tx).count("tag", "another") == {}
        with pytest.raises(InvalidRequest, match="use one of category"):
            await ToolRegistry(tx).count("name; drop table soulbox.functions")
    async with store.transaction() as tx:
        with pytest.raises(StoreRefused, match="22023"):
            await tx.fetch("select * from soulbox.count_tools('odd')")


def disc(values: list[int], share: float) -> int | None:
    """percentile_disc: the first value that so large a share is not greater than."""
    ordered = sorted(values)
    place = next((i for i in range(len(ordered)) if (i + 1) / len(ordered) >= share), None)
    return None if place is None else ordered[place]


async def test_figures_of_calls_agree_with_the_rows(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    tools = {
        name: add_tool(sql_connection, name=name, namespace=namespace, tenant=f"tenant-{namespace}")
        for name, namespace in (("resize", "team-a"), ("crop", "team-a"), ("mail", "team-b"))
    }
    plain = add_tool(sql_connection, name="plain", tool_id=None)
    chance = random.Random(3)
    calls: list[dict[str, Any]] = []
    for index in range(150):
        name = chance.choice([*tools, *tools, "plain", "nobody's"])
        state = chance.choice(["Completed"] * 5 + ["Failed", "Timeout", "Cancelled", "Queued"])
        created = NOW - timedelta(hours=chance.randrange(24 * 40))
        spec: dict[str, Any] = {"user": chance.choice(["ada", "bob"])}
        labels = {}
        if name != "nobody's":
            spec["functionRef"] = {"name": name, "version": chance.choice(["1.0.0", "2.0.0"])}
            labels = {"soulbox.dev/function-uid": str(tools.get(name, plain))}
        cost = f"{Decimal(index) / 1000}"
        ended = {"durationMilliseconds": chance.randrange(2000), "billing": {"costUsd": cost}}
        status = {"state": state, **(dict.fromkeys(ended) if state == "Queued" else ended)}
        calls.append(
            make_finished_execution(
                metadata={
                    "namespace": "team-b" if name == "mail" else "team-a",
                    "creationTimestamp": created.isoformat(),
                    "labels": labels,
                },
                spec=spec,
                status=status,
            )
        )
    async with running(make_mirror()) as mirror:
        for call in calls:
            mirror.offer(Kind.EXECUTION, call)
        await drained(mirror)
        assert mirror.statistics().dead_letters == 0

    def key(call: dict[str, Any], by: str) -> str:
        called, namespace = call["spec"]["functionRef"], call["metadata"]["namespace"]
        tool = f"tool:{namespace}/{called['name']}"
        return {
            "tenant": f"tenant-{namespace}",
            "tool": tool,
            "version": f"{tool}@{called['version']}",
        }[by]

    since = NOW.replace(hour=0, minute=0, second=0) - timedelta(days=30)
    counted = [
        call
        for call in calls
        if call["spec"].get("functionRef", {}).get("name") in tools
        and datetime.fromisoformat(call["metadata"]["creationTimestamp"]) >= since
    ]
    assert len(counted) > 50
    for by in STATS_BY:
        async with store.transaction() as tx:
            rows = {row.pop("key"): row for row in await ToolRegistry(tx).stats(30, by)}
        assert set(rows) == {key(call, by) for call in counted}
        for name, row in rows.items():
            of = [call for call in counted if key(call, by) == name]
            ended = [call for call in of if call["status"]["state"] != "Queued"]
            times = [call["status"]["durationMilliseconds"] for call in ended]
            states = [call["status"]["state"] for call in of]
            assert row == {
                "runs": len(of),
                "success": states.count("Completed"),
                "errors": states.count("Failed") + states.count("Timeout"),
                "average_ms": pytest.approx(Decimal(statistics.mean(times)), abs=Decimal("0.001")),
                # Exact below 8 ms, else of a bucket.
                "p50_ms": pytest.approx(disc(times, 0.5), rel=0.125),
                "p95_ms": pytest.approx(disc(times, 0.95), rel=0.125),
                "p99_ms": pytest.approx(disc(times, 0.99), rel=0.125),
                "last_run_at": max(
                    datetime.fromisoformat(call["metadata"]["creationTimestamp"]) for call in of
                ),
                "cost_usd": sum(Decimal(call["status"]["billing"]["costUsd"]) for call in ended),
            }
    async with store.transaction() as tx:
        registry = ToolRegistry(tx)
        (one,) = await registry.stats(30, function_uid=tools["mail"])
        assert one["key"] == "tool:team-b/mail"
        (one,) = await registry.stats(30, "tenant", tenant="tenant-team-b")
        assert one["key"] == "tenant-team-b"
        assert await registry.stats(30, function_uid=uuid4()) == []
        for odd in ({"days": 0}, {"days": 4000}, {"days": 1, "by": "name"}):
            with pytest.raises(InvalidRequest):
                await registry.stats(**odd)


async def test_calls_of_a_function_are_listed_newest_first(
    make_mirror: MakeMirror, store: Store, sql_connection: psycopg.Connection
) -> None:
    tool = add_tool(sql_connection)
    calls = [
        make_finished_execution(
            metadata={
                "creationTimestamp": (REGISTERED + timedelta(hours=index)).isoformat(),
                "labels": {"soulbox.dev/function-uid": str(tool)},
            },
            spec={"functionRef": {"name": "resize"}, "input": {"index": index}},
        )
        for index in range(3)
    ]
    async with running(make_mirror()) as mirror:
        for call in (*calls, make_finished_execution()):
            mirror.offer(Kind.EXECUTION, call)
        await drained(mirror)
    rows = sql_connection.execute(
        "select input ->> 'index' from soulbox.executions(of_function => %s, max_rows => 2)",
        (tool,),
    ).fetchall()
    assert rows == [("2",), ("1",)]


async def test_reports_page_and_filter(store: Store, media: None) -> None:
    async def report(name: str, **params: str) -> Result:
        async with store.transaction() as tx:
            return await run_report(tx, name, parse_params(name, params))

    first = await report("tools", query="resize", limit="2", tags="")
    assert [row["name"] for row in first.rows] == ["resize", "crop"]
    assert first.next_cursor is not None
    rest = await report("tools", query="resize", limit="2", tags="", cursor=first.next_cursor)
    assert ([row["name"] for row in rest.rows], rest.next_cursor) == (["thumbs"], None)
    found = await report("tools", tags="image,cpu")
    assert [row["name"] for row in found.rows] == ["resize"]
    (tool,) = (await report("tool", id="team-a/crop")).rows
    assert (tool["version"], tool["is_current"], tool["tags"]) == ("1.0.0", True, ["image"])
    counts = (await report("tool-counts")).rows
    assert counts == [{"key": "(none)", "tools": 2}, {"key": "media", "tools": 2}]
    assert (await report("tool-stats")).rows == []
