"""Runners that code has crippled, and runs whose Execution is no more."""

from __future__ import annotations

from typing import Any

import pytest

from soulbox.model.errors import RunnerRefused, RunnerUnavailable, StoreUnavailable
from soulbox.model.runs import RunDocument
from soulbox.model.states import Kind, RunOutcome
from soulbox.reconcile.health import RunnerHealth
from tests.support.reconciling import NAMESPACE, Bench
from tests.support.seen import make_finished

BOX, RUN = Kind.SANDBOX, Kind.EXECUTION
ONE_SHOT: dict[str, Any] = {"sandboxRef": None, "className": "python"}
STRIPPED = {"metadata": {"finalizers": None}}


# Whether a runner is hurt.


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> RunnerHealth:
    return RunnerHealth(lambda _: None, lambda *_: None, clock)


def test_runner_is_hurt_after_three_failures_over_twenty_seconds(
    health: RunnerHealth, clock: Clock
) -> None:
    health.answered("p")
    for second, want in ((0, False), (10, False), (19, False), (20, True)):
        clock.now = second
        health.failed("p")
        assert health.is_hurt("p") is want, second
    assert not health.is_hurt("other")
    health.forget_others({"other"})
    assert not health.is_hurt("p")


def test_runner_that_never_answered_this_operator_is_given_minutes(
    health: RunnerHealth, clock: Clock
) -> None:
    """Its network may refuse a new operator, whose address it does not know yet."""
    for second in (0, 100, 200, 299):
        clock.now = second
        health.failed("p")
        assert not health.is_hurt("p"), second
    clock.now = 300
    assert health.is_hurt("p")


def test_two_failures_are_no_proof_however_long_ago(health: RunnerHealth, clock: Clock) -> None:
    health.answered("p")
    health.failed("p")
    clock.now = 600
    health.failed("p")
    assert not health.is_hurt("p")


def test_an_answer_begins_the_count_anew(health: RunnerHealth, clock: Clock) -> None:
    for second in (0, 10, 19):
        clock.now = second
        health.failed("p")
    health.answered("p")
    clock.now = 20
    health.failed("p")
    assert not health.is_hurt("p")


# What follows.


async def wedge(bench: Bench) -> None:
    """Calls about runs get through to the pod and fail for half a minute."""
    pod_uid = next(
        uid
        for uid in (
            bench.api.get("pods", NAMESPACE, name)["metadata"]["uid"]
            for name in bench.api.named("pods")
        )
    )
    for _ in range(3):
        bench.health.failed(pod_uid)
        bench.advance(10)
    bench.health.failed(pod_uid)
    await bench.settle()


