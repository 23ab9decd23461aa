"""Finalizers that somebody took, owners that went before their pods: nothing is left hanging."""

from __future__ import annotations

from typing import Any

import pytest

from soulbox.model.keys import RECORDED_FINALIZER
from soulbox.model.states import Kind, RunOutcome
from tests.support.reconciling import NAMESPACE, Bench, uid_of
from tests.support.seen import make_finished

BOX, RUN, POD = Kind.SANDBOX, Kind.EXECUTION, Kind.POD
ONE_SHOT: dict[str, Any] = {"sandboxRef": None, "className": "python"}
STRIPPED = {"metadata": {"finalizers": None}}


async def one_shot(bench: Bench) -> str:
    """A one-shot whose code runs; its uid."""
    bench.add_class()
    bench.runner.never_ends()
    uid = bench.add_execution(**ONE_SHOT)
    await bench.settle()
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    return uid


async def end_and_record(bench: Bench, name: str) -> None:
    """The kubelet ends a pod that is being deleted, and its row is committed."""
    pod = bench.api.get("pods", NAMESPACE, name)
    assert pod["metadata"].get("deletionTimestamp"), "it was told to end"
    bench.api.end_pod(name)
    await bench.settle()
    assert bench.api.named("pods") == [name], "it is not recorded yet"
    bench.records.committed.add(uid_of(pod))
    bench.intake.wake(POD, pod)  # as the mirror does
    await bench.settle()
    assert bench.api.named("pods") == []


