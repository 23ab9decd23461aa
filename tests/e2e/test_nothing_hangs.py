"""Deletions and edits that nobody should make: nothing is left hanging, everything is billed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from soulbox.model.keys import RECORDED_FINALIZER
from tests.support.builders import make_execution, make_function, make_sandbox
from tests.support.waiting import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ONE_SHOT: dict[str, Any] = {"sandboxRef": None, "className": "python"}
ENDLESS = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
STRIPPED: Manifest = {"metadata": {"finalizers": None}}
BILLED = "select 1 from soulbox.pod_runs where pod_uid = %(uid)s and finished_at is not null"


def is_held(manifest: Manifest) -> bool:
    return RECORDED_FINALIZER in (manifest["metadata"].get("finalizers") or ())


def wait_gone_and_billed(world: World, pod: Manifest) -> None:
    world.wait_gone("pod", pod["metadata"]["name"])
    world.wait_rows(BILLED, uid=pod["metadata"]["uid"])


def test_lost_finalizer_comes_back_and_an_owner_gone_before_leaves_no_pod(world: World) -> None:
    """`kubectl replace` of a manifest, and the last resort of docs/troubleshooting.md."""
    manifest = make_sandbox("box", world.namespace)
    world.create(manifest)
    world.sandbox("box")
    world.kubectl.run("replace", "--filename=-", stdin=json.dumps(manifest))
    world.wait("sandbox", "box", is_held, "our finalizer again")
    world.create(make_execution("run", code=ENDLESS))
    world.wait("execution", "run", lambda e: e["status"]["state"] == "Running", "its code runs")
    world.patch("execution", "run", STRIPPED)
    world.wait("execution", "run", is_held, "our finalizer again")
    world.delete("execution", "run")

    world.create(make_execution("one", code=ENDLESS, **ONE_SHOT))
    world.wait("execution", "one", lambda e: e["status"]["state"] == "Running", "its code runs")
    uid = world.get("execution", "one")["metadata"]["uid"]
    pods = world.pods()
    assert len(pods) == 2
    for kind, name in (("sandbox", "box"), ("execution", "one")):
        # Held by another meanwhile: what is taken off one that is going does not come back.
        world.patch(kind, name, {"metadata": {"finalizers": [RECORDED_FINALIZER, "a.test/held"]}})
        world.delete(kind, name)
        world.patch(kind, name, STRIPPED)
        world.wait_gone(kind, name)
    for pod in pods:
        wait_gone_and_billed(world, pod)
    (row,) = world.wait_rows(
        "select state, stdout from soulbox.executions"
        # A repair may find it gone before its end is told.
        " where uid = %(uid)s and deleted_at is not null and completed_at is not null",
        uid=uid,
    )
    assert row == {"state": "cancelled", "stdout": "begun\n"}
    world.kubectl.run("delete", "namespace", world.namespace)


def test_cascade_orphan_ends_pods_and_runs(world: World) -> None:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    world.create(make_execution("one", code=ENDLESS, **ONE_SHOT))
    world.wait("execution", "one", lambda e: e["status"]["state"] == "Running", "its code runs")
    uid = world.get("execution", "one")["metadata"]["uid"]
    pods = world.pods()
    for kind, name in (("sandbox", "box"), ("execution", "one")):
        world.delete(kind, name, "--cascade=orphan")
        world.wait_gone(kind, name)
    for pod in pods:
        wait_gone_and_billed(world, pod)
    rows = world.wait_rows(
        "select state from soulbox.executions where uid = %(uid)s and deleted_at is not null",
        uid=uid,
    )
    assert rows[0]["state"] == "cancelled"


def test_what_is_refused_or_missing_is_told_and_holds_nobody_up(world: World) -> None:
    """A quota of no NetworkPolicy; a policy of ours that somebody else made; code that is missing;
    a Sandbox that cannot run."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": world.namespace},
        "spec": {"hard": {"count/networkpolicies.networking.k8s.io": "0"}},
    }
    world.create(quota)
    world.wait("resourcequota", "none", lambda q: "hard" in q.get("status", {}), "it counts")
    world.create(make_sandbox("box"))
    world.create(make_sandbox("big", resources={"memory": "100Gi"}))
    world.create(make_execution("lost", sandboxRef={"name": "big"}))
    world.create(make_execution("refused", **ONE_SHOT))
    world.create(make_function("resize"))
    calling = {"functionRef": {"name": "resize"}, "sandboxRef": None, "code": None}
    world.create(make_execution("call", **calling))
    status = world.sandbox("box", "Error")["status"]
    assert status["reason"] == "NetworkPolicyRefused"
    assert "exceeded quota" in status["message"]
    world.poll(
        lambda: any(event["reason"] == "NetworkPolicyRefused" for event in world.events_of("box")),
        "its Event",
    )

    ended = world.execution("refused")["status"]
    assert (ended["state"], ended["reason"]) == ("Failed", "QuotaExceeded")
    ended = world.execution("lost")["status"]
    assert (ended["state"], ended["reason"]) == ("Failed", "InvalidSpec")
    assert 'Sandbox "big" cannot run: spec.resources' in ended["message"]
    ended = world.execution("call", 90)["status"]
    assert (ended["state"], ended["reason"]) == ("Failed", "StartFailed")
    assert 'of Function "resize" cannot run: ' in ended["message"]
    assert "exceeded quota" in ended["message"]
    world.delete("function", "resize")

    world.delete("resourcequota", "none")
    world.wait_gone("resourcequota", "none")
    lax = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "soulbox-none", "namespace": world.namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }
    world.create(lax)
    world.sandbox("box")
    spec = world.get("networkpolicy", "soulbox-none")["spec"]
    assert "egress" not in spec
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    uid = world.get("networkpolicy", "soulbox-none")["metadata"]["uid"]
    world.create(make_sandbox("other"))
    world.sandbox("other")
    after = world.get("networkpolicy", "soulbox-none")["metadata"]
    assert (after["uid"], after["generation"]) == (uid, 2), "what is right is left alone"

    absent = {"configMapKeyRef": {"name": "absent", "key": "main"}}
    world.create(make_execution("first", priority=9, code=None, codeFrom=absent))
    world.create(make_execution("second"))
    assert world.execution("second")["status"]["state"] == "Completed"
    assert world.get("execution", "first")["status"]["state"] == "Queued"