async def test_sandbox_whose_runner_is_hurt_gets_another_pod_and_its_runs_end(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    bench.runner.never_ends()
    bench.add_execution()
    await bench.settle()
    name, pod_uid = bench.pod_name, bench.pod_uid
    await wedge(bench)
    status = bench.sandbox()["status"]
    assert status["state"] == "Error"
    assert ("Warning", "RunnerFailed") in bench.posted()
    pod = bench.api.get("pods", NAMESPACE, name)
    assert pod["metadata"]["deletionTimestamp"]

    bench.api.end_pod(name, exit_code=137)
    await bench.settle()
    ended = bench.execution()["status"]
    assert (ended["state"], ended["reason"]) == ("Failed", "Lost")
    assert ended["message"].startswith("Its runner no longer served calls")
    bench.records.committed.add(pod_uid)
    await bench.elapse(1)
    (successor,) = set(bench.api.named("pods")) - {name}
    bench.api.run_pod(successor)
    await bench.settle()
    assert bench.sandbox()["status"]["state"] == "Running"


async def test_suspended_sandbox_does_not_wait_for_a_hurt_runner(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.never_ends()
    bench.add_execution()
    await bench.settle()
    bench.api.edit("sandboxes", NAMESPACE, "box", {"spec": {"suspend": True}})
    await bench.settle()
    assert bench.sandbox()["status"]["reason"] == "Suspending"
    name = bench.pod_name
    await wedge(bench)
    assert ("Warning", "RunnerFailed") in bench.posted()
    bench.api.end_pod(name, exit_code=137)
    await bench.settle()
    assert bench.execution()["status"]["reason"] == "Lost"
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Stopped", "Suspended")


async def test_one_shot_whose_runner_is_hurt_ends(bench: Bench) -> None:
    bench.add_class()
    bench.runner.never_ends()
    bench.add_execution(**ONE_SHOT)
    await bench.settle()
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    await wedge(bench)
    bench.api.end_pod(bench.pod_name, exit_code=137)
    await bench.settle()
    ended = bench.execution()["status"]
    assert (ended["state"], ended["reason"]) == ("Failed", "Lost")


async def test_calls_that_do_not_get_through_hurt_nobody(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.never_ends()
    away = [RunnerUnavailable("no connection"), RunnerUnavailable("broken", reached=True)]
    bench.runner.faults["start"].extend(away)
    bench.add_execution()
    await bench.settle()
    for _ in range(20):
        if bench.runner.begun:
            break
        await bench.settle()
    failing = bench.health._failing.get(bench.pod_uid)
    assert failing is None or failing.failures <= 1


async def test_runner_that_says_no_serves_calls(bench: Bench) -> None:
    """Full of results that wait for PostgreSQL, say: with its pod they would be lost."""
    await bench.running_sandbox()
    bench.health.failed(bench.pod_uid)
    bench.health.failed(bench.pod_uid)
    bench.advance(20)
    bench.runner.faults["start"].append(RunnerRefused(429, "TableFull", "16 results wait"))
    bench.runner.never_ends()
    bench.add_execution()
    await bench.settle()
    bench.health.failed(bench.pod_uid)
    assert not bench.health.is_hurt(bench.pod_uid)


# An Execution that goes while its code runs.


async def started(bench: Bench, **spec: Any) -> str:
    bench.runner.never_ends()
    uid = bench.add_execution(**spec)
    await bench.settle()
    return uid


async def finish(bench: Bench, uid: str, run: RunDocument) -> None:
    bench.runner.end(uid, run)
    for _ in range(10):
        await bench.settle()


async def test_execution_that_goes_without_its_finalizer_has_its_code_ended_and_recorded(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    uid = await started(bench)
    bench.api.edit("executions", NAMESPACE, "run", STRIPPED)
    bench.api.delete("executions", NAMESPACE, "run")
    await bench.settle()
    assert bench.runner.said("cancel") == [uid]
    assert uid not in bench.records.gone, "its end is still to be known"
    await finish(bench, uid, make_finished(RunOutcome.CANCELLED, stdout=b"begun\n"))
    assert uid in bench.records.gone
    status = bench.records.last[uid]["status"]
    assert (status["state"], status["reason"]) == ("Cancelled", "Cancelled")
    assert status["output"]["stdout"] == "begun\n"
    assert "was deleted while its code ran" in status["message"]
    assert bench.runner.said("release") == [uid]


async def test_outcome_of_a_run_that_went_is_recorded_where_its_output_cannot_be(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def save_output(*_: Any) -> int:
        raise StoreUnavailable("no connection")

    monkeypatch.setattr(bench.records, "save_output", save_output)
    await bench.running_sandbox()
    uid = await started(bench)
    bench.api.edit("executions", NAMESPACE, "run", STRIPPED)
    bench.api.delete("executions", NAMESPACE, "run")
    await bench.settle()
    await finish(bench, uid, make_finished(stdout=b"x" * 40_000))
    status = bench.records.last[uid]["status"]
    assert (status["state"], status["exitCode"]) == ("Completed", 0)
    assert uid not in bench.records.complete


async def test_its_runner_does_not_know_the_run_and_it_is_recorded_all_the_same(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    uid = await started(bench)
    bench.runner.runs.clear()
    bench.api.edit("executions", NAMESPACE, "run", STRIPPED)
    bench.api.delete("executions", NAMESPACE, "run")
    for _ in range(10):
        await bench.settle()
    assert uid in bench.records.gone
    assert bench.records.last[uid]["status"]["state"] == "Cancelled"
    assert not bench.services.memory.farewells


async def test_pod_of_a_one_shot_waits_for_its_output_to_be_saved(bench: Bench) -> None:
    bench.add_class()
    uid = await started(bench, **ONE_SHOT)
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    bench.api.edit("executions", NAMESPACE, "run", STRIPPED)
    bench.api.delete("executions", NAMESPACE, "run")
    await bench.settle()
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    assert "deletionTimestamp" not in pod["metadata"]
    await finish(bench, uid, make_finished(RunOutcome.CANCELLED, stdout=b"\xff" * 40_000))
    assert bench.records.last[uid]["status"]["state"] == "Cancelled"
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    assert "deletionTimestamp" in pod["metadata"]
    assert uid in bench.records.complete
