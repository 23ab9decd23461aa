"""Calls of Functions on an API server that counts: whatever becomes of the Function, its Sandboxes
and the operator, none waits for what will not come."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from soulbox.judge.verdicts import Outcome, Verdict
from soulbox.model.errors import RunnerUnavailable
from soulbox.model.keys import USER_ANNOTATION
from soulbox.model.runs import ResultValue
from soulbox.model.states import Kind, RunOutcome
from tests.support.builders import make_execution, make_function
from tests.support.fake_api import Refusal
from tests.support.reconciling import NAMESPACE, Bench, uid_of, working
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


async def test_call_of_a_function_whose_class_went_says_so_and_ends(bench: Bench) -> None:
    bench.add_class()
    add_function(bench)
    await bench.settle()
    bench.api.delete("sandboxclasses", "", "python")
    await bench.settle()
    add_call(bench)
    await bench.settle()
    await bench.elapse(2)
    message = bench.execution("call")["status"]["message"]
    assert 'SandboxClass "python" does not exist' in message
    await bench.elapse(60)
    assert told(bench) == ("Failed", "InvalidSpec")


async def test_call_tells_why_its_function_has_no_sandbox(bench: Bench) -> None:
    bench.add_class()
    add_function(bench)
    await bench.settle()
    refusal = Refusal(403, "Forbidden", "exceeded quota: boxes")
    bench.api.refuse("create", "sandboxes", refusal, times=5)
    add_call(bench)
    await bench.settle()
    await bench.elapse(2)
    message = bench.execution("call")["status"]["message"]
    assert "it has none yet. The API server refused a Sandbox that its calls need" in message
    assert "exceeded quota: boxes" in message
    bench.api.stop_refusing()
    await bench.elapse(30)
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert told(bench)[0] == "Completed"


@pytest.mark.parametrize("scale", [0, 1])
async def test_lost_call_that_is_idempotent_runs_again(bench: Bench, scale: int) -> None:
    bench.add_class()
    add_function(bench, scale={"max": scale}, idempotent=True)
    await bench.settle()
    uid = add_call(bench)
    await bench.settle()
    bench.runner.never_ends()
    lost, lost_uid = bench.pod_name, bench.pod_uid
    bench.api.run_pod(lost)
    await bench.settle()
    assert bench.runner.begun == [uid]
    bench.runner.runs.clear()
    bench.runner.outcome = make_finished()
    bench.records.committed.add(lost_uid)
    bench.api.end_pod(lost)
    await bench.settle(passes=PASSES)
    for pod in bench.api.named("pods"):
        if pod != lost:
            bench.api.run_pod(pod)
    await bench.settle(passes=PASSES)
    assert bench.runner.begun == [uid, uid]
    assert (told(bench)[0], bench.execution("call")["status"]["attempt"]) == ("Completed", 2)


async def test_idempotent_call_whose_sandbox_was_deleted_runs_in_another(bench: Bench) -> None:
    uid = await called(bench, idempotent=True)
    (box,) = bench.api.named("sandboxes")
    bench.api.delete("sandboxes", NAMESPACE, box)
    await bench.settle(passes=PASSES)
    assert bench.runner.said("cancel") == [uid]
    pod = bench.pod_name
    bench.runner.outcome = make_finished()
    bench.runner.end(uid, make_finished(RunOutcome.CANCELLED))
    await bench.settle(passes=PASSES)
    assert told(bench, "first")[0] == "Queued"
    del bench.runner.runs[uid]
    for name in bench.api.named("pods"):
        if name != pod:
            bench.api.run_pod(name)
    await bench.settle(passes=PASSES)
    assert bench.runner.begun == [uid, uid]
    status = bench.execution("first")["status"]
    assert (status["state"], status["attempt"]) == ("Completed", 2)


async def dispatched_and_not_started(bench: Bench, scale: int) -> str:
    """A call whose mark is written, and of which no runner heard."""
    bench.add_class()
    add_function(bench, scale={"max": scale})
    await bench.settle()
    uid = add_call(bench)
    await bench.settle()
    unheard = RunnerUnavailable("no answer")
    bench.runner.faults["start"].extend([unheard] * 3)
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    await bench.restart()
    bench.runner.faults["start"].clear()
    assert bench.runner.begun == []
    return uid


async def test_call_in_a_pod_of_its_own_is_started_by_the_next_operator(bench: Bench) -> None:
    uid = await dispatched_and_not_started(bench, 0)
    await bench.settle(passes=PASSES)
    assert bench.runner.begun == [uid]
    assert bench.runner.requests[uid].code == make_function()["spec"]["code"]
    assert told(bench)[0] == "Completed"


async def test_nothing_is_run_in_place_of_a_version_that_is_gone(bench: Bench) -> None:
    await dispatched_and_not_started(bench, 1)
    (revision,) = bench.api.named("controllerrevisions")
    bench.api.delete("functions", NAMESPACE, "resize")
    del bench.api.objects["controllerrevisions", NAMESPACE, revision]
    await bench.settle(passes=PASSES)
    assert bench.runner.begun == [], "an empty program would end well"
    assert told(bench)[0] == "Failed"


@pytest.mark.parametrize("ends", ["it is refused", "its Function goes"])
async def test_finished_calls_do_not_stay_for_ever(bench: Bench, ends: str) -> None:
    first = await called(bench, ttlSecondsAfterFinished=100)
    bench.runner.end(first, make_finished())
    await bench.settle()
    kept = 100
    if ends == "it is refused":
        add_call(bench, functionRef={"name": "resize", "version": "77"})
        await bench.settle()
        await bench.elapse(60)
        assert told(bench) == ("Failed", "VersionNotFound")
    else:
        kept = 3_600
        (revision,) = bench.api.named("controllerrevisions")
        bench.api.delete("functions", NAMESPACE, "resize")
        del bench.api.objects["controllerrevisions", NAMESPACE, revision]
        await bench.restart()
        await bench.settle()
    for name in bench.api.named("executions"):
        bench.records.committed.add(uid_of(bench.execution(name)))
        bench.keys.add(Kind.EXECUTION, uid_of(bench.execution(name)))
    await bench.settle(passes=PASSES)
    await bench.elapse(kept)
    await bench.settle(passes=PASSES)
    assert bench.api.named("executions") == []


@pytest.mark.parametrize(("user", "pays"), [(None, "owner"), ("caller", "caller")])
async def test_pod_of_a_call_is_billed_to_who_is_named(
    bench: Bench, user: str | None, pays: str
) -> None:
    bench.add_class()
    add_function(bench, scale={"max": 0}, user="owner")
    await bench.settle()
    add_call(bench, user=user)
    await bench.settle()
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    assert pod["metadata"]["annotations"][USER_ANNOTATION] == pays


class SlowJudge:
    """Answers when the test says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = asyncio.Event()
        self.verdict = Verdict(outcome=Outcome.GOOD)

    async def check_schema(self, *_: Any, field: str, **__: Any) -> Verdict:
        self.asked.append(field)
        await self.answer.wait()
        return self.verdict

    async def validate(self, *_: Any, name: str, **__: Any) -> Verdict:
        self.asked.append(name)
        await self.answer.wait()
        return self.verdict


