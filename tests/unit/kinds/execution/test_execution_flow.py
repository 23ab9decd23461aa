"""An Execution on an API server that counts: dispatched once, ended once, in few writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from soulbox.kinds.execution.decide.seen import RunProblem
from soulbox.kinds.execution.receipt import write_terms
from soulbox.model.errors import HostileReply, KubeUnavailable, RunnerRefused, RunnerUnavailable
from soulbox.model.keys import (
    DISPATCHED_ANNOTATION,
    RECORDED_FINALIZER,
    SANDBOX_UID_LABEL,
    TERMS_ANNOTATION,
)
from soulbox.model.runs import ResultFile, ResultValue, RunDocument
from soulbox.model.states import ExecutionReason, Kind, RunOutcome
from tests.support.fake_api import Refusal
from tests.support.reconciling import NAMESPACE, Bench, uid_of
from tests.support.seen import make_finished, make_run, make_terms

BOX, RUN = Kind.SANDBOX, Kind.EXECUTION
DISPATCH = ("patch", "executions")
STATUS = ("patch", "executions/status")
COUNTERS = ("patch", "sandboxes/status")


async def run_once(bench: Bench, outcome: RunDocument | None = None, **spec: Any) -> str:
    """An Execution that ends with the runner's first answer; its uid."""
    bench.runner.outcome = outcome or make_finished()
    uid = bench.add_execution(**spec)
    await bench.settle()
    return uid


async def start_one(bench: Bench, name: str = "run", **spec: Any) -> str:
    """An Execution whose code runs and runs; its uid."""
    bench.runner.never_ends()
    uid = bench.add_execution(name, **spec)
    await bench.settle()
    assert uid in bench.runner.runs
    return uid


async def record(bench: Bench, uid: str) -> None:
    """Its final row is committed."""
    bench.records.committed.add(uid)
    bench.keys.add(RUN, uid)
    await bench.settle()


def dispatched(bench: Bench) -> list[str]:
    """Names of Executions that were handed over."""
    return [
        name
        for name in bench.api.named("executions")
        if DISPATCHED_ANNOTATION in bench.execution(name)["metadata"].get("annotations", {})
    ]


# The budget of writes.


async def test_execution_in_a_running_sandbox_takes_two_writes(bench: Bench) -> None:
    box_uid = await bench.running_sandbox()
    pod_uid = bench.pod_uid
    uid = await run_once(bench)
    assert bench.api.take_writes() == [DISPATCH, STATUS]

    execution = bench.execution()
    metadata, status = execution["metadata"], execution["status"]
    assert metadata["finalizers"] == [RECORDED_FINALIZER]
    mark = f"{pod_uid}/1/{uid}"
    assert metadata["annotations"].pop(TERMS_ANNOTATION) == write_terms(make_terms(), mark)
    assert metadata["annotations"] == {DISPATCHED_ANNOTATION: mark}
    assert metadata["labels"] == {SANDBOX_UID_LABEL: box_uid}
    assert (status["state"], status["reason"], status["exitCode"]) == ("Completed", "Completed", 0)
    assert status["output"]["stdout"] == "42\n"
    assert status["observedGeneration"] == metadata["generation"]
    assert status["receipt"]["podUID"] == pod_uid
    assert status["receipt"]["runnerVersion"] == "0.1.0"
    assert status["billing"]["pricePlan"] == "p1"
    assert bench.runner.said("start") == [uid]
    assert bench.posted()[-1] == ("Normal", "Completed")


OPERATIONS = {
    "made by a client": (["Update"], [{}]),
    "applied on the client's side": (["Update", "Update"], [{}]),
    "applied on the server's side": (
        ["Apply", "Update"],
        [{"operation": "Apply"}, {"operation": "Update"}],
    ),
}


@pytest.mark.parametrize(("operations", "want"), OPERATIONS.values(), ids=OPERATIONS.keys())
async def test_record_of_who_set_which_field_is_kept_for_what_was_applied(
    bench: Bench, operations: list[str], want: list[dict[str, str]]
) -> None:
    await bench.running_sandbox()
    bench.runner.outcome = make_finished()
    bench.add_execution()
    entries = [{"operation": operation} for operation in operations]
    bench.api.edit("executions", NAMESPACE, "run", {"metadata": {"managedFields": entries}})
    await bench.settle()
    execution = bench.execution()
    assert execution["status"]["state"] == "Completed"
    # The API server takes one empty entry as the word to keep no record.
    assert execution["metadata"]["managedFields"] == want


