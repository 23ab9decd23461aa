"""Calls of Functions on a real cluster: versions, schemas, Sandboxes of their own, the record."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.builders import make_execution, make_function
from tests.support.fix_operator import OperatorProcess
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KILLS = int(os.environ.get("SOULBOX_TEST_KILLS", "2"))
CALLS = int(os.environ.get("SOULBOX_TEST_CALLS", "60"))
CLIENTS = 20
LOGGING = """
import json, sys

def main(given):
    for level in ("debug", "info", "warning"):
        line = {"level": level, "message": f"{level} of {given['n']}", "n": given["n"]}
        print(json.dumps(line), file=sys.stderr)
    print("no line of a log", file=sys.stderr)
    return {"double": 0}
"""
CODE = "def main(given):\n    return {'of': %s, 'double': given['n'] * 2}\n"
INPUT = {
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"type": "integer", "maximum": 1000}},
    "additionalProperties": False,
}
OUTPUT = {"type": "object", "required": ["double"]}


def make_call(name: str, function: str, version: str | None = None, **spec: Any) -> Manifest:
    """An Execution that calls it."""
    called = {"name": function} | ({} if version is None else {"version": version})
    return make_execution(name, sandboxRef=None, code=None, functionRef=called, **spec)


def called(world: World, name: str, function: str, version: str | None = None, **spec: Any) -> Any:
    """What the call ended as."""
    world.create(make_call(name, function, version, **spec))
    return world.execution(name)["status"]


def published(world: World, name: str, version: str) -> None:
    def is_current(found: Manifest) -> bool:
        return bool(found.get("status", {}).get("version") == version)

    world.wait("function", name, is_current, f"version {version} is current")


def boxes_of(world: World, function: str) -> list[Manifest]:
    """The Function's own Sandboxes."""
    return [
        box
        for box in world.list("sandboxes")
        if box["metadata"].get("labels", {}).get("soulbox.dev/function") == function
    ]


def test_versions_side_by_side_judged_and_recorded(world: World) -> None:
    spec: dict[str, Any] = {"inputSchema": INPUT, "outputSchema": OUTPUT}
    world.create(make_function("twice", code=CODE % 1, **spec))
    published(world, "twice", "1")
    first = called(world, "first", "twice", input={"n": 21})
    assert (first["state"], first["result"]) == ("Completed", {"of": 1, "double": 42})
    assert first["functionVersion"] == "1"
    (box,) = boxes_of(world, "twice")
    assert box["spec"]["idleTimeoutSeconds"] == 300
    second = called(world, "second", "twice", input={"n": 1})
    assert second["receipt"]["podUID"] == first["receipt"]["podUID"], "it is warm"

    world.patch("function", "twice", {"spec": {"code": CODE % 2}})
    published(world, "twice", "2")
    assert called(world, "newer", "twice", input={"n": 2})["result"] == {"of": 2, "double": 4}
    pinned = called(world, "pinned", "twice", "1", input={"n": 3})
    assert (pinned["result"], pinned["functionVersion"]) == ({"of": 1, "double": 6}, "1")
    world.patch("function", "twice", {"spec": {"code": CODE % 1}})
    published(world, "twice", "1")
    assert called(world, "back", "twice", input={"n": 4})["result"]["of"] == 1

    refused = called(world, "large", "twice", input={"n": 9000})
    assert (refused["state"], refused["reason"]) == ("Failed", "InputInvalid")
    assert "input.n: 9000 is more than the maximum of 1000" in refused["message"]
    assert "startTime" not in refused
    (row,) = world.wait_rows(
        "select function_uid::text as function, function_version as version"
        " from soulbox.executions where namespace = %(namespace)s and name = 'large'"
        " and completed_at is not null",
        namespace=world.namespace,
    )
    uid = world.get("function", "twice")["metadata"]["uid"]
    assert row == {"function": uid, "version": "1"}, "it counts among the Function's calls"
    missing = called(world, "unknown", "twice", "7", input={"n": 1})
    assert (missing["state"], missing["reason"]) == ("Failed", "VersionNotFound")
    assert 'Function "twice" has no version 7; there are ' in missing["message"]

    row: Any = world.wait_rows(
        "select kind, function_version, input, result, function_uid::text as function, code_sha256"
        " from soulbox.executions where namespace = %(namespace)s and name = 'pinned'"
        " and result is not null",
        namespace=world.namespace,
    )[0]
    assert (row["kind"], row["function_version"]) == ("function", "1")
    assert (row["input"], row["result"]) == ({"n": 3}, {"of": 1, "double": 6})
    assert row["function"] == world.get("function", "twice")["metadata"]["uid"]
    assert row["code_sha256"]


