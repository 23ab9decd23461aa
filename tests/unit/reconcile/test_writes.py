"""Single writes and questions: safe to repeat, and over objects that went meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from soulbox.kinds.execution.decide.actions import CancelRun, FollowRun, ReleaseRun
from soulbox.model.errors import KubeRefused, RunnerUnavailable
from soulbox.model.keys import RECORDED_FINALIZER
from soulbox.model.manifests import finalizers_with_ours
from soulbox.model.states import Kind
from soulbox.reconcile.probe import RunnerProbe
from soulbox.reconcile.services import address_of
from soulbox.reconcile.writes import (
    delete_pod,
    is_quota,
    release_pod,
    remove_finalizer,
)
from tests.support.fake_api import Refusal
from tests.support.reconciling import NAMESPACE, Bench, uid_of
from tests.support.seen import make_run

BOX, RUN, POD = Kind.SANDBOX, Kind.EXECUTION, Kind.POD


async def test_finalizer_of_an_object_that_is_gone_is_off(bench: Bench) -> None:
    uid = await bench.running_sandbox()
    gone = Refusal(404, "NotFound", "gone")
    bench.api.refuse("patch", "sandboxes", gone)
    await remove_finalizer(bench.services, BOX, bench.sandbox())
    assert bench.cache.get(BOX, uid) is None
    assert uid in bench.records.gone


async def test_only_our_finalizer_is_taken_off(bench: Bench) -> None:
    await bench.running_sandbox()
    theirs = {"metadata": {"finalizers": ["example.com/theirs", RECORDED_FINALIZER]}}
    bench.api.edit("sandboxes", NAMESPACE, "box", theirs)
    await remove_finalizer(bench.services, BOX, bench.sandbox())
    assert bench.sandbox()["metadata"]["finalizers"] == ["example.com/theirs"]


def test_our_finalizer_is_there_once() -> None:
    assert finalizers_with_ours({"metadata": {}}) == [RECORDED_FINALIZER]
    assert finalizers_with_ours({"metadata": {"finalizers": None}}) == [RECORDED_FINALIZER]
    ours = {"metadata": {"finalizers": [RECORDED_FINALIZER, "x/y"]}}
    assert finalizers_with_ours(ours) == [RECORDED_FINALIZER, "x/y"]


async def test_pod_that_is_not_known_is_deleted_and_released_already(bench: Bench) -> None:
    await delete_pod(bench.services, "unknown", None)
    await release_pod(bench.services, "unknown")
    assert bench.api.writes == []


async def test_pod_is_deleted_by_uid_and_never_its_successor(bench: Bench) -> None:
    await bench.running_sandbox()
    name, uid = bench.pod_name, bench.pod_uid
    bench.api.objects["pods", NAMESPACE, name]["metadata"]["uid"] = "successor"
    await delete_pod(bench.services, uid, 0)
    assert "deletionTimestamp" not in bench.api.get("pods", NAMESPACE, name)["metadata"]


def test_quota_is_known_by_the_api_server_s_words() -> None:
    assert is_quota(KubeRefused(403, "Forbidden", "exceeded quota: q"))
    assert not is_quota(KubeRefused(403, "Forbidden", "violates PodSecurity"))
    assert not is_quota(KubeRefused(422, "Invalid", "exceeded quota"))


async def test_reply_that_is_older_than_the_watch_is_told_nobody(bench: Bench) -> None:
    await bench.running_sandbox()
    old = bench.sandbox()
    bench.api.edit("sandboxes", NAMESPACE, "box", {"metadata": {"labels": {"a": "b"}}})
    bench.watch()
    bench.records.offered.clear()
    bench.services.saw(BOX, old)
    assert bench.records.offered == []
    bench.services.saw(BOX, bench.sandbox())  # this version the watch has brought
    assert bench.records.offered == []
    bench.api.edit("sandboxes", NAMESPACE, "box", {"metadata": {"labels": {"a": "c"}}})
    bench.services.saw(BOX, bench.sandbox())
    assert bench.records.offered == [(BOX, uid_of(old))]
    bench.watch()  # and this one the reply has
    assert bench.records.offered == [(BOX, uid_of(old))]


def test_address_is_the_pod_s_own() -> None:
    assert address_of({"metadata": {"uid": "u"}, "status": {}}) is None
    assert address_of({"metadata": {"uid": "u"}}) is None
    address = address_of({"metadata": {"uid": "u"}, "status": {"podIP": "10.0.0.7"}})
    assert address is not None
    assert (address.uid, address.ip, address.port) == ("u", "10.0.0.7", 8478)


@pytest.mark.parametrize(
    "action",
    [
        FollowRun(pod_uid="gone", attempt=1, may_start=True),
        CancelRun(pod_uid="gone", attempt=1),
        ReleaseRun(pod_uid="gone", attempt=1),
    ],
    ids=lambda action: type(action).__name__,
)
async def test_run_in_a_pod_that_is_gone_is_asked_nothing(bench: Bench, action: object) -> None:
    await bench.running_sandbox()
    uid = bench.add_execution()
    bench.watch()
    bench.keys.ready.clear()
    bench.runner.calls.clear()
    reconciler = bench.reconcilers[RUN].__self__  # type: ignore[attr-defined]
    manifest = bench.cache.get(RUN, uid)
    seen = await reconciler._observer.observe(manifest)
    await reconciler._apply(action, manifest, seen)
    assert bench.runner.calls == []


# Asking a pod's runner for the first time.


async def test_pod_is_asked_by_one_task_at_a_time(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.calls.clear()
    bench.runner.faults["list"].append(RunnerUnavailable("starting"))
    probe = RunnerProbe(bench.services, meet=bench.controllers.meeter.meet, on_answered={})
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    probe.probe(pod, (BOX, "b"))
    probe.probe(pod, (BOX, "b"))
    assert len(bench.tasks) == 1
    await asyncio.gather(*bench.tasks)
    assert len(bench.runner.said("list")) == 2, "asked again after it was away"
    probe.probe(pod, (BOX, "b"))
    await asyncio.gather(*bench.tasks)
    assert len(bench.runner.said("list")) == 3


async def test_pod_that_went_is_asked_no_more(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.calls.clear()
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    bench.cache.remove(POD, bench.pod_uid)
    RunnerProbe(bench.services, meet=bench.controllers.meeter.meet, on_answered={}).probe(
        pod, (BOX, "b")
    )
    await asyncio.gather(*bench.tasks)
    assert bench.runner.calls == []


async def test_pod_without_an_address_is_waited_for(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.calls.clear()
    name, uid = bench.pod_name, bench.pod_uid
    bench.api.edit("pods", NAMESPACE, name, {"status": {"podIP": None}})
    bench.watch()
    bench.keys.ready.clear()
    pod = bench.api.get("pods", NAMESPACE, name)
    RunnerProbe(bench.services, meet=bench.controllers.meeter.meet, on_answered={}).probe(
        pod, (BOX, "b")
    )
    await asyncio.sleep(0)
    assert bench.runner.calls == []
    bench.api.edit("pods", NAMESPACE, name, {"status": {"podIP": "127.0.0.1"}})
    bench.watch()
    await asyncio.gather(*bench.tasks)
    assert bench.runner.said("list") == [uid]


async def test_runs_that_the_runner_holds_are_followed(bench: Bench) -> None:
    uid = bench.add_execution()
    bench.runner.runs[uid] = make_run(uid=uid)
    await bench.settle()
    bench.runner.calls.clear()
    await bench.running_sandbox()
    assert uid in bench.runner.said("get")
    assert bench.runner.said("release") == []