async def test_run_that_lasts_takes_three_writes(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = await start_one(bench)
    assert bench.api.take_writes() == [DISPATCH]
    await bench.elapse(3)
    assert bench.api.take_writes() == [STATUS]
    assert bench.execution()["status"]["state"] == "Running"
    await bench.elapse(30)
    assert bench.api.take_writes() == [COUNTERS]
    for _ in range(5):
        await bench.elapse(60)
    assert bench.api.take_writes() == [], "running for long costs nothing"

    bench.runner.end(uid, make_finished())
    await bench.settle()
    assert bench.api.take_writes() == [STATUS]
    assert bench.execution()["status"]["state"] == "Completed"


async def test_queued_behind_others_it_takes_four_writes(bench: Bench) -> None:
    await bench.running_sandbox()
    first = await start_one(bench, "first")
    second = bench.add_execution("second")
    await bench.settle()
    for seconds in (3, 4):
        await bench.elapse(seconds)
    assert bench.execution("second")["status"]["state"] == "Queued"
    assert "Waiting for its turn" in bench.execution("second")["status"]["message"]
    bench.runner.end(first, make_finished())
    await bench.settle()
    await bench.elapse(3)
    bench.runner.end(second, make_finished())
    await bench.settle()
    assert bench.execution("second")["status"]["state"] == "Completed"
    assert bench.runner.said("start") == [first, second]
    writes = [(one.verb, one.what) for one in bench.api.writes if one.name == "second"]
    assert writes == [STATUS, DISPATCH, STATUS, STATUS], "Queued, handed over, Running, Completed"


async def test_deletion_of_a_finished_one_takes_one_write(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = await run_once(bench)
    bench.api.take_writes()
    bench.api.delete("executions", NAMESPACE, "run")
    await bench.settle()
    assert bench.api.take_writes() == [], "its row is not committed yet"
    await record(bench, uid)
    assert bench.api.take_writes() == [("patch", "executions")]
    assert bench.api.named("executions") == []


# Waiting for its turn.


@pytest.mark.parametrize("room", [1, 2, 3])
async def test_no_more_run_at_once_than_the_sandbox_has_room_for(bench: Bench, room: int) -> None:
    await bench.running_sandbox(maxConcurrentExecutions=room)
    bench.runner.never_ends()
    uids = [bench.add_execution(f"e{number}") for number in range(4)]
    await bench.settle()
    assert dispatched(bench) == [f"e{number}" for number in range(room)], "first come first"

    bench.runner.end(uids[0], make_finished())
    await bench.settle()
    assert dispatched(bench) == [f"e{number}" for number in range(room + 1)]


async def test_one_that_is_being_deleted_in_the_queue_holds_nobody_up(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.add_execution("first")
    held = {"metadata": {"finalizers": ["example.com/theirs"]}}
    bench.api.edit("executions", NAMESPACE, "first", held)
    bench.api.delete("executions", NAMESPACE, "first")
    await run_once(bench)
    assert bench.execution()["status"]["state"] == "Completed"
    assert bench.execution("first")["status"]["state"] == "Cancelled"


async def test_sandbox_that_comes_later_is_waited_for(bench: Bench) -> None:
    bench.add_execution()
    await bench.settle()
    assert bench.api.take_writes() == []
    await bench.elapse(3)
    assert bench.api.take_writes() == [STATUS]
    assert 'Sandbox "box" does not exist' in bench.execution()["status"]["message"]
    await bench.running_sandbox()
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"


async def test_sandbox_that_never_comes_fails_it_after_a_minute(bench: Bench) -> None:
    bench.add_execution()
    await bench.settle()
    for _ in range(8):
        await bench.elapse(8)
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "SandboxNotFound")
    assert bench.posted()[-1] == ("Warning", "SandboxNotFound")
    bench.api.take_writes()
    await bench.elapse(3600)
    assert bench.api.take_writes() == []


# Once, whatever happens between.


async def test_dispatch_on_a_stale_version_starts_nothing(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = bench.add_execution()
    bench.watch()
    bench.keys.ready.clear()
    bench.api.edit("executions", NAMESPACE, "run", {"spec": {"cancel": True}})
    await bench.reconcile(RUN, uid)
    assert [one.status for one in bench.api.writes] == [409]
    await bench.settle()
    assert bench.runner.said("start") == []
    assert bench.execution()["status"]["state"] == "Cancelled"


async def test_dispatch_that_is_not_written_starts_nothing(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = bench.add_execution()
    bench.watch()
    bench.keys.ready.clear()
    bench.api.refuse("patch", "executions", Refusal(504, "Timeout", "x"))
    with pytest.raises(KubeUnavailable):
        await bench.reconcile(RUN, uid)
    await bench.close()
    assert bench.runner.said("start") == []
    bench.keys.add(RUN, uid)
    await bench.settle()
    assert bench.runner.said("start") == [uid]
    assert bench.execution()["status"]["state"] == "Completed"


async def test_restart_asks_after_a_run_and_starts_nothing_new(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = await start_one(bench)
    await bench.restart()
    bench.runner.calls.clear()
    await bench.settle()
    bench.runner.end(uid, make_finished())
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"
    assert len(bench.runner.runs) == 1


async def test_restart_between_annotation_and_start_runs_the_code(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = bench.add_execution()
    patch = {"annotations": {DISPATCHED_ANNOTATION: f"{bench.pod_uid}/1"}}
    bench.api.edit("executions", NAMESPACE, "run", {"metadata": patch})
    await bench.restart()
    await bench.settle()
    assert bench.runner.said("start") == [uid]
    assert bench.execution()["status"]["state"] == "Completed"


async def test_restart_after_the_pod_ended_loses_the_run_and_never_runs_it_again(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    await start_one(bench)
    await bench.close()
    bench.api.end_pod(bench.pod_name, reason="OOMKilled", exit_code=137)
    await bench.restart()
    bench.runner.calls.clear()
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "OOMKilled")
    assert bench.runner.said("start") == []


async def test_restart_saves_the_output_of_a_run_that_had_ended(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.outputs = {"stdout": [b"\xff"]}
    bench.runner.faults["read stdout"].append(RunnerUnavailable("busy"))
    uid = bench.add_execution()
    bench.runner.outcome = make_finished(stdout=b"\xff")
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"
    assert bench.records.outputs == {}
    await bench.restart()
    await bench.settle()
    assert bench.records.outputs == {(uid, "stdout"): b"\xff"}
    assert bench.records.complete == {uid}


async def test_runner_is_not_believed_about_an_execution_it_was_not_handed(bench: Bench) -> None:
    await bench.running_sandbox()
    await start_one(bench)
    victim = bench.add_execution("victim")
    await bench.settle()
    bench.runner.runs[victim] = make_finished(uid=victim, stdout=b"forged")
    await bench.restart()
    await bench.settle()
    assert victim not in bench.runner.said("get")
    assert bench.execution("victim")["status"].get("state", "Queued") == "Queued"
    assert bench.runner.said("release") == [], "perhaps the watch is late"


async def test_attempt_that_was_given_up_is_let_go_when_its_runner_tells_of_it(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    uid = await start_one(bench)
    mark = {"metadata": {"annotations": {DISPATCHED_ANNOTATION: f"{bench.pod_uid}/2"}}}
    bench.api.edit("executions", NAMESPACE, "run", mark)
    await bench.restart()
    await bench.settle()
    assert bench.runner.said("cancel") == bench.runner.said("release") == [uid]
    assert bench.execution()["status"]["state"] != "Completed"


async def test_output_that_does_not_come_holds_no_worker(bench: Bench) -> None:
    await bench.running_sandbox()
    sent = asyncio.Event()

    async def slowly(*_: Any) -> AsyncIterator[bytes]:
        await sent.wait()
        yield b"\xff"

    bench.runner.read_output = slowly  # type: ignore[method-assign, assignment]
    uid = await run_once(bench, make_finished(stdout=b"\xff"))
    assert bench.records.outputs == {}
    bench.keys.add(Kind.EXECUTION, uid)
    await bench.settle()
    sent.set()
    await bench.settle()
    assert bench.records.outputs == {(uid, "stdout"): b"\xff"}
    assert bench.records.complete == {uid}


# Ends that somebody asks for.


async def test_cancel_while_it_runs_kills_it(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = await start_one(bench)
    bench.api.edit("executions", NAMESPACE, "run", {"spec": {"cancel": True}})
    await bench.settle()
    assert set(bench.runner.said("cancel")) == {uid}
    bench.runner.end(uid, make_finished(RunOutcome.CANCELLED, stdout=b"half"))
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Cancelled", "Cancelled")
    assert status["output"]["stdout"] == "half"


@pytest.mark.parametrize(
    "fault",
    [RunnerRefused(410, "Released", "gone"), HostileReply("no")],
    ids=["refused", "hostile"],
)
async def test_cancel_that_the_runner_does_not_take_is_no_crash(
    bench: Bench, fault: Exception
) -> None:
    await bench.running_sandbox()
    uid = await start_one(bench)
    bench.runner.faults["cancel"].append(fault)
    bench.api.edit("executions", NAMESPACE, "run", {"spec": {"cancel": True}})
    await bench.settle()
    bench.runner.end(uid, make_finished(RunOutcome.CANCELLED))
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Cancelled"
    assert "soulbox_runner_errors_total{" in bench.metrics.render().decode()


async def test_deletion_while_it_runs_cancels_records_and_then_goes(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = await start_one(bench)
    bench.api.delete("executions", NAMESPACE, "run")
    await bench.settle()
    assert set(bench.runner.said("cancel")) == {uid}
    bench.runner.end(uid, make_finished(RunOutcome.CANCELLED))
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Cancelled"
    await record(bench, uid)
    assert bench.api.named("executions") == []
    assert bench.runner.said("release") == [uid]


async def test_sandbox_that_is_deleted_ends_what_runs_in_it(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = await start_one(bench)
    bench.api.delete("sandboxes", NAMESPACE, "box")
    await bench.settle()
    assert set(bench.runner.said("cancel")) == {uid}
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    assert "deletionTimestamp" not in pod["metadata"], "the run may still end with its output"
    bench.runner.end(uid, make_finished(RunOutcome.CANCELLED, stdout=b"half"))
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "SandboxTerminated")
    assert status["output"]["stdout"] == "half"
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    assert "deletionTimestamp" in pod["metadata"]


async def test_time_to_live_deletes_it_when_it_is_recorded(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = await run_once(bench, ttlSecondsAfterFinished=20)
    await record(bench, uid)
    bench.api.take_writes()
    await bench.elapse(10)
    assert bench.api.take_writes() == []
    await bench.elapse(12)
    assert bench.api.take_writes() == [("delete", "executions"), ("patch", "executions")]
    assert bench.api.named("executions") == []


# What the runner holds afterwards.


async def test_output_that_is_not_inline_is_saved_before_the_run_is_released(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    bench.runner.outputs = {"stdout": [b"\xff" * 10, b"\xfe" * 5]}
    uid = await run_once(bench, make_finished(stdout=b"\xff" * 10 + b"\xfe" * 5))
    assert bench.records.outputs == {(uid, "stdout"): b"\xff" * 10 + b"\xfe" * 5}
    assert bench.records.complete == {uid}
    assert bench.runner.said("release") == [], "its row is not committed yet"
    await record(bench, uid)
    assert bench.runner.said("release") == [uid]
    assert bench.runs.newest(uid) is None
    assert bench.runner.said("read stdout") == [uid]


async def test_output_of_what_was_spooled_is_given_up_so_that_it_can_go(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.faults["read stdout"].extend([RunnerUnavailable("as if PostgreSQL were")] * 9)
    uid = await run_once(bench, make_finished(stdout=b"\xff"))
    bench.api.delete("executions", NAMESPACE, "run")
    bench.records.spooled.add(uid)
    bench.keys.add(Kind.EXECUTION, uid)
    await bench.settle()
    assert bench.api.named("executions") == []
    assert bench.runner.said("release") == [uid]
    assert bench.records.complete == set(), "its record does not call the output whole"


LIES = {
    "not found": RunnerRefused(404, "NotFound", "never heard of"),
    "released": RunnerRefused(410, "Released", "gone"),
    "hostile": HostileReply("less than promised"),
}


@pytest.mark.parametrize("fault", LIES.values(), ids=LIES.keys())
async def test_output_that_the_runner_does_not_give_holds_nothing_up(
    bench: Bench, fault: Exception
) -> None:
    await bench.running_sandbox()
    bench.runner.faults["read stdout"].append(fault)
    uid = await run_once(bench, make_finished(stdout=b"\xff"))
    assert bench.records.complete == set(), "the record must not call it complete"
    await record(bench, uid)
    assert bench.runner.said("release") == [uid]


@pytest.mark.parametrize("fault", LIES.values(), ids=LIES.keys())
async def test_release_that_the_runner_does_not_take_holds_nothing_up(
    bench: Bench, fault: Exception
) -> None:
    await bench.running_sandbox()
    uid = await run_once(bench)
    bench.runner.faults["release"].append(fault)
    bench.api.delete("executions", NAMESPACE, "run")
    await record(bench, uid)
    assert bench.api.named("executions") == []
    assert bench.runs.newest(uid) is None


async def test_run_of_an_execution_that_is_no_more_is_let_go(bench: Bench) -> None:
    bench.runner.runs["gone"] = make_run(uid="gone")
    await bench.running_sandbox()
    assert bench.runner.said("cancel") == ["gone"]
    assert bench.runner.said("release") == ["gone"]


@pytest.mark.parametrize(
    "fault",
    [RunnerUnavailable("x"), RunnerRefused(409, "Running", "x"), HostileReply("x")],
    ids=["away", "refused", "hostile"],
)
async def test_stray_run_that_will_not_go_stops_no_sandbox(bench: Bench, fault: Exception) -> None:
    bench.runner.runs["gone"] = make_run(uid="gone")
    bench.runner.faults["cancel"].append(fault)
    await bench.running_sandbox()
    assert bench.sandbox()["status"]["state"] == "Running"


# What tenants do to their own objects.

ANNOTATIONS: dict[str, str] = {
    "no pod": "",
    "another pod": "11111111-2222-3333-4444-555555555555/1",
    "no attempt": "11111111-2222-3333-4444-555555555555",
    "an absurd attempt": "x/99999999999999999999",
    "absurd": "\u0661" * 1000 + "/\u0661",
}


@pytest.mark.parametrize("value", ANNOTATIONS.values(), ids=ANNOTATIONS.keys())
async def test_annotation_written_by_hand_harms_its_own_execution_only(
    bench: Bench, value: str
) -> None:
    await bench.running_sandbox()
    bench.add_execution("bad")
    patch = {"annotations": {DISPATCHED_ANNOTATION: value}}
    bench.api.edit("executions", NAMESPACE, "bad", {"metadata": patch})
    await bench.settle()
    assert bench.execution("bad")["status"]["state"] == "Failed"
    assert bench.runner.said("start") == []
    await run_once(bench)
    assert bench.execution()["status"]["state"] == "Completed"


async def test_copy_of_an_execution_runs_as_a_new_one(bench: Bench) -> None:
    """Exported and created again, or restored: mark, label and finalizer come along."""
    await bench.running_sandbox()
    await run_once(bench)
    first = bench.execution()
    names = {key: first["metadata"][key] for key in ("annotations", "labels", "finalizers")}
    names["labels"] = {SANDBOX_UID_LABEL: "5a0d60c5-0000-4000-8000-0000000000ff"}
    metadata = {"name": "copy", "namespace": NAMESPACE, **names}
    copy = uid_of(bench.api.add("executions", {"metadata": metadata, "spec": first["spec"]}))
    await bench.settle()
    assert bench.runner.said("start")[-1] == copy
    found = bench.execution("copy")
    assert found["status"]["state"] == "Completed"
    assert found["metadata"]["annotations"][DISPATCHED_ANNOTATION].endswith(f"/1/{copy}")
    assert found["metadata"]["labels"] == first["metadata"]["labels"]


async def test_copy_waits_for_its_turn(bench: Bench) -> None:
    await bench.running_sandbox()
    await start_one(bench)
    first = bench.execution()
    metadata = {"name": "copy", "namespace": NAMESPACE} | {
        key: first["metadata"][key] for key in ("annotations", "labels", "finalizers")
    }
    copy = uid_of(bench.api.add("executions", {"metadata": metadata, "spec": first["spec"]}))
    await bench.settle()
    assert copy not in bench.runner.runs
    assert bench.execution("copy")["status"]["state"] == "Queued"


async def test_label_written_by_hand_leads_into_no_other_sandbox(bench: Bench) -> None:
    await bench.running_sandbox()
    other = {"name": "other", "namespace": NAMESPACE}
    bench.api.add("sandboxes", {"metadata": other, "spec": {"className": "python"}})
    await bench.settle()
    pods = {
        one["metadata"]["ownerReferences"][0]["name"]: one["metadata"]
        for one in (bench.api.get("pods", NAMESPACE, name) for name in bench.api.named("pods"))
    }
    bench.api.run_pod(pods["other"]["name"])
    await bench.settle()
    bench.add_execution()
    theirs = {
        "annotations": {DISPATCHED_ANNOTATION: f"{pods['other']['uid']}/1"},
        "labels": {
            SANDBOX_UID_LABEL: bench.api.get("sandboxes", NAMESPACE, "other")["metadata"]["uid"]
        },
    }
    bench.api.edit("executions", NAMESPACE, "run", {"metadata": theirs})
    await bench.settle()
    assert bench.runner.said("start") == []
    assert bench.execution()["status"]["state"] == "Failed"


async def test_annotation_leads_into_no_pod_of_another_namespace(bench: Bench) -> None:
    await bench.running_sandbox()
    theirs = bench.api.get("pods", NAMESPACE, bench.pod_name)
    theirs["metadata"] |= {"namespace": "team-b", "name": "theirs"}
    pod_uid = bench.api.add("pods", theirs)["metadata"]["uid"]
    bench.add_execution()
    patch = {"annotations": {DISPATCHED_ANNOTATION: f"{pod_uid}/1"}}
    bench.api.edit("executions", NAMESPACE, "run", {"metadata": patch})
    await bench.settle()
    assert bench.runner.said("start") == []
    assert bench.execution()["status"]["state"] == "Failed"


async def test_handed_over_and_its_class_gone_since_it_is_listened_to_and_not_started(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    bench.api.delete("sandboxclasses", "", "python")
    bench.add_execution()
    patch = {"annotations": {DISPATCHED_ANNOTATION: f"{bench.pod_uid}/1"}}
    bench.api.edit("executions", NAMESPACE, "run", {"metadata": patch})
    await bench.settle()
    assert bench.runner.said("start") == []
    assert bench.execution()["status"]["reason"] == "Lost"
    assert bench.sandbox()["status"]["state"] == "Running", "what runs goes on without its class"


async def test_run_of_the_old_sandbox_is_not_taken_up_by_the_new_one_of_its_name(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    old_pod, old_name = bench.pod_uid, bench.pod_name
    uid = await start_one(bench)
    # The sandbox is forced away, made again at once, and then its pod is gone too.
    bench.api.edit("sandboxes", NAMESPACE, "box", {"metadata": {"finalizers": []}})
    bench.api.delete("sandboxes", NAMESPACE, "box")
    bench.add_sandbox()
    bench.api.edit("pods", NAMESPACE, old_name, {"metadata": {"finalizers": []}})
    bench.api.delete("pods", NAMESPACE, old_name)
    bench.api.end_pod(old_name)
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "SandboxTerminated")
    assert status["receipt"]["podUID"] == old_pod
    assert bench.runner.said("start") == [uid]


# What the API server does.

TOO_LARGE = {
    "the API server": Refusal(413, "RequestEntityTooLarge", "limit is 3145728"),
    "etcd": Refusal(500, "", "etcdserver: request is too large"),
}


@pytest.mark.parametrize("refusal", TOO_LARGE.values(), ids=TOO_LARGE.keys())
async def test_status_that_is_too_large_for(bench: Bench, refusal: Refusal) -> None:
    await bench.running_sandbox()
    bench.api.refuse("patch", "executions/status", refusal)
    await run_once(bench, make_finished(stdout=b"x" * 20_000))
    status = bench.execution()["status"]
    assert status["state"] == "Completed", "an Execution always ends"
    assert status["output"]["stdoutTruncated"] is True
    assert len(status["output"]["stdout"]) <= 1024


async def test_status_of_an_object_without_any_room_is_bare(bench: Bench) -> None:
    await bench.running_sandbox()
    full = Refusal(413, "RequestEntityTooLarge", "limit is 3145728")
    bench.api.refuse("patch", "executions/status", full, times=2)
    await run_once(bench, make_finished(exit_code=1, stdout=b"x" * 20_000, stderr=b"y" * 20_000))
    status = bench.execution()["status"]
    assert (status["state"], status["reason"], status["exitCode"]) == ("Failed", "NonZeroExit", 1)
    assert status["output"]["stdoutBytes"] == 20_000
    assert (status["output"]["stdout"], status["output"]["stdoutTruncated"]) == ("", True)
    assert len(str(status)) < 2_000


async def test_result_without_any_room_in_the_object_goes_to_the_record(bench: Bench) -> None:
    await bench.running_sandbox()
    full = Refusal(413, "RequestEntityTooLarge", "limit is 3145728")
    bench.api.refuse("patch", "executions/status", full, times=2)
    result = {"text": "x" * 60_000, "none": None}
    uid = await run_once(bench, make_finished(left=ResultValue(result)))
    stored, recorded = bench.execution(), bench.records.last[uid]
    assert stored["status"]["state"] == "Completed"
    assert stored["status"]["resultOmittedBytes"] == 60_023
    assert "result" not in stored["status"]
    assert recorded["status"] == stored["status"] | {"result": result}
    assert recorded["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


async def test_status_that_may_not_be_written_fails_the_pass(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.api.refuse("patch", "executions/status", Refusal(403, "Forbidden", "may not"))
    with pytest.raises(Exception, match="may not"):
        await run_once(bench)


async def test_execution_that_went_away_at_its_end_is_forgotten(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.api.refuse("patch", "executions/status", Refusal(404, "NotFound", "not found"))
    uid = await run_once(bench)
    assert bench.cache.get(RUN, uid) is None
    # No watch may ever tell: it was deleted before the watch began.
    assert uid in bench.records.gone


async def test_malformed_execution_fails_with_the_field_and_stops_nobody(bench: Bench) -> None:
    await bench.running_sandbox()
    bad = {"metadata": {"name": "bad", "namespace": NAMESPACE}, "spec": {"code": "1"}}
    bench.api.add("executions", bad)
    await bench.settle()
    status = bench.execution("bad")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "InvalidSpec")
    assert "exactly one of sandboxRef and className" in status["message"]
    await run_once(bench)
    assert bench.execution()["status"]["state"] == "Completed"


async def test_pass_over_an_execution_that_is_gone_forgets_it(bench: Bench) -> None:
    memory = bench.executions
    problem = RunProblem(reason=ExecutionReason.LOST, message="x")
    memory.refusals.note("gone", problem, 0.0)
    memory.saved_outputs.add("gone")
    await bench.reconcile(RUN, "gone")
    assert memory.refusals.get("gone") is None
    assert memory.saved_outputs == set()
    assert bench.api.writes == []


async def test_no_price_no_bill(bench: Bench) -> None:
    bench.records.prices = None
    await bench.running_sandbox()
    await run_once(bench)
    assert "billing" not in bench.execution()["status"]


RESULTS: dict[str, Any] = {
    "without null": {"bytes": 8123, "of": [1, 2]},
    "with null in it": {"next": None, "of": [None, {"a": None}]},
    "null": None,
    "a text": "é",
}


@pytest.mark.parametrize("value", RESULTS.values(), ids=RESULTS)
async def test_result_is_in_the_status_to_the_letter(bench: Bench, value: Any) -> None:
    """A merge patch takes members away that are null."""
    await bench.running_sandbox()
    content = json.dumps(value).encode()
    bench.runner.outcome = make_finished(result_file=ResultFile(content=content))
    bench.add_execution(handler="main")
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Completed", "Completed")
    assert status["result"] == value
    assert "result" in status


async def test_what_is_no_result_fails_a_run_that_ended_well(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.outcome = make_finished(result_file=ResultFile(content=b"{oops"))
    bench.add_execution()
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "ResultInvalid")
    assert "no result: it is not JSON" in status["message"]
    assert status["output"]["stdout"] == "42\n"
    assert "result" not in status