async def test_slow_judge_holds_no_worker_and_the_call_goes_on_with_its_answer(
    tmp_path: Path,
) -> None:
    judge = SlowJudge()
    async with working(tmp_path, judge=judge) as bench:
        bench.add_class()
        schema = {"type": "object"}
        add_function(bench, scale={"max": 0}, inputSchema=schema, outputSchema=schema)
        await bench.settle()
        assert bench.api.named("controllerrevisions") == []
        judge.answer.set()
        await bench.settle()
        judge.answer.clear()
        add_call(bench, input={})
        await bench.settle()
        assert bench.api.named("pods") == []
        await bench.elapse(2)
        words = bench.execution("call")["status"]["message"]
        assert words == "Waiting for its input to be judged by inputSchema."
        judge.answer.set()
        await bench.settle()
        judge.answer.clear()
        left = ResultValue({"a": 1})
        bench.runner.outcome = make_finished(left=left)
        bench.api.run_pod(bench.pod_name)
        await bench.settle()
        assert told(bench)[0] == "Queued", "its result is being judged"
        judge.verdict = Verdict(outcome=Outcome.BAD, problems=("result is wrong",))
        judge.answer.set()
        await bench.settle()
        assert told(bench) == ("Failed", "ResultInvalid")
        assert judge.asked == ["inputSchema", "outputSchema", "input", "result"]
        assert len(bench.executions.judging) == 0
