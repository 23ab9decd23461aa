"""`soulbox tools search` and `replay`, as they are typed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from soulbox.model.states import Kind
from tests.db.test_usage_command import soulbox
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import make_finished_execution
from tests.support.tools import add_tool

NOW = datetime.now(UTC).replace(microsecond=0)
# More than a page of them, newest first.
CALLS = 130
TOO_WIDE = {"input": {"width": 9000}}


def make_call(tool: UUID, age: timedelta, **given: Any) -> dict[str, Any]:
    reason = given.pop("reason", None)
    return make_finished_execution(
        metadata={
            "creationTimestamp": (NOW - age).isoformat(),
            "labels": {"soulbox.dev/function-uid": str(tool)},
        },
        spec={"functionRef": {"name": "resize"}, **given},
        status={"functionVersion": "1.0.0"}
        | ({"state": "Failed", "reason": reason} if reason else {}),
    )


@pytest.fixture
async def called(dsn: str, sql_connection: psycopg.Connection, make_mirror: MakeMirror) -> str:
    """A tool with calls: the oldest but one is wide, one had no input, one was refused."""
    tool = add_tool(sql_connection, title="Resize an image", category="media", tags=["image"])
    add_tool(sql_connection, name="mail", title="Send mail")
    hour = timedelta(hours=1)
    calls = [make_call(tool, hour, input={"width": index + 1}) for index in range(CALLS)]
    calls += [
        make_call(tool, timedelta(minutes=1)),
        make_call(tool, timedelta(minutes=2), reason="InputInvalid", **TOO_WIDE),
        make_call(tool, timedelta(days=5), **TOO_WIDE),
        make_call(tool, timedelta(days=8), **TOO_WIDE),
    ]
    async with running(make_mirror()) as mirror:
        for call in calls:
            mirror.offer(Kind.EXECUTION, call)
        await drained(mirror)
        assert mirror.statistics().dead_letters == 0
    return dsn


SCHEMA = {
    "type": "object",
    "properties": {"width": {"type": "integer", "maximum": 4096}},
}


async def test_replay_names_the_calls_that_a_stricter_schema_would_refuse(
    called: str, tmp_path: Path
) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(json.dumps({"kind": "Function", "spec": {"inputSchema": SCHEMA}}))
    words = ("tools", "replay", "team-a/resize", "--against", str(file))
    done = soulbox(called, *words, "--days", "7", "-o", "json")
    assert done.returncode == 1, done.stderr
    none, wide = json.loads(done.stdout)
    assert none["problem"] == "input: null is not of type object"
    assert wide["problem"] == "input.width: 9000 is more than the maximum of 4096"
    assert (wide["version"], wide["created_at"][:10]) == (
        "1.0.0",
        f"{NOW - timedelta(days=5):%Y-%m-%d}",
    )
    assert UUID(wide["uid"])
    said = f"2 of {CALLS + 2} calls of 7 days would be refused; 1 more were refused when they came"
    assert said in done.stderr
    file.write_text(json.dumps({"type": ["object"], "maxProperties": 0}))
    refused = soulbox(called, *words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--against: inputSchema" in refused.stderr


async def test_replay_of_a_name_that_is_not_recorded_says_so(called: str, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    done = soulbox(called, "tools", "replay", "resise", "-n", "team-a", "--against", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no Function team-a/resise is recorded" in done.stderr
    good = soulbox(called, "tools", "replay", "mail", "-n", "team-a", "--against", str(file))
    assert (good.returncode, good.stdout) == (0, "")
    assert "0 of 0 calls of 30 days would be refused" in good.stderr


async def test_search_finds_tools_by_words_and_filters(called: str) -> None:
    done = soulbox(called, "tools", "search", "resize", "image", "-o", "json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["tool_id"] == "tool:team-a/resize@1.0.0"
    table = soulbox(called, "tools", "search", "--tag", "image", "--category", "media")
    assert "tool:team-a/resize@1.0.0" in table.stdout
    assert "mail" not in table.stdout
    first = soulbox(called, "tools", "search", "--limit", "1")
    assert "there are more than 1" in first.stderr
