"""Calls of Functions through the reconcilers: waits, wakes, restarts."""

from __future__ import annotations

from typing import Any

import pytest

from soulbox.model.states import Kind
from tests.support.builders import make_execution, make_function
from tests.support.reconciling import NAMESPACE, Bench, uid_of
from tests.support.seen import make_finished

CODE = "def main(given): return given"


def add_function(bench: Bench, **spec: Any) -> str:
    return uid_of(bench.api.add("functions", make_function("twice", NAMESPACE, code=CODE, **spec)))


def add_call(bench: Bench, name: str = "call", **spec: Any) -> str:
    manifest = make_execution(
        name, NAMESPACE, sandboxRef=None, code=None, functionRef={"name": "twice"}, **spec
    )
    uid = uid_of(bench.api.add("executions", manifest))
    bench.watch()
    return uid


def boxes(bench: Bench) -> list[str]:
    return [name for name in bench.api.named("sandboxes") if name.startswith("twice-")]


async def warm_function(bench: Bench, **spec: Any) -> None:
    """One whose only Sandbox runs, after a first call that is over."""
    bench.add_class()
    add_function(bench, **spec)
    await bench.settle()
    add_call(bench, "first")
    await bench.settle()
    for pod in bench.api.named("pods"):
        bench.api.run_pod(pod)
    await bench.settle()
    assert bench.execution("first")["status"]["state"] == "Completed"


async def test_first_call_makes_a_sandbox_and_runs_in_it(bench: Bench) -> None:
    await warm_function(bench)
    (box,) = boxes(bench)
    call = bench.execution("first")
    annotations = call["metadata"]["annotations"]
    assert annotations["soulbox.dev/sandbox"] == box
    assert call["metadata"]["labels"]["soulbox.dev/function-uid"]
    assert call["status"]["functionVersion"] == "1"
    assert bench.runner.requests[uid_of(call)].code == CODE


async def test_warm_call_takes_two_writes(bench: Bench) -> None:
    await warm_function(bench)
    bench.api.take_writes()
    add_call(bench)
    await bench.settle()
    assert bench.execution("call")["status"]["state"] == "Completed"
    assert bench.api.take_writes() == [("patch", "executions"), ("patch", "executions/status")]


async def test_warm_call_looks_at_itself_alone(bench: Bench) -> None:
    """Its Sandbox counts all that ran in it at each look: that is once in a while."""
    await warm_function(bench)
    passes: list[Kind] = []

    def noting(kind: Kind) -> Any:
        reconcile = bench.reconcilers[kind]

        async def note(uid: str) -> float | None:
            passes.append(kind)
            return await reconcile(uid)

        return note

    bench.api.reads.clear()
    bench.reconcilers = {kind: noting(kind) for kind in bench.reconcilers}
    uid = add_call(bench)
    await bench.settle()
    bench.records.committed.add(uid)
    bench.keys.add(Kind.EXECUTION, uid)
    await bench.settle()
    assert bench.execution("call")["status"]["state"] == "Completed"
    assert set(passes) == {Kind.EXECUTION}
    assert len(passes) <= 6, "as many as for an Execution in a Sandbox"
    assert bench.api.reads == []


async def test_call_that_has_waited_for_long_goes_on_after_a_restart(bench: Bench) -> None:
    """Its Sandbox says for long that it runs: no new version of it wakes the call."""
    await warm_function(bench)
    await bench.close()
    uid = add_call(bench)
    # As an operator before this one left it: there is nothing new to write.
    words = 'Waiting for a Sandbox of Function "twice" to have room: all are starting or at work.'
    status = {
        "message": words,
        "queuedTime": bench.api.get("executions", NAMESPACE, "call")["metadata"][
            "creationTimestamp"
        ],
    }
    bench.api.edit("executions", NAMESPACE, "call", {"status": status})
    bench.advance(60)
    await bench.restart()
    # Before any runner has answered.
    del bench.keys.ready[Kind.EXECUTION, uid]
    await bench.reconcile(Kind.EXECUTION, uid)
    assert bench.keys.later[Kind.EXECUTION, uid] == 60, "in case that nothing wakes it"
    await bench.settle()
    assert bench.execution("call")["status"]["state"] == "Completed"


