"""Suspend, claims and variables from elsewhere, on an API server that counts writes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from soulbox.model.specs import EnvVar
from soulbox.model.states import Kind
from tests.support.fake_api import Refusal
from tests.support.reconciling import NAMESPACE, Bench
from tests.support.seen import make_finished


async def suspend(bench: Bench, value: bool) -> None:
    """spec.suspend is changed, and everything that follows at once is done."""
    bench.api.edit("sandboxes", NAMESPACE, "box", {"spec": {"suspend": value}})
    await bench.settle()


async def test_suspended_sandbox_lets_its_run_end_keeps_others_and_comes_back(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    bench.runner.never_ends()
    first = bench.add_execution("first")
    await bench.settle()
    await suspend(bench, True)
    assert bench.sandbox()["status"]["reason"] == "Suspending"
    second = bench.add_execution("second")
    await bench.settle()
    await bench.elapse(2)
    assert "(Running): It is suspended as soon as" in bench.execution("second")["status"]["message"]
    bench.runner.end(first, make_finished())
    bench.records.committed.add(first)
    await bench.settle()
    old = bench.pod_name
    assert bench.api.get("pods", NAMESPACE, old)["metadata"]["deletionTimestamp"]
    bench.records.committed.add(bench.pod_uid)
    bench.api.end_pod(old)
    await bench.settle()
    status = bench.sandbox()["status"]
    assert (status["state"], status["conditions"]) == ("Stopped", [])
    assert bench.runner.begun == [first]
    bench.runner.outcome = make_finished()
    await suspend(bench, False)
    (new,) = [name for name in bench.api.named("pods") if name != old]
    bench.api.run_pod(new)
    await bench.settle()
    assert bench.sandbox()["status"]["incarnation"] == 2
    assert bench.runner.begun == [first, second]


async def test_claim_is_made_before_the_pod_and_once(bench: Bench) -> None:
    bench.add_class()
    bench.add_sandbox(workspace={"persistent": True, "size": "1Gi", "storageClassName": "fast"})
    await bench.settle()
    made = [one.what for one in bench.api.writes if one.verb == "create"]
    assert made.index("persistentvolumeclaims") < made.index("pods")
    (name,) = bench.api.named("persistentvolumeclaims")
    claim = bench.api.get("persistentvolumeclaims", NAMESPACE, name)
    assert claim["spec"]["storageClassName"] == "fast"
    pod = bench.api.get("pods", NAMESPACE, bench.pod_name)
    volume = next(v for v in pod["spec"]["volumes"] if v["name"] == "workspace")
    assert volume["persistentVolumeClaim"] == {"claimName": name}


async def test_refused_claim_is_shown(bench: Bench) -> None:
    bench.add_class()
    bench.api.refuse("create", "persistentvolumeclaims", Refusal(403, "Forbidden", "no storage"))
    bench.add_sandbox(workspace={"persistent": True})
    await bench.settle()
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Error", "StorageRefused")
    assert "no storage" in status["message"]


SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "keys", "namespace": NAMESPACE, "labels": {"soulbox.dev/readable": "true"}
    },
    "data": {"token": base64.b64encode(b"s3cret").decode()},
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "namespace": NAMESPACE},
    "data": {"mode": "fast", "zero": "a\0b"},
}


def variable(kind: str, name: str, key: str) -> list[dict[str, Any]]:
    """One variable whose value lies elsewhere."""
    return [{"name": "VALUE", "valueFrom": {f"{kind}KeyRef": {"name": name, "key": key}}}]


@pytest.mark.parametrize(
    ("kind", "name", "key", "want"),
    [("secret", "keys", "token", "s3cret"), ("configMap", "settings", "mode", "fast")],
)
async def test_variable_from_elsewhere_reaches_the_program(
    bench: Bench, kind: str, name: str, key: str, want: str
) -> None:
    bench.api.add("secrets", SECRET)
    bench.api.add("configmaps", CONFIG)
    await bench.running_sandbox(env=variable(kind, name, key))
    uid = bench.add_execution()
    await bench.settle()
    assert EnvVar(name="VALUE", value=want) in bench.runner.requests[uid].env


async def test_variable_from_elsewhere_is_an_execution_s_too_and_wins(bench: Bench) -> None:
    bench.api.add("secrets", SECRET)
    bench.api.add("configmaps", CONFIG)
    await bench.running_sandbox(env=variable("configMap", "settings", "mode"))
    in_sandbox = bench.add_execution(env=variable("secret", "keys", "token"))
    one_shot = bench.add_execution(
        "alone", sandboxRef=None, className="python", env=variable("secret", "keys", "token")
    )
    await bench.settle()
    (own,) = [name for name in bench.api.named("pods") if name.startswith("alone")]
    bench.api.run_pod(own)
    await bench.settle()
    for uid in (in_sandbox, one_shot):
        assert EnvVar(name="VALUE", value="s3cret") in bench.runner.requests[uid].env
        assert "s3cret" not in str(bench.cache.get(Kind.EXECUTION, uid))


async def test_variable_of_an_execution_that_cannot_be_read_is_named(bench: Bench) -> None:
    bench.add_class()
    bench.add_execution(
        sandboxRef=None, className="python", env=variable("secret", "nothing", "token")
    )
    await bench.settle()
    await bench.elapse(2)
    message = bench.execution()["status"]["message"]
    assert message.startswith('variable VALUE: there is no Secret "nothing"')
    assert not bench.api.named("pods"), "no pod is paid for what cannot run"


MISSING = {
    "no such object": (variable("configMap", "nothing", "mode"), "does not exist; create it"),
    "no such key": (variable("configMap", "settings", "x"), 'has no key "x"'),
    "a value with NUL": (variable("configMap", "settings", "zero"), "without NUL"),
    "a Secret without the label": (variable("secret", "private", "token"), "with the label"),
}


@pytest.mark.parametrize("what", MISSING)
async def test_variable_that_cannot_be_read_is_waited_for_and_named(
    bench: Bench, what: str
) -> None:
    env, want = MISSING[what]
    private = {**SECRET, "metadata": {"name": "private", "namespace": NAMESPACE}}
    bench.api.add("secrets", private)
    bench.api.add("configmaps", CONFIG)
    await bench.running_sandbox(env=env)
    bench.add_execution()
    await bench.settle()
    await bench.elapse(2)
    status = bench.execution()["status"]
    assert status["state"] == "Queued"
    assert status["message"].startswith('variable VALUE of Sandbox "box": ')
    assert want in status["message"]
    await bench.elapse(60)
    assert bench.execution()["status"]["reason"] == "InvalidSpec"


async def test_code_of_those_who_wait_is_not_read(bench: Bench) -> None:
    bench.api.add("configmaps", {**CONFIG, "data": {"main": "print(1)"}})
    await bench.running_sandbox()
    bench.runner.never_ends()
    source = {"configMapKeyRef": {"name": "settings", "key": "main"}}
    for name in ("first", "second", "third"):
        bench.add_execution(name, code=None, codeFrom=source)
    await bench.settle()
    assert bench.api.reads.count("configmaps") == 1


async def test_idle_time_counts_from_the_end_of_the_last_execution(bench: Bench) -> None:
    await bench.running_sandbox(idleTimeoutSeconds=10)
    bench.runner.never_ends()
    uid = bench.add_execution()
    await bench.settle()
    await bench.elapse(60)
    assert bench.sandbox()["status"]["state"] == "Running", "in use"
    bench.runner.end(uid, make_finished(completion_time=bench.api.now))
    await bench.settle()
    await bench.elapse(9)
    assert bench.sandbox()["status"]["state"] == "Running"
    await bench.elapse(2)
    assert bench.sandbox()["status"]["reason"] == "IdleExpired"
