"""What the API server refuses, and what passes fail at, stands on the object."""

from __future__ import annotations

from typing import Any

from soulbox.model.errors import KubeRefused, KubeUnavailable, SoulBoxError
from soulbox.model.states import Kind
from soulbox.reconcile.failing import FAILURES, FailureTeller
from tests.support.fake_api import Refusal
from tests.support.reconciling import NAMESPACE, Bench
from tests.support.seen import make_finished

BOX, RUN = Kind.SANDBOX, Kind.EXECUTION
ONE_SHOT: dict[str, Any] = {"sandboxRef": None, "className": "python"}
QUOTA = Refusal(403, "Forbidden", "exceeded quota: q, requested: networkpolicies=1")
INVALID = Refusal(422, "Invalid", "spec.egress[0].ports[0].endPort: Invalid value: 70")


async def test_refused_network_policy_stands_on_the_sandbox_and_heals(bench: Bench) -> None:
    bench.add_class()
    bench.api.refuse("create", "networkpolicies", INVALID, times=50)
    bench.add_sandbox()
    await bench.settle()
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Error", "NetworkPolicyRefused")
    assert "endPort: Invalid value: 70" in status["message"]
    assert ("Warning", "NetworkPolicyRefused") in bench.posted()
    assert bench.api.named("pods") == [], "no pod without its policy"
    bench.api.take_writes()
    await bench.elapse(10)
    assert bench.api.take_writes() == [("create", "networkpolicies")], "told once, tried again"

    bench.api.stop_refusing()
    await bench.elapse(10)
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.sandbox()["status"]["state"] == "Running"


async def test_refused_network_policy_ends_a_one_shot_after_a_minute(bench: Bench) -> None:
    bench.add_class()
    bench.api.refuse("create", "networkpolicies", QUOTA, times=500)
    bench.add_execution(**ONE_SHOT)
    await bench.settle()
    await bench.elapse(5)
    status = bench.execution()["status"]
    assert status["state"] == "Queued"
    assert "exceeded quota" in status["message"]
    for _ in range(12):
        await bench.elapse(5)
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "QuotaExceeded")
    assert bench.api.named("pods") == []


async def test_refusals_whose_words_differ_each_time_keep_their_pause(bench: Bench) -> None:
    """What is written wakes its object at once."""
    bench.add_class()
    for number in range(500):
        bench.api.refuse("create", "pods", Refusal(403, "Forbidden", f"hook: request {number}"))
    bench.add_sandbox()
    bench.add_execution(**ONE_SHOT)
    await bench.settle()
    await bench.elapse(10)
    for _ in range(2):
        bench.api.take_writes()
        await bench.elapse(10)
        # Of each of two: one that is due, and two more where its words were due to be told.
        assert bench.api.take_writes().count(("create", "pods")) <= 6
    words = bench.sandbox()["status"]["message"]
    for _ in range(4):
        await bench.elapse(10)
    assert bench.sandbox()["status"]["message"] != words, "told anew after a while"
    assert bench.execution()["status"]["reason"] == "StartFailed"


async def test_policy_that_somebody_else_made_is_put_right_with_an_event(bench: Bench) -> None:
    lax = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}
    metadata = {"name": "soulbox-none", "namespace": NAMESPACE}
    bench.api.add("networkpolicies", {"metadata": metadata, "spec": lax})
    bench.add_class()
    bench.add_sandbox()
    await bench.settle()
    spec = bench.api.get("networkpolicies", NAMESPACE, "soulbox-none")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == []
    assert spec["podSelector"]["matchLabels"]["soulbox.dev/network-profile"] == "none"
    assert ("Warning", "NetworkPolicyRestored") in bench.posted()
    assert len(bench.api.named("pods")) == 1


# An Execution that cannot run yet.