def test_log_withdrawal_suspension_and_a_call_of_nobody(world: World) -> None:
    world.create(make_call("nowhere", "nobody"))
    world.create(make_function("logs", code=LOGGING, revisionHistoryLimit=0))
    published(world, "logs", "1")
    called(world, "logging", "logs", input={"n": 7})
    lines = world.wait_rows(
        "select l.level, l.message, l.metadata from soulbox.execution_logs l"
        " join soulbox.executions e on e.uid = l.uid and e.created_at = l.created_at"
        " where e.namespace = %(namespace)s and e.name = 'logging' order by l.seq",
        namespace=world.namespace,
    )
    assert [line["level"] for line in lines] == ["debug", "info", "warn"]
    assert (lines[2]["message"], lines[2]["metadata"]) == ("warning of 7", {"n": 7})

    world.patch("function", "logs", {"spec": {"code": CODE % 2}})
    published(world, "logs", "2")
    world.wait("function", "logs", lambda f: len(f["status"]["versions"]) == 1, "one is left")
    old = called(world, "withdrawn", "logs", "1", input={"n": 1})
    assert (old["state"], old["reason"]) == ("Failed", "VersionNotFound")
    assert "there are 2 (1 was withdrawn on 20" in old["message"]

    world.patch("function", "logs", {"spec": {"suspend": True}})
    world.wait("function", "logs", lambda f: f["status"]["state"] == "Suspended", "suspended")
    assert called(world, "late", "logs", input={"n": 1})["reason"] == "FunctionSuspended"
    world.poll(lambda: not boxes_of(world, "logs"), "its Sandboxes are gone")
    nowhere = world.execution("nowhere")["status"]
    assert (nowhere["state"], nowhere["reason"]) == ("Failed", "FunctionNotFound")
    assert 'Function "nobody" does not exist in namespace' in nowhere["message"]


def test_pod_of_its_own_and_a_result_that_does_not_match(world: World) -> None:
    wrong = "def main(given):\n    print('worked')\n    return {'other': 1}\n"
    world.create(
        make_function(
            "apart", code=wrong, outputSchema=OUTPUT, scale={"max": 0}, resources={"memory": "64Mi"}
        )
    )
    published(world, "apart", "1")
    status = called(world, "one", "apart", input={"n": 1})
    assert (status["state"], status["reason"]) == ("Failed", "ResultInvalid")
    assert 'result has no "double"' in status["message"]
    assert status["output"]["stdout"] == "worked\n"
    assert status["receipt"]["limits"]["memory"] == "64Mi"
    assert boxes_of(world, "apart") == []
    (row,) = world.wait_rows(
        "select one_shot, reason from soulbox.executions where namespace = %(namespace)s"
        " and name = 'one' and completed_at is not null",
        namespace=world.namespace,
    )
    assert row == {"one_shot": True, "reason": "ResultInvalid"}


def test_calls_of_many_clients_end_once_each_whoever_is_killed(
    world: World, operator: OperatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(20261130)
    scale = {"max": 2, "concurrency": 4}
    tool = {"title": "Twice", "category": "maths"}
    many = make_function("many", code=CODE % 1, inputSchema=INPUT, scale=scale, tool=tool)
    many["spec"]["description"] = "Doubles a number."
    world.create(many)
    published(world, "many", "1")
    names = [f"call-{number:04}" for number in range(CALLS)]

    def call(number: int) -> None:
        world.create(make_call(names[number], "many", input={"n": number % 1000}))
        world.execution(names[number])

    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        ends = [clients.submit(call, number) for number in range(CALLS)]
        for _ in range(KILLS):
            world.pause(dice.uniform(0.5, 3))
            operator.kill()
            operator.start()
        for end in ends:
            end.result()
    seconds = time.monotonic() - started
    found = {each["metadata"]["name"]: each["status"] for each in world.list("executions")}
    for number, name in enumerate(names):
        status = found[name]
        assert status["state"] == "Completed", (name, status)
        assert status["result"] == {"of": 1, "double": number % 1000 * 2}
        assert status["attempt"] == 1
    uid = world.get("function", "many")["metadata"]["uid"]
    world.wait_rows(
        "select count(*) as ended, count(distinct name) as names from soulbox.executions"
        " where function_uid = %(uid)s and state = 'completed'",
        lambda rows: rows[0] == {"ended": CALLS, "names": CALLS},
        uid=uid,
    )
    assert 1 <= len(boxes_of(world, "many")) <= 2
    (stats,) = world.rows(
        "select runs, success, errors, cost_usd > 0 as has_cost"
        " from soulbox.tool_stats(1, of_function => %(uid)s)",
        uid=uid,
    )
    assert stats == {"runs": CALLS, "success": CALLS, "errors": 0, "has_cost": True}
    verify = subprocess.run(
        [sys.executable, "-m", "soulbox", "billing", "verify"],
        env=os.environ | {"SOULBOX_DSN": world.dsn},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert verify.returncode == 0, verify.stdout + verify.stderr
    with capsys.disabled():
        print(json.dumps({"calls": CALLS, "kills": KILLS, "seconds": round(seconds, 1)}))
