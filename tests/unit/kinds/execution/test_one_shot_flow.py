"""An Execution with a pod of its own: made, run, recorded, cleared away."""

from __future__ import annotations

from typing import Any

import pytest

from soulbox.model.errors import RunnerUnavailable
from soulbox.model.keys import EXECUTION_UID_LABEL, RECORDED_FINALIZER
from soulbox.model.states import Kind
from soulbox.pure.pods.names import pod_name
from tests.support.fake_api import Refusal
from tests.support.reconciling import NAMESPACE, Bench
from tests.support.seen import make_finished

RUN, POD = Kind.EXECUTION, Kind.POD
ONE_SHOT: dict[str, Any] = {"sandboxRef": None, "className": "python"}


async def record(bench: Bench, *uids: str, wake: str) -> None:
    """Rows of these are committed."""
    bench.records.committed.update(uids)
    bench.keys.add(RUN, wake)
    await bench.settle()


async def ran(bench: Bench, **spec: Any) -> str:
    """A one-shot that ended well, its pod still there; its uid."""
    bench.add_class()
    uid = bench.add_execution(**ONE_SHOT | spec)
    await bench.settle()
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"
    return uid


async def test_whole_life_and_every_write_of_it(bench: Bench) -> None:
    bench.add_class()
    uid = bench.add_execution(**ONE_SHOT)
    await bench.settle()
    assert bench.api.take_writes() == [
        ("create", "networkpolicies"),
        ("patch", "executions"),  # finalizer
        ("create", "pods"),
    ]
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    pod_uid = bench.pod_uid
    assert pod["metadata"]["labels"][EXECUTION_UID_LABEL] == uid
    assert "--one-shot" in pod["spec"]["containers"][0]["command"]
    assert "activeDeadlineSeconds" not in pod["spec"]

    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.api.take_writes() == [
        ("patch", "executions"),  # handed over
        ("patch", "executions/status"),
    ]
    assert bench.execution()["status"]["state"] == "Completed"
    assert bench.runner.said("release") == []

    await record(bench, uid, wake=uid)
    assert bench.runner.said("release") == [uid], "with it a one-shot's runner exits"
    bench.api.end_pod(bench.pod_name)
    await bench.settle()
    assert bench.api.take_writes() == [], "the pod's times are not in the ledger yet"
    await record(bench, pod_uid, wake=uid)
    # Released, it goes with the deletion.
    assert bench.api.take_writes() == [("patch", "pods"), ("delete", "pods")]
    assert bench.api.named("pods") == []
    for _ in range(5):
        await bench.elapse(60)
    assert bench.api.take_writes() == [], "the object stays, and costs nothing"


async def test_deletion_waits_for_pod_and_record(bench: Bench) -> None:
    uid = await ran(bench)
    pod_uid = bench.pod_uid
    await record(bench, uid, wake=uid)
    bench.api.delete("executions", NAMESPACE, "run")
    await bench.settle()
    assert bench.execution()["metadata"]["finalizers"] == [RECORDED_FINALIZER]
    assert "deletionTimestamp" in bench.api.get("pods", NAMESPACE, bench.pod_name)["metadata"]
    bench.api.end_pod(bench.pod_name)
    await record(bench, pod_uid, wake=uid)
    assert bench.api.named("pods") == []
    assert bench.api.named("executions") == []


async def test_deletion_before_the_pod_ever_ran_leaves_nothing(bench: Bench) -> None:
    bench.add_class()
    uid = bench.add_execution(**ONE_SHOT)
    await bench.settle()
    pod_uid = bench.pod_uid
    bench.api.delete("executions", NAMESPACE, "run")
    await bench.settle()
    assert bench.execution()["status"]["reason"] == "Cancelled"
    await record(bench, uid, pod_uid, wake=uid)
    assert bench.api.named("pods") == []
    assert bench.api.named("executions") == []
    assert bench.runner.said("start") == []


async def test_runner_that_does_not_exit_has_its_pod_deleted(bench: Bench) -> None:
    uid = await ran(bench, ttlSecondsAfterFinished=3600)
    await record(bench, uid, wake=uid)
    bench.api.take_writes()
    await bench.elapse(5)
    assert bench.api.take_writes() == []
    await bench.elapse(8)
    assert bench.api.take_writes() == [("delete", "pods")]


