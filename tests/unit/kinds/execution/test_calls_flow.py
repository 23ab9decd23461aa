"""Calls of Functions on an API server that counts: whatever becomes of the Function, its Sandboxes
and the operator, none waits for what will not come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from soulbox.model.errors import RunnerUnavailable
from tests.support.builders import make_execution, make_function
from tests.support.reconciling import NAMESPACE, Bench, uid_of
from tests.support.seen import make_finished

# More than are woken at once.
CROWD = 20
PASSES = 2_000


def add_function(bench: Bench, **spec: Any) -> str:
    return uid_of(bench.api.add("functions", make_function("resize", NAMESPACE, **spec)))


def add_call(bench: Bench, name: str = "call", **spec: Any) -> str:
    spec = {"functionRef": {"name": "resize"}, "sandboxRef": None, "code": None} | spec
    return uid_of(bench.api.add("executions", make_execution(name, NAMESPACE, **spec)))


def change(bench: Bench, **spec: Any) -> None:
    bench.api.edit("functions", NAMESPACE, "resize", {"spec": spec})


def told(bench: Bench, name: str = "call") -> tuple[str, str]:
    status = bench.execution(name)["status"]
    return str(status["state"]), str(status.get("reason"))


async def called(bench: Bench, **spec: Any) -> str:
    """A call that goes on in the Function's one Sandbox; its uid."""
    bench.add_class()
    add_function(bench, **spec)
    await bench.settle()
    uid = add_call(bench, "first")
    await bench.settle()
    bench.runner.never_ends()
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.runner.begun == [uid]
    return uid


async def crowd(bench: Bench) -> list[str]:
    """Calls that wait behind it; their names."""
    names = [f"call-{number}" for number in range(CROWD)]
    for name in names:
        add_call(bench, name)
    await bench.settle(passes=PASSES)
    await bench.elapse(2)
    await bench.elapse(4)
    assert {told(bench, name)[0] for name in names} == {"Queued"}
    return names


@pytest.mark.slow
async def test_all_that_wait_end_when_their_function_is_suspended(bench: Bench) -> None:
    await called(bench)
    names = await crowd(bench)
    change(bench, suspend=True)
    await bench.settle(passes=PASSES)
    assert {told(bench, name) for name in names} == {("Failed", "FunctionSuspended")}
    assert told(bench, "first")[0] != "Failed", "what runs goes on"


@pytest.mark.slow
async def test_all_that_wait_end_when_their_function_is_deleted(bench: Bench) -> None:
    await called(bench)
    names = await crowd(bench)
    bench.api.delete("functions", NAMESPACE, "resize")
    await bench.settle(passes=PASSES)
    bench.advance(60)
    for key in list(bench.keys.later):
        bench.keys.add(*key)
    await bench.settle(passes=PASSES)
    assert {told(bench, name) for name in names} == {("Failed", "FunctionNotFound")}


@pytest.mark.slow
async def test_all_that_wait_get_pods_when_the_function_has_no_sandboxes_any_more(
    bench: Bench,
) -> None:
    await called(bench)
    names = await crowd(bench)
    bench.runner.outcome = make_finished()
    change(bench, scale={"max": 0})
    await bench.settle(passes=PASSES)
    for _ in range(CROWD):
        for pod in bench.api.named("pods"):
            bench.api.run_pod(pod)
        await bench.settle(passes=PASSES)
    assert {told(bench, name)[0] for name in names} == {"Completed"}


async def test_room_that_something_else_left_is_the_next_call_s(bench: Bench) -> None:
    first = await called(bench)
    (box,) = bench.api.named("sandboxes")
    other = add_call(bench, "other", sandboxRef={"name": box}, functionRef=None, code="print(1)")
    await bench.settle()
    bench.runner.end(first, make_finished())
    await bench.settle()
    assert bench.runner.begun == [first, other]
    next_one = add_call(bench)
    await bench.settle()
    await bench.elapse(6)
    bench.runner.end(other, make_finished())
    await bench.settle()
    assert bench.runner.begun == [first, other, next_one]


async def test_calls_go_on_when_a_runner_answers_an_operator_that_is_new(bench: Bench) -> None:
    first = await called(bench)
    bench.runner.end(first, make_finished())
    await bench.settle()
    waiting = add_call(bench)
    await bench.restart()
    bench.runner.faults["list"].append(RunnerUnavailable("it does not answer yet"))
    await bench.settle(passes=PASSES)
    assert bench.runner.begun == [first]
    await asyncio.gather(*(one for one in bench.tasks if one.get_name().startswith("probe-")))
    await bench.settle()
    assert bench.runner.begun == [first, waiting]
