"""A Sandbox on an API server that counts: what is written, in which end state."""

from __future__ import annotations

from typing import Any

import pytest

from soulbox.model.errors import (
    HostileReply,
    KubeRefused,
    KubeUnavailable,
    Retryable,
    RunnerUnavailable,
)
from soulbox.model.keys import (
    DISPATCHED_ANNOTATION,
    INCARNATION_LABEL,
    RECORDED_FINALIZER,
    SANDBOX_UID_LABEL,
)
from soulbox.model.states import Kind
from soulbox.pure.pods.names import pod_name
from tests.support.fake_api import Refusal
from tests.support.reconciling import NAMESPACE, Bench, uid_of

BOX = Kind.SANDBOX


async def test_create_to_running_takes_three_writes_and_the_namespace_s_policy(
    bench: Bench,
) -> None:
    bench.add_class()
    uid = bench.add_sandbox()
    await bench.settle()
    assert bench.api.take_writes() == [
        ("patch", "sandboxes"),  # finalizer
        ("create", "networkpolicies"),
        ("create", "pods"),
    ]
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.api.take_writes() == [("patch", "sandboxes/status")]

    sandbox = bench.sandbox()
    assert sandbox["metadata"]["finalizers"] == [RECORDED_FINALIZER]
    status = sandbox["status"]
    assert (status["state"], status["incarnation"]) == ("Running", 1)
    assert status["pod"]["uid"] == bench.pod_uid
    assert status["observedGeneration"] == sandbox["metadata"]["generation"]
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    assert pod["metadata"]["labels"][SANDBOX_UID_LABEL] == uid
    assert bench.posted() == [("Normal", "Ready")]


async def test_running_sandbox_costs_nothing(bench: Bench) -> None:
    await bench.running_sandbox()
    for _ in range(20):
        await bench.elapse(30)
    assert bench.api.take_writes() == []


async def test_second_sandbox_of_a_namespace_shares_the_policy(bench: Bench) -> None:
    await bench.running_sandbox()
    other = {"name": "other", "namespace": NAMESPACE}
    bench.api.add("sandboxes", {"metadata": other, "spec": {"className": "python"}})
    await bench.settle()
    assert bench.api.take_writes() == [("patch", "sandboxes"), ("create", "pods")]