async def test_pod_that_ends_before_its_runner_answers_fails_it(bench: Bench) -> None:
    bench.add_class()
    bench.add_execution(**ONE_SHOT)
    await bench.settle()
    bench.api.end_pod(bench.pod_name, reason="Error", exit_code=127)
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "StartFailed")
    assert "exit code 127" in status["message"]
    assert "None of its code ran." in status["message"]


REFUSALS: dict[str, tuple[Refusal, str]] = {
    "quota": (Refusal(403, "Forbidden", "exceeded quota: q"), "QuotaExceeded"),
    "Pod Security": (Refusal(403, "Forbidden", "violates PodSecurity"), "StartFailed"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refused_pod_is_shown_tried_again_and_given_up_after_a_minute(
    bench: Bench, name: str
) -> None:
    refusal, want_reason = REFUSALS[name]
    bench.api.refuse("create", "pods", refusal, times=1000)
    bench.add_class()
    uid = bench.add_execution(**ONE_SHOT)
    await bench.settle()
    await bench.elapse(6)
    status = bench.execution()["status"]
    assert status["state"] == "Queued"
    assert refusal.body["message"] in status["message"]
    for _ in range(12):
        await bench.elapse(6)
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", want_reason)

    bench.api.take_writes()
    bench.keys.add(RUN, uid)
    await bench.settle()
    assert (RUN, uid) not in bench.keys.later, "nothing is tried any more"
    assert bench.api.take_writes() == []


async def test_refusal_that_ends_lets_it_run(bench: Bench) -> None:
    bench.api.refuse("create", "pods", REFUSALS["quota"][0], times=2)
    bench.add_class()
    uid = bench.add_execution(**ONE_SHOT)
    await bench.settle()
    await bench.elapse(6)
    await bench.elapse(6)
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"
    assert uid not in bench.executions.refusals


async def test_pod_of_its_name_that_is_another_s_fails_it(bench: Bench) -> None:
    uid = bench.add_execution(**ONE_SHOT)
    name = pod_name("run", uid, 1)
    bench.api.add("pods", {"metadata": {"name": name, "namespace": NAMESPACE}})
    bench.add_class()
    await bench.settle()
    for _ in range(12):
        await bench.elapse(6)
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "StartFailed")
    assert "that is not of this Execution" in status["message"]


async def test_restart_with_a_pod_that_waits_goes_on_where_it_was(bench: Bench) -> None:
    bench.add_class()
    uid = bench.add_execution(**ONE_SHOT)
    await bench.settle()
    bench.api.run_pod(bench.pod_name)
    await bench.restart()
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"
    assert bench.runner.said("start") == [uid]
    assert len(bench.api.named("pods")) == 1


async def test_restart_after_the_end_saves_the_output_before_the_pod_goes(bench: Bench) -> None:
    bench.runner.outcome = make_finished(stdout=b"\xff")
    bench.runner.outputs = {"stdout": [b"\xff"]}
    bench.runner.faults["read stdout"].append(RunnerUnavailable("busy"))
    bench.add_class()
    uid = bench.add_execution(**ONE_SHOT)
    await bench.settle()
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"
    bench.advance(3600)
    bench.records.committed.add(uid)
    await bench.restart()
    await bench.settle()
    assert bench.records.outputs == {(uid, "stdout"): b"\xff"}
    assert bench.runner.said("release") == [uid]


async def test_runner_that_does_not_answer_after_a_restart_is_given_up(bench: Bench) -> None:
    uid = await ran(bench)
    bench.advance(3600)
    bench.runner.faults["list"].extend([RunnerUnavailable("silent")] * 1000)
    await bench.restart()
    bench.api.take_writes()
    await bench.settle()
    assert bench.api.take_writes() == [], "it is asked first"
    bench.records.committed.add(uid)
    await bench.elapse(12)
    assert bench.api.take_writes() == [("delete", "pods")]


async def test_class_s_defaults_are_its_limits(bench: Bench) -> None:
    uid = await ran(bench)
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["cpu"], limits["memory"]) == ("250m", "256Mi")
    assert bench.execution()["status"]["receipt"]["limits"]["cpu"] == "250m"
    assert bench.runner.requests[uid].max_file_size_bytes == 2**40


async def test_output_of_a_one_shot_is_saved_before_its_runner_may_exit(bench: Bench) -> None:
    bench.runner.outcome = make_finished(stdout=b"\xff")
    bench.runner.outputs = {"stdout": [b"\xff"]}
    uid = await ran(bench)
    assert bench.records.outputs == {(uid, "stdout"): b"\xff"}