async def test_call_waits_for_a_function_and_a_class_that_come_later(bench: Bench) -> None:
    add_call(bench)
    await bench.settle()
    bench.advance(10)
    add_function(bench)
    await bench.settle()
    bench.advance(10)
    bench.add_class()
    await bench.settle()
    for _ in range(2):
        await bench.elapse(5)
    for pod in bench.api.named("pods"):
        bench.api.run_pod(pod)
    await bench.settle()
    assert bench.execution("call")["status"]["state"] == "Completed"


async def test_calls_share_a_sandbox_by_its_concurrency_and_take_turns(bench: Bench) -> None:
    await warm_function(bench, scale={"max": 1, "concurrency": 2})
    bench.runner.never_ends()
    uids = [add_call(bench, f"call-{number}") for number in range(5)]
    await bench.settle()
    begun = [uid for uid in uids if uid in bench.runner.requests]
    assert begun == uids[:2]
    assert len(boxes(bench)) == 1
    for uid in begun:
        bench.runner.end(uid, make_finished(uid=uid))
    await bench.settle()
    assert [uid for uid in uids if uid in bench.runner.requests] == uids[:4]


async def test_function_that_goes_ends_the_calls_that_wait(bench: Bench) -> None:
    bench.add_class()
    add_function(bench)
    await bench.settle()
    add_call(bench)
    await bench.settle()
    bench.api.delete("functions", NAMESPACE, "twice")
    bench.watch()
    await bench.settle()
    await bench.elapse(61)
    status = bench.execution("call")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "FunctionNotFound")


async def test_function_without_room_is_waited_for_and_given_more(bench: Bench) -> None:
    await warm_function(bench)
    bench.runner.never_ends()
    add_call(bench, "one")
    await bench.settle()
    add_call(bench, "two")
    await bench.settle()
    assert len(boxes(bench)) == 1
    bench.api.edit("functions", NAMESPACE, "twice", {"spec": {"scale": {"max": 2}}})
    bench.watch()
    await bench.settle()
    assert len(boxes(bench)) == 2
    assert bench.cache.count(Kind.SANDBOX) == 2


@pytest.mark.slow
async def test_calls_that_waited_for_a_sandbox_all_get_pods_of_their_own(bench: Bench) -> None:
    """scale.max became 0: whoever waits is more than one look at the Function wakes."""
    await warm_function(bench)
    bench.runner.never_ends()
    add_call(bench, "busy")
    await bench.settle(passes=2_000)
    names = [f"call-{number:02}" for number in range(24)]
    for name in names:
        add_call(bench, name)
    await bench.settle(passes=2_000)
    bench.runner.outcome = make_finished()
    bench.api.edit("functions", NAMESPACE, "twice", {"spec": {"scale": {"max": 0}}})
    bench.watch()
    await bench.settle(passes=2_000)
    for _ in range(30):
        for pod in bench.api.named("pods"):
            if bench.api.get("pods", NAMESPACE, pod)["status"].get("phase") != "Running":
                bench.api.run_pod(pod)
        await bench.settle(passes=2_000)
    states = {name: bench.execution(name)["status"]["state"] for name in names}
    assert set(states.values()) == {"Completed"}, states


async def test_nothing_is_left_in_memory_of_calls_that_are_gone(bench: Bench) -> None:
    await warm_function(bench)
    call = bench.execution("first")
    bench.cache.remove(Kind.EXECUTION, uid_of(call))
    assert bench.cache.executions.call_queues(NAMESPACE, "twice") == []
    assert bench.cache.executions._calls == {}