async def test_sandbox_gets_a_finalizer_back_that_it_lost(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.api.edit("sandboxes", NAMESPACE, "box", STRIPPED)
    await bench.settle()
    assert bench.sandbox()["metadata"]["finalizers"] == [RECORDED_FINALIZER]
    assert bench.api.take_writes() == [("patch", "sandboxes")]
    assert bench.sandbox()["status"]["state"] == "Running"


async def test_stopped_sandbox_gets_its_finalizer_back_too(bench: Bench) -> None:
    await bench.running_sandbox()
    pod, name = bench.pod_uid, bench.pod_name
    bench.api.edit("sandboxes", NAMESPACE, "box", {"spec": {"suspend": True}})
    await bench.settle()
    bench.records.committed.add(pod)
    bench.api.end_pod(name)
    await bench.settle()
    assert (bench.api.named("pods"), bench.sandbox()["status"]["state"]) == ([], "Stopped")
    bench.api.edit("sandboxes", NAMESPACE, "box", STRIPPED)
    await bench.settle()
    assert bench.sandbox()["metadata"]["finalizers"] == [RECORDED_FINALIZER]


@pytest.mark.parametrize("state", ["running", "over"])
async def test_execution_gets_a_finalizer_back_that_it_lost(bench: Bench, state: str) -> None:
    await bench.running_sandbox()
    bench.runner.outcome = make_finished()
    if state == "running":
        bench.runner.never_ends()
    bench.add_execution()
    await bench.settle()
    bench.api.take_writes()
    bench.api.edit("executions", NAMESPACE, "run", STRIPPED)
    await bench.settle()
    assert bench.execution()["metadata"]["finalizers"] == [RECORDED_FINALIZER]
    assert bench.api.take_writes() == [("patch", "executions")]


async def test_object_that_is_going_is_not_held_again(bench: Bench) -> None:
    """The last resort of docs/troubleshooting.md works while the operator does."""
    await bench.running_sandbox()
    theirs = {"metadata": {"finalizers": [RECORDED_FINALIZER, "example.com/theirs"]}}
    bench.api.edit("sandboxes", NAMESPACE, "box", theirs)
    bench.api.delete("sandboxes", NAMESPACE, "box")
    bench.api.edit(
        "sandboxes", NAMESPACE, "box", {"metadata": {"finalizers": ["example.com/theirs"]}}
    )
    await bench.settle()
    assert bench.sandbox()["metadata"]["finalizers"] == ["example.com/theirs"]


async def test_pod_of_a_sandbox_that_went_without_a_finalizer_ends_and_goes(bench: Bench) -> None:
    await bench.running_sandbox()
    name = bench.pod_name
    bench.api.edit("sandboxes", NAMESPACE, "box", STRIPPED)
    bench.api.delete("sandboxes", NAMESPACE, "box")
    await bench.settle()
    assert bench.api.named("sandboxes") == []
    await end_and_record(bench, name)


async def test_pod_of_an_owner_gone_before_a_restart_goes_too(bench: Bench) -> None:
    await bench.running_sandbox()
    name = bench.pod_name
    bench.api.edit("sandboxes", NAMESPACE, "box", STRIPPED)
    bench.api.delete("sandboxes", NAMESPACE, "box")
    await bench.restart()
    bench.intake.queue_listed(POD, bench.api.get("pods", NAMESPACE, name))
    await bench.settle()
    await end_and_record(bench, name)


async def test_pod_of_a_one_shot_that_went_without_a_finalizer_ends_and_goes(
    bench: Bench,
) -> None:
    uid = await one_shot(bench)
    name = bench.pod_name
    bench.api.edit("executions", NAMESPACE, "run", STRIPPED)
    bench.api.delete("executions", NAMESPACE, "run")
    await bench.settle()
    bench.runner.end(uid, make_finished(RunOutcome.CANCELLED))
    for _ in range(10):
        await bench.settle()
    await end_and_record(bench, name)


async def test_owner_that_only_the_watch_does_not_know_keeps_its_pod(bench: Bench) -> None:
    """A list of pods may be newer than that of Sandboxes."""
    uid = await bench.running_sandbox()
    bench.cache.remove(BOX, uid)
    bench.keys.add(BOX, uid)
    await bench.settle()
    assert "deletionTimestamp" not in bench.api.get("pods", NAMESPACE, bench.pod_name)["metadata"]
    assert bench.cache.get(BOX, uid) is not None


@pytest.mark.parametrize("order", ["references first", "deletion first"])
async def test_cascade_orphan_ends_the_pod_all_the_same(bench: Bench, order: str) -> None:
    """`kubectl delete --cascade=orphan`: garbage collection takes the owner references off."""
    uid = await bench.running_sandbox()
    name, orphaned = bench.pod_name, {"metadata": {"ownerReferences": None}}
    held = {"metadata": {"finalizers": [RECORDED_FINALIZER, "orphan"]}}
    bench.api.edit("sandboxes", NAMESPACE, "box", held)
    if order == "references first":
        bench.api.edit("pods", NAMESPACE, name, orphaned)
        await bench.restart()
        bench.intake.queue_listed(POD, bench.api.get("pods", NAMESPACE, name))
    bench.api.delete("sandboxes", NAMESPACE, "box")
    await bench.settle()
    bench.api.edit("pods", NAMESPACE, name, orphaned)
    await bench.settle()
    bench.api.edit(
        "sandboxes", NAMESPACE, "box", {"metadata": {"finalizers": [RECORDED_FINALIZER]}}
    )
    bench.records.committed.add(uid)
    await end_and_record(bench, name)
    assert bench.api.named("sandboxes") == []


async def test_one_shot_deleted_with_cascade_orphan_is_cancelled(bench: Bench) -> None:
    await one_shot(bench)
    bench.api.edit("pods", NAMESPACE, bench.pod_name, {"metadata": {"ownerReferences": None}})
    bench.api.delete("executions", NAMESPACE, "run")
    await bench.settle()
    assert bench.runner.said("cancel")


async def test_pod_without_owner_reference_is_the_sandbox_s_still(bench: Bench) -> None:
    """Whoever may edit pods takes it off: an ended pod is replaced all the same."""
    await bench.running_sandbox()
    name = bench.pod_name
    bench.api.edit("pods", NAMESPACE, name, {"metadata": {"ownerReferences": None}})
    await bench.settle()
    bench.api.end_pod(name, exit_code=137)
    await bench.settle()
    await bench.elapse(1)
    assert len(bench.api.named("pods")) == 2


async def test_pod_in_another_namespace_is_nobody_s(bench: Bench) -> None:
    """A tenant's pod that names a Sandbox of another."""
    uid = await bench.running_sandbox()
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    pod["metadata"] |= {"namespace": "team-b", "name": "mine"}
    bench.api.add("pods", pod)
    await bench.settle()
    assert [uid_of(one) for one in bench.cache.pods.of(uid, NAMESPACE)] == [
        uid_of(bench.api.get("pods", NAMESPACE, pod_of(bench)))
    ]
    assert bench.sandbox()["status"]["incarnation"] == 1


def pod_of(bench: Bench) -> str:
    """Name of the Sandbox's own pod."""
    return next(name for name in bench.api.named("pods") if name != "mine")