async def test_policy_that_somebody_deleted_is_there_again_before_the_next_pod(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    bench.api.delete("networkpolicies", NAMESPACE, "soulbox-none")
    other = {"name": "other", "namespace": NAMESPACE}
    bench.api.add("sandboxes", {"metadata": other, "spec": {"className": "python"}})
    await bench.settle()
    assert bench.api.take_writes() == [
        ("patch", "sandboxes"),
        ("create", "networkpolicies"),
        ("create", "pods"),
    ]


async def test_policy_that_is_there_is_not_made_again(bench: Bench) -> None:
    policy = {"metadata": {"name": "soulbox-none", "namespace": NAMESPACE}}
    bench.api.add("networkpolicies", policy)
    bench.add_class()
    bench.add_sandbox()
    await bench.settle()
    assert ("create", "networkpolicies") not in bench.api.take_writes()


async def test_policy_that_another_made_at_once_is_success(bench: Bench) -> None:
    bench.api.refuse("create", "networkpolicies", Refusal(409, "AlreadyExists", "exists"))
    await bench.running_sandbox()


async def test_slow_start_is_written_once(bench: Bench) -> None:
    bench.add_class()
    bench.add_sandbox()
    await bench.settle()
    bench.api.take_writes()
    for _ in range(3):
        await bench.elapse(5)
    assert bench.api.take_writes() == [("patch", "sandboxes/status")]
    assert bench.sandbox()["status"]["state"] == "Starting"


async def test_pass_after_the_write_sees_it_though_the_watch_is_late(bench: Bench) -> None:
    bench.add_class()
    uid = bench.add_sandbox()
    bench.watch()
    bench.keys.ready.clear()
    for _ in range(5):  # nothing of what is written comes back by the watch
        await bench.reconcile(BOX, uid)
    assert bench.api.take_writes() == [
        ("patch", "sandboxes"),
        ("create", "networkpolicies"),
        ("create", "pods"),
    ]
    assert len(bench.api.named("pods")) == 1


async def test_stale_cache_conflicts_and_is_decided_again(bench: Bench) -> None:
    bench.add_class()
    bench.add_sandbox()
    bench.watch()
    # Somebody writes between the watch and our pass.
    bench.api.edit("sandboxes", NAMESPACE, "box", {"metadata": {"labels": {"a": "b"}}})
    await bench.reconcile(BOX, uid_of(bench.sandbox()))
    assert [write.status for write in bench.api.writes] == [409]
    await bench.settle()
    assert len(bench.api.named("pods")) == 1
    assert bench.sandbox()["metadata"]["labels"] == {"a": "b"}


async def test_others_finalizers_are_kept(bench: Bench) -> None:
    bench.add_class()
    bench.add_sandbox()
    theirs = {"metadata": {"finalizers": ["example.com/theirs"]}}
    bench.api.edit("sandboxes", NAMESPACE, "box", theirs)
    await bench.settle()
    assert bench.sandbox()["metadata"]["finalizers"] == [
        "example.com/theirs",
        RECORDED_FINALIZER,
    ]


async def test_deletion_takes_three_writes(bench: Bench) -> None:
    uid = await bench.running_sandbox()
    bench.api.delete("sandboxes", NAMESPACE, "box")
    await bench.settle()
    assert bench.api.take_writes() == [("delete", "pods")]
    pod_uid = bench.pod_uid
    bench.advance(2)
    bench.api.end_pod(bench.pod_name)
    await bench.settle()
    assert bench.api.take_writes() == [], "its times are not in the ledger yet"

    bench.records.committed.add(pod_uid)
    bench.keys.add(BOX, uid)
    await bench.settle()
    assert bench.api.take_writes() == [("patch", "pods")]
    assert bench.api.named("pods") == []

    bench.records.committed.add(uid)
    bench.keys.add(BOX, uid)
    await bench.settle()
    assert bench.api.take_writes() == [("patch", "sandboxes")]
    assert bench.api.named("sandboxes") == []
    assert bench.cache.get(BOX, uid) is None


async def test_lost_pod_is_replaced_at_once_and_stays_until_it_is_recorded(bench: Bench) -> None:
    uid = await bench.running_sandbox()
    first, first_uid = bench.pod_name, bench.pod_uid
    bench.advance(120)
    bench.api.end_pod(first, reason="OOMKilled", exit_code=137)
    await bench.settle()
    assert bench.api.take_writes() == [
        ("patch", "sandboxes/status"),
        ("delete", "pods"),
        ("create", "pods"),
    ]
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Error", "PodLost")
    assert status["runtimeSeconds"] == 120
    (second,) = set(bench.api.named("pods")) - {first}
    labels = bench.api.get("pods", NAMESPACE, second)["metadata"]["labels"]
    assert labels[INCARNATION_LABEL] == "2"

    bench.api.run_pod(second)
    await bench.settle()
    assert bench.api.take_writes() == [("patch", "sandboxes/status")]
    assert bench.sandbox()["status"]["state"] == "Running"
    assert bench.sandbox()["status"]["incarnation"] == 2

    bench.records.committed.add(first_uid)
    bench.keys.add(BOX, uid)
    await bench.settle()
    assert bench.api.take_writes() == [("patch", "pods")]
    assert bench.api.named("pods") == [second]


async def test_lifetime_that_is_over_ends_pod_and_keeps_the_object(bench: Bench) -> None:
    await bench.running_sandbox(lifetimeSeconds=60)
    pod_uid = bench.pod_uid
    await bench.elapse(62)
    assert bench.api.take_writes() == [("patch", "sandboxes/status"), ("delete", "pods")]
    assert bench.sandbox()["status"]["reason"] == "LifetimeExpired"
    bench.api.end_pod(bench.pod_name)
    bench.records.committed.add(pod_uid)
    await bench.settle()
    assert bench.api.named("pods") == []
    bench.api.take_writes()
    await bench.elapse(3600)
    assert bench.api.take_writes() == []


REFUSALS: dict[str, tuple[Refusal, str]] = {
    "quota": (
        Refusal(403, "Forbidden", "exceeded quota: q, requested: pods=1, used: pods=0"),
        "QuotaExceeded",
    ),
    "Pod Security": (Refusal(403, "Forbidden", "violates PodSecurity"), "PodRefused"),
    "a webhook": (Refusal(400, "BadRequest", "denied the request"), "PodRefused"),
    "schema": (Refusal(422, "Invalid", "Pod is invalid"), "PodRefused"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refused_pod_is_shown_once_and_tried_again(bench: Bench, name: str) -> None:
    refusal, want_reason = REFUSALS[name]
    bench.api.refuse("create", "pods", refusal, times=100)
    bench.add_class()
    uid = bench.add_sandbox()
    await bench.settle()
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Error", want_reason)
    assert refusal.body["message"] in status["message"]
    assert bench.posted() == [("Warning", want_reason)]

    bench.api.take_writes()
    for _ in range(3):
        assert bench.keys.later[BOX, uid] == 10.0
        await bench.elapse(10)
    assert bench.api.take_writes() == [("create", "pods")] * 3, "no status is written again"

    bench.api.stop_refusing()
    await bench.elapse(10)
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.sandbox()["status"]["state"] == "Running"


async def test_pod_of_our_name_that_is_not_ours_is_a_name_conflict(bench: Bench) -> None:
    bench.add_class()
    bench.add_sandbox()
    bench.api.refuse("create", "pods", Refusal(503, "", "away"))
    bench.watch()
    with pytest.raises(KubeUnavailable):
        await bench.settle()
    uid = uid_of(bench.sandbox())
    foreign = {"metadata": {"name": pod_name("box", uid, 1), "namespace": NAMESPACE}}
    bench.api.add("pods", foreign)
    bench.keys.add(BOX, uid)
    await bench.settle()
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Error", "NameConflict")
    assert "exists that is not of this Sandbox" in status["message"]

    bench.api.delete("pods", NAMESPACE, pod_name("box", uid, 1))
    await bench.elapse(10)
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.sandbox()["status"]["state"] == "Running"


async def test_pod_that_was_made_before_a_crash_is_met_again(bench: Bench) -> None:
    bench.add_class()
    bench.add_sandbox()
    await bench.settle()
    uid = bench.pod_uid
    # The watch of the new process has not told of the pod yet.
    await bench.restart()
    bench.cache.remove(Kind.POD, uid)
    await bench.settle(watching=False)
    assert bench.pod_uid == uid
    assert bench.cache.get(Kind.POD, uid) is not None


async def test_pod_of_ours_that_is_still_being_deleted_is_waited_for(bench: Bench) -> None:
    bench.add_class()
    uid = bench.add_sandbox()
    await bench.settle()
    bench.api.run_pod(bench.pod_name)
    bench.api.delete("pods", NAMESPACE, bench.pod_name)
    await bench.restart()
    bench.cache.remove(Kind.POD, bench.pod_uid)
    with pytest.raises(Retryable, match="still being deleted"):
        await bench.reconcile(BOX, uid)


async def test_restart_takes_up_a_running_sandbox_without_a_write(bench: Bench) -> None:
    await bench.running_sandbox()
    await bench.restart()
    await bench.settle()
    assert [what for what, _ in bench.runner.calls] == ["list"]
    assert bench.api.take_writes() == []


async def test_sandbox_that_nobody_knows_any_more_is_let_be(bench: Bench) -> None:
    await bench.reconcile(BOX, "gone")
    assert bench.api.writes == []


def finished(name: str, state: str, second: int, **metadata: Any) -> dict[str, Any]:
    """An Execution in Sandbox `box` that ended."""
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "finalizers": [RECORDED_FINALIZER],
            **metadata,
        },
        "spec": {"sandboxRef": {"name": "box"}, "code": "1"},
        "status": {
            "state": state,
            "startTime": "2026-01-02T03:04:05.000Z",
            "completionTime": f"2026-01-02T03:04:{second:02}.000Z",
        },
    }


async def test_counters_are_written_at_most_every_half_minute(bench: Bench) -> None:
    await bench.running_sandbox()
    for number, state in enumerate(("Completed", "Failed", "Timeout", "Completed")):
        bench.api.add("executions", finished(f"e{number}", state, 10 + number))
        await bench.elapse(5)
    assert bench.api.take_writes() == []
    await bench.elapse(15)
    assert bench.api.take_writes() == [("patch", "sandboxes/status")]
    status = bench.sandbox()["status"]
    assert status["executions"] == {"queued": 0, "running": 0, "completed": 2, "failed": 2}
    assert status["lastActivityTime"] == "2026-01-02T03:04:13.000Z"
    for _ in range(10):
        await bench.elapse(30)
    assert bench.api.take_writes() == [], "nothing has changed"


async def test_executions_of_an_earlier_sandbox_of_the_name_are_not_counted(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.api.add("executions", finished("ours", "Completed", 10))
    mark = {DISPATCHED_ANNOTATION: "pod/1"}
    earlier = {"labels": {SANDBOX_UID_LABEL: "earlier"}, "annotations": mark}
    bench.api.add("executions", finished("theirs", "Completed", 11, **earlier))
    # A copy of one, which has not run: the label came along.
    mark = {DISPATCHED_ANNOTATION: "pod/1/another"}
    bench.api.add("executions", finished("copy", "Failed", 12, **earlier | {"annotations": mark}))
    await bench.settle()
    await bench.elapse(32)
    executions = bench.sandbox()["status"]["executions"]
    assert (executions["completed"], executions["failed"]) == (1, 1)


async def test_class_that_is_malformed_is_told_and_its_cure_heals(bench: Bench) -> None:
    bench.add_class(image=7)
    bench.add_sandbox()
    await bench.settle()
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Error", "InvalidSpec")
    assert 'SandboxClass "python": spec.image' in status["message"]
    bench.api.edit("sandboxclasses", "", "python", {"spec": {"image": "soulbox/python:dev"}})
    await bench.settle()
    assert len(bench.api.named("pods")) == 1


async def test_class_that_comes_late_starts_who_waits_for_it(bench: Bench) -> None:
    bench.add_sandbox()
    await bench.settle()
    assert bench.sandbox()["status"]["reason"] == "ClassNotFound"
    bench.add_class()
    await bench.settle()
    assert len(bench.api.named("pods")) == 1


async def test_malformed_sandbox_stalls_and_stops_nobody(bench: Bench) -> None:
    bench.add_class()
    bench.api.add(
        "sandboxes",
        {"metadata": {"name": "bad", "namespace": NAMESPACE}, "spec": {"className": 7}},
    )
    bench.add_sandbox()
    await bench.settle()
    assert bench.api.get("sandboxes", NAMESPACE, "bad")["status"]["reason"] == "InvalidSpec"
    assert len(bench.api.named("pods")) == 1


async def test_api_server_that_is_away_fails_the_pass_and_loses_nothing(bench: Bench) -> None:
    bench.add_class()
    uid = bench.add_sandbox()
    bench.api.refuse(
        "patch", "sandboxes", Refusal(429, "TooManyRequests", "x", **{"Retry-After": "7"})
    )
    with pytest.raises(KubeUnavailable) as caught:
        await bench.settle()
    assert caught.value.delay_seconds == 7.0
    bench.keys.add(BOX, uid)
    await bench.settle()
    assert len(bench.api.named("pods")) == 1


async def test_right_that_is_missing_fails_the_pass(bench: Bench) -> None:
    bench.add_class()
    bench.add_sandbox()
    bench.api.refuse("patch", "sandboxes", Refusal(403, "Forbidden", "may not"))
    with pytest.raises(KubeRefused):
        await bench.settle()


async def test_runner_that_does_not_answer_yet_is_asked_again(bench: Bench) -> None:
    bench.runner.faults["list"].extend([RunnerUnavailable("starting"), HostileReply("half")])
    bench.add_class()
    bench.add_sandbox()
    await bench.settle()
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    (task,) = bench.tasks
    await task
    await bench.settle()
    assert bench.sandbox()["status"]["state"] == "Running"
    assert len(bench.runner.said("list")) == 3