def test_deleted_sandbox_says_so_and_copies_of_executions_run_as_new_ones(world: World) -> None:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    world.create(make_execution("first", code="print('once')"))
    first = world.execution("first")
    metadata = {key: first["metadata"][key] for key in ("annotations", "labels", "finalizers")}
    copy = make_execution("copy", world.namespace, code="print('again')")
    world.create(copy | {"metadata": copy["metadata"] | metadata})
    status = world.execution("copy")["status"]
    assert (status["state"], status["output"]["stdout"]) == ("Completed", "again\n")

    world.create(make_execution("run", code=ENDLESS))
    world.wait("execution", "run", lambda e: e["status"]["state"] == "Running", "its code runs")
    world.create(make_execution("waits"))
    uid = world.get("sandbox", "box")["metadata"]["uid"]
    world.delete("sandbox", "box")
    status = world.execution("run")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "SandboxTerminated")
    assert status["message"].startswith("Its Sandbox was deleted while the code ran; its output")
    assert "begun" in status["output"]["stdout"]
    status = world.execution("waits")["status"]
    assert (status["reason"], status["message"]) == (
        "SandboxTerminated",
        'Sandbox "box" was deleted.',
    )
    world.wait_gone("sandbox", "box")
    (row,) = world.wait_rows(
        "select state, reason, message from soulbox.sandboxes"
        " where uid = %(uid)s and deleted_at is not null",
        uid=uid,
    )
    assert (row["state"], row["reason"]) == ("terminated", "Deleted")
    assert "Executions can run" not in row["message"]


@pytest.fixture
def odd_classes(world: World) -> Iterator[tuple[str, str]]:
    """Class python with a runtime that no node has, and with a node that there is not."""
    python = world.get("sandboxclass", "python")
    handler, nowhere = f"{world.namespace}-handler", f"{world.namespace}-nowhere"
    world.kubectl.create(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": handler},
            "handler": "nosuch",
        }
    )
    for name, spec in (
        (handler, {"runtimeClassName": handler}),
        (nowhere, {"nodeSelector": {"nowhere": "true"}}),
    ):
        world.kubectl.create(
            {
                "apiVersion": python["apiVersion"],
                "kind": "SandboxClass",
                "metadata": {"name": name},
                "spec": python["spec"] | spec,
            }
        )
    yield handler, nowhere
    for name in (handler, nowhere):
        world.kubectl.run("delete", "sandboxclass", name, "--wait=false")
    world.kubectl.run("delete", "runtimeclass", handler)


def test_pods_that_cannot_start_or_went_unused_are_told_and_replaced(
    world: World, odd_classes: tuple[str, str]
) -> None:
    handler, nowhere = odd_classes
    world.create(make_sandbox("box", className=handler))
    world.create(make_execution("never", sandboxRef=None, className=handler))
    world.create(make_execution("moves", sandboxRef=None, className=nowhere))
    for attempt in (1, 2):
        world.poll(lambda: len(pods_of(world, "moves")) == 1, f"pod {attempt}")
        (pod,) = pods_of(world, "moves")
        assert pod["metadata"]["labels"]["soulbox.dev/incarnation"] == str(attempt)
        world.delete("pod", pod["metadata"]["name"], "--grace-period=0", "--force")
        world.wait_gone("pod", pod["metadata"]["name"])
    world.poll(lambda: len(pods_of(world, "moves")) == 1, "the third pod")
    (pod,) = pods_of(world, "moves")
    world.delete("pod", pod["metadata"]["name"])
    ended = world.execution("moves")["status"]
    assert (ended["state"], ended["reason"]) == ("Failed", "StartFailed")
    assert "output" not in ended

    told = world.wait(
        "sandbox", "box", lambda s: s["status"].get("reason") == "StartFailed", "why not"
    )
    assert told["status"]["message"].startswith("FailedCreatePodSandBox: ")
    ended = world.execution("never")["status"]
    assert (ended["state"], ended["reason"]) == ("Failed", "StartFailed")
    assert "FailedCreatePodSandBox" in ended["message"]
    world.wait_gone("pod", pod["metadata"]["name"])


def pods_of(world: World, execution: str) -> list[Manifest]:
    """Its pods that are not going."""
    return [
        pod
        for pod in world.pods()
        if pod["metadata"]["annotations"]["soulbox.dev/owner-name"] == execution
        and "deletionTimestamp" not in pod["metadata"]
    ]