async def test_execution_without_its_config_map_holds_nobody_up(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.outcome = make_finished()
    missing = {"code": None, "codeFrom": {"configMapKeyRef": {"name": "later", "key": "main"}}}
    bench.add_execution("first", priority=9, **missing)
    await bench.settle()
    bench.add_execution("second")
    await bench.settle()
    assert bench.execution("second")["status"]["state"] == "Completed"
    metadata = {"name": "later", "namespace": NAMESPACE}
    bench.api.add("configmaps", {"metadata": metadata, "data": {"main": "print(1)"}})
    await bench.elapse(2)
    assert bench.execution("first")["status"]["state"] == "Completed"


async def test_others_that_waited_go_on_when_one_turns_out_to_lack_its_code(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    bench.runner.never_ends()
    blocker = bench.add_execution("blocker")
    await bench.settle()
    missing = {"code": None, "codeFrom": {"configMapKeyRef": {"name": "later", "key": "main"}}}
    bench.add_execution("first", priority=9, **missing)
    second = bench.add_execution("second")
    await bench.settle()
    bench.runner.end(blocker, make_finished())
    await bench.settle()
    assert bench.runner.begun == [blocker, second]


async def test_a_crowd_asks_for_what_is_missing_once_at_a_time(bench: Bench) -> None:
    await bench.running_sandbox()
    missing = {"code": None, "codeFrom": {"configMapKeyRef": {"name": "later", "key": "main"}}}
    for number in range(20):
        bench.add_execution(f"run-{number:02}", **missing)
        await bench.settle()
    before = bench.api.reads.count("configmaps")
    assert before < 20
    await bench.elapse(60)
    await bench.elapse(2)
    ended = {bench.execution(f"run-{number:02}")["status"]["reason"] for number in range(20)}
    assert ended == {"InvalidSpec"}
    message = bench.execution("run-00")["status"]["message"]
    assert message.endswith("It gave up after 60 s; none of its code ran.")


async def test_a_crowd_asks_for_a_key_that_its_config_map_lacks_once_at_a_time(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    metadata = {"name": "there", "namespace": NAMESPACE}
    bench.api.add("configmaps", {"metadata": metadata, "data": {"other": "1"}})
    lacking = {"code": None, "codeFrom": {"configMapKeyRef": {"name": "there", "key": "main"}}}
    for number in range(8):
        bench.add_execution(f"run-{number:02}", **lacking)
        await bench.settle()
    assert bench.api.reads.count("configmaps") < 8
    await bench.elapse(2)
    message = bench.execution("run-07")["status"]["message"]
    assert message == 'spec.codeFrom: ConfigMap "there" has no key "main".'
    bench.api.edit("configmaps", NAMESPACE, "there", {"data": {"main": "print(1)"}})
    for _ in range(3):
        await bench.elapse(2)
    assert bench.execution("run-07")["status"]["state"] == "Completed"


# What passes fail at.


def teller(bench: Bench) -> FailureTeller:
    return FailureTeller(bench.services, bench.controllers.failing)


async def test_failure_stands_on_the_object_once_it_lasts(bench: Bench) -> None:
    bench.add_class()
    uid = bench.add_sandbox()
    bench.watch()
    error = KubeRefused(403, "Forbidden", "sandboxes is forbidden")
    told = teller(bench)
    await told.tell(BOX, uid, error, FAILURES - 1, 1.0)
    assert bench.sandbox()["status"]["state"] == "Created", "it may be a hiccup"
    await told.tell(BOX, uid, error, FAILURES, 2.0)
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Error", "ReconcileFailed")
    assert "sandboxes is forbidden" in status["message"]
    bench.api.take_writes()
    for failures in range(FAILURES + 1, 2 * FAILURES):
        await told.tell(BOX, uid, KubeRefused(403, "Forbidden", f"port {failures}"), failures, 9.0)
    assert bench.api.take_writes() == [], "each write would wake it at once"
    await told.tell(BOX, uid, KubeRefused(403, "Forbidden", "port 9"), 2 * FAILURES, 9.0)
    assert "port 9" in bench.sandbox()["status"]["message"]

    # The first pass that works says what is.
    await bench.settle()
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.sandbox()["status"]["state"] == "Running"


async def test_execution_that_cannot_be_brought_further_ends_after_a_minute(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    uid = bench.add_execution()
    bench.watch()
    told = teller(bench)
    await told.tell(RUN, uid, RuntimeError("print('secret')"), FAILURES, 2.0)
    status = bench.execution()["status"]
    assert status["state"] == "Queued"
    assert "RuntimeError" in status["message"]
    assert "secret" not in status["message"], "what an exception carries is nobody's"
    await told.tell(RUN, uid, RuntimeError(), 20, 61.0)
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "StartFailed")
    assert status["message"].startswith("The operator tried for 61 s and could not start it")


async def test_execution_that_cannot_even_be_looked_at_ends_too(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = bench.add_execution()
    bench.watch()

    def broken() -> None:
        raise RuntimeError("the price book")

    bench.records.price_book = broken  # type: ignore[method-assign]
    await teller(bench).tell(RUN, uid, RuntimeError(), 20, 61.0)
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "StartFailed")
    assert "none of its code ran" in status["message"]


async def test_nobody_is_given_up_for_the_time_that_the_api_server_was_away(bench: Bench) -> None:
    """It comes back with an error or two, and every pass has failed for minutes by then."""
    await bench.running_sandbox()
    uid = bench.add_execution()
    bench.watch()
    told = teller(bench)
    await told.tell(RUN, uid, KubeUnavailable("no connection"), 20, 600.0)
    await told.tell(RUN, uid, KubeUnavailable("etcd: leader changed", status=500), 21, 601.0)
    assert bench.execution()["status"]["state"] == "Queued"
    bench.advance(61)
    await told.tell(RUN, uid, KubeUnavailable("etcd: leader changed", status=500), 22, 662.0)
    assert bench.execution()["status"]["state"] == "Failed"


async def test_api_server_that_is_away_is_nobody_s_failure(bench: Bench) -> None:
    bench.add_class()
    uid = bench.add_sandbox()
    bench.watch()
    away: list[SoulBoxError] = [KubeUnavailable("no connection"), KubeUnavailable("", status=503)]
    for error in away:
        await teller(bench).tell(BOX, uid, error, 50, 600.0)
    assert bench.api.take_writes() == []
    webhook = KubeUnavailable("failed calling webhook", status=500)
    await teller(bench).tell(BOX, uid, webhook, 50, 600.0)
    assert "failed calling webhook" in bench.sandbox()["status"]["message"]


async def test_telling_fails_in_silence(bench: Bench) -> None:
    bench.add_class()
    uid = bench.add_sandbox()
    bench.watch()
    bench.api.refuse("patch", "sandboxes/status", Refusal(403, "Forbidden", "no"), times=9)
    await teller(bench).tell(BOX, uid, KubeRefused(403, "Forbidden", "no"), FAILURES, 2.0)
    await teller(bench).tell(BOX, "no such uid", KubeRefused(403, "Forbidden", "no"), 9, 2.0)


async def test_pod_whose_sandbox_cannot_be_made_is_told_by_its_events(bench: Bench) -> None:
    bench.add_class()
    bench.add_sandbox()
    bench.add_execution(**ONE_SHOT)
    await bench.settle()
    for name in bench.api.named("pods"):
        uid = bench.api.get("pods", NAMESPACE, name)["metadata"]["uid"]
        metadata = {"name": f"{name}.1", "namespace": NAMESPACE}
        told = {"reason": "FailedCreatePodSandBox", "message": 'no runtime for "gvisor"'}
        about = {"involvedObject": {"uid": uid}, "lastTimestamp": "2026-01-02T03:04:05Z"}
        bench.api.add("events", {"metadata": metadata, **told, **about})
    await bench.elapse(11)
    await bench.elapse(1)
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Starting", "StartFailed")
    assert status["message"] == 'FailedCreatePodSandBox: no runtime for "gvisor"'
    assert "FailedCreatePodSandBox" in bench.execution()["status"]["message"]
    for _ in range(6):
        await bench.elapse(10)
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "StartFailed")
    assert "FailedCreatePodSandBox" in status["message"]


async def test_trouble_that_is_over_by_its_events_ends_no_execution(bench: Bench) -> None:
    """A mount fails once, then a large image is pulled for longer than trouble is given."""
    bench.add_class()
    bench.add_execution(**ONE_SHOT)
    await bench.settle()
    uid = bench.api.get("pods", NAMESPACE, bench.pod_name)["metadata"]["uid"]

    def tell(reason: str, time: str) -> None:
        metadata = {"name": f"pod.{reason.lower()}", "namespace": NAMESPACE}
        about = {"involvedObject": {"uid": uid}, "lastTimestamp": time}
        bench.api.add("events", {"metadata": metadata, "reason": reason, **about})

    tell("FailedMount", "2026-01-02T03:04:05Z")
    await bench.elapse(11)
    await bench.elapse(1)
    assert "FailedMount" in bench.execution()["status"]["message"]
    tell("Pulling", "2026-01-02T03:04:15Z")
    for _ in range(8):
        await bench.elapse(10)
    status = bench.execution()["status"]
    assert (status["state"], status["message"]) == ("Queued", "Waiting for its pod to start.")
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"


async def test_one_shot_whose_pod_is_deleted_before_it_starts_runs_in_another(
    bench: Bench,
) -> None:
    bench.add_class()
    bench.runner.outcome = make_finished()
    bench.add_execution(**ONE_SHOT)
    await bench.settle()
    first = bench.pod_name
    bench.api.delete("pods", NAMESPACE, first)
    await bench.settle()
    (second,) = set(bench.api.named("pods")) - {first}
    bench.api.run_pod(second)
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["attempt"]) == ("Completed", 2)
    assert len(bench.runner.begun) == 1
