"""A Sandbox's life: start, pods, replacement, lifetime, deletion, and its bill."""

from datetime import datetime
from decimal import Decimal

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.gates import meeting
from tests.support.waiting import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SLEEP = "import time\nprint('begun')\ntime.sleep(600)\n"


def runner(pod: Manifest) -> Manifest:
    return next(c for c in pod["status"]["containerStatuses"] if c["name"] == "runner")


def test_running_says_everything_about_its_pod(world: World) -> None:
    world.create(make_sandbox("box", resources={"cpu": "300m", "memory": "96Mi"}, user=None))
    status = world.sandbox("box")["status"]
    (pod,) = world.pods()
    assert status["incarnation"] == 1
    assert status["pod"]["name"] == pod["metadata"]["name"]
    assert status["pod"]["uid"] == pod["metadata"]["uid"]
    assert status["pod"]["node"] == pod["spec"]["nodeName"]
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["cpu"], limits["memory"]) == ("300m", "96Mi")
    assert [c["type"] for c in status["conditions"]] == ["Ready"]
    policy = world.get("networkpolicy", "soulbox-none")
    assert "Egress" in policy["spec"]["policyTypes"]
    assert "egress" not in policy["spec"]  # no rule: nothing may leave
    rows = world.wait_rows(
        "select state, pod_uid::text, class_name, node from soulbox.sandboxes where uid = %(uid)s",
        lambda found: bool(found) and found[0]["state"] == "running",
        uid=world.get("sandbox", "box")["metadata"]["uid"],
    )
    assert rows[0]["pod_uid"] == pod["metadata"]["uid"]


def test_pod_passes_restricted_pod_security(world: World) -> None:
    world.kubectl.run(
        "label", "namespace", world.namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    world.create(make_sandbox("box"))
    world.sandbox("box")


def test_deleted_pod_is_replaced_and_its_run_says_lost(world: World) -> None:
    world.create(make_sandbox("box"))
    first = world.sandbox("box")["status"]["pod"]["uid"]
    world.create(make_execution("run", code=SLEEP))
    world.wait("execution", "run", lambda e: e["status"]["state"] == "Running", "Running")
    world.delete("pod", world.pod_of("box"))
    status = world.execution("run")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "Lost")
    assert status["output"]["stdout"] == "begun\n"
    second = world.wait(
        "sandbox",
        "box",
        lambda s: s["status"]["state"] == "Running" and s["status"]["incarnation"] == 2,
        "the second incarnation",
    )["status"]["pod"]["uid"]
    assert second != first
    world.create(make_execution("next", code="print('second life')"))
    assert world.execution("next")["status"]["state"] == "Completed"
    world.poll(lambda: "PodLost" in {e["reason"] for e in world.events_of("box")}, "its Event")


def test_lifetime_ends_the_sandbox_and_what_runs_in_it(world: World) -> None:
    world.create(make_sandbox("box", lifetimeSeconds=3600))
    world.sandbox("box")
    world.create(make_execution("run", code=SLEEP))
    world.wait("execution", "run", lambda e: e["status"]["state"] == "Running", "Running")
    world.patch("sandbox", "box", {"spec": {"lifetimeSeconds": 1}})
    status = world.execution("run")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "SandboxTerminated")
    found = world.sandbox("box", "Terminated")["status"]
    assert found["reason"] == "LifetimeExpired"
    kinds = {c["type"]: c["status"] for c in found["conditions"]}
    assert kinds == {"Ready": "False", "Stalled": "True"}
    world.poll(lambda: not world.pods(), "its pod to go")
    world.create(make_execution("late"))
    assert world.execution("late")["status"]["reason"] == "SandboxTerminated"


def test_deleting_a_sandbox_ends_its_run_and_leaves_nothing(world: World) -> None:
    created = world.create(make_sandbox("box"))
    world.sandbox("box")
    world.create(make_execution("run", code=SLEEP))
    world.wait("execution", "run", lambda e: e["status"]["state"] == "Running", "Running")
    world.delete("sandbox", "box")
    status = world.execution("run")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "SandboxTerminated")
    assert status["output"]["stdout"] == "begun\n"
    world.wait_gone("sandbox", "box")
    assert world.pods() == []
    uid = created["metadata"]["uid"]
    rows = world.wait_rows(
        "select state, deleted_at from soulbox.sandboxes where uid = %(uid)s",
        lambda found: bool(found) and found[0]["deleted_at"] is not None,
        uid=uid,
    )
    assert rows[0]["state"] == "terminated"


def test_the_bill_is_the_pods_own_time_to_the_second(world: World) -> None:
    created = world.create(make_sandbox("box", resources={"cpu": "500m", "memory": "64Mi"}))
    world.sandbox("box")
    pod = world.pod_of("box")
    world.create(make_execution("run", code="import time\ntime.sleep(2)\n"))
    world.execution("run")
    world.delete("sandbox", "box")
    ended = world.wait(
        "pod", pod, lambda p: "terminated" in runner(p)["state"], "the container's end"
    )
    terminated = runner(ended)["state"]["terminated"]
    started, finished = (
        datetime.fromisoformat(terminated[key]) for key in ("startedAt", "finishedAt")
    )
    rows = world.wait_rows(
        "select sum(quantity) as seconds, sum(compute_units) as units, sum(amount) as amount,"
        " min(starts_at) as first, max(ends_at) as last, max(kind) as kind, max(unit) as unit"
        " from soulbox.billing_events where sandbox_uid = %(uid)s",
        lambda found: found[0]["seconds"] is not None,
        uid=created["metadata"]["uid"],
    )
    bill = rows[0]
    assert (bill["first"], bill["last"]) == (started, finished)
    assert bill["seconds"] == Decimal(int((finished - started).total_seconds()))
    assert bill["units"] == bill["seconds"] * Decimal("0.5")
    assert (bill["kind"], bill["unit"]) == ("sandbox_runtime", "seconds")
    assert bill["amount"] > 0


def test_over_the_class_maximum_is_stalled_with_the_field_named(world: World) -> None:
    world.create(make_sandbox("big", resources={"memory": "64Gi"}))
    status = world.sandbox("big", "Error")["status"]
    assert status["reason"] == "InvalidSpec"
    assert status["message"].startswith("spec.resources.memory: ")
    assert {c["type"]: c["status"] for c in status["conditions"]}["Stalled"] == "True"
    world.poll(lambda: "InvalidSpec" in {e["reason"] for e in world.events_of("big")}, "its Event")
    world.delete("sandbox", "big")
    world.wait_gone("sandbox", "big")


def test_missing_class_waits_and_says_so(world: World) -> None:
    world.create(make_sandbox("box", className="no-such-class"))
    status = world.wait(
        "sandbox", "box", lambda s: s["status"].get("reason") == "ClassNotFound", "ClassNotFound"
    )["status"]
    assert 'SandboxClass "no-such-class" does not exist' in status["message"]


def test_quota_is_visible_and_heals(world: World) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    }
    world.create(quota)
    world.create(make_sandbox("box"))
    status = world.sandbox("box", "Error")["status"]
    assert status["reason"] == "QuotaExceeded"
    assert "exceeded quota" in status["message"]
    world.delete("resourcequota", "none")
    world.sandbox("box")


def test_a_foreign_pod_of_our_name_is_not_adopted(world: World) -> None:
    class_name = f"made-late-{world.namespace}"
    created = world.create(make_sandbox("box", className=class_name))
    uid = created["metadata"]["uid"]
    from soulbox.pure.pods.names import pod_name

    name = pod_name("box", uid, 1)
    spec = {
        "containers": [{"name": "c", "image": "soulbox/python:dev", "command": ["sleep", "60"]}]
    }
    world.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    sandbox_class = world.kubectl.get("sandboxclass", "python")
    own = {
        "apiVersion": sandbox_class["apiVersion"],
        "kind": "SandboxClass",
        "metadata": {"name": class_name},
        "spec": sandbox_class["spec"],
    }
    world.kubectl.create(own)
    try:
        status = world.sandbox("box", "Error")["status"]
        assert status["reason"] == "NameConflict"
        assert name in status["message"]
        world.delete("pod", name, "--grace-period=0", "--force")
        world.sandbox("box")
    finally:
        world.kubectl.run("delete", "sandboxclass", class_name)


def test_image_without_a_runner_is_told_and_costs_nothing(world: World) -> None:
    """Its container cannot start, and containerd says that it did, in 1970."""
    python = world.kubectl.get("sandboxclass", "python")
    name = f"no-runner-{world.namespace}"
    spec = {**python["spec"], "image": "soulbox/pause:dev"}
    metadata = {"name": name}
    world.kubectl.create({**python, "metadata": metadata, "spec": spec})
    try:
        world.create(make_execution("run", sandboxRef=None, className=name))
        world.create(make_sandbox("box", className=name))
        status = world.execution("run")["status"]
        assert (status["state"], status["reason"]) == ("Failed", "StartFailed")
        assert "no such file or directory" in status["message"]
        box = world.wait(
            "sandbox", "box", lambda s: s["status"].get("incarnation", 0) > 1, "a second pod"
        )
        assert box["status"]["state"] != "Terminated", "its lifetime does not count from 1970"
        for kind, one in (("execution", "run"), ("sandbox", "box")):
            world.delete(kind, one)
            world.wait_gone(kind, one)
    finally:
        world.kubectl.run("delete", "sandboxclass", name)
    for table in ("pod_runs", "dead_letter"):
        query = f"select * from soulbox.{table} where namespace = %(namespace)s"
        assert world.rows(query, namespace=world.namespace) == []


def test_names_of_253_characters_work(world: World) -> None:
    first, second = ("x" * 60 + "-" + end * 190 for end in "ab")
    for name in (first, second):
        world.create(make_sandbox(name, resources={"cpu": "100m", "memory": "64Mi"}))
    for name in (first, second):
        world.sandbox(name)
    run = "r" * 253
    world.create(make_execution(run, sandboxRef={"name": first}))
    assert world.execution(run)["status"]["state"] == "Completed"


def test_deleted_and_made_again_at_once_is_a_new_sandbox(world: World) -> None:
    first = world.create(make_sandbox("box"))["metadata"]["uid"]
    world.sandbox("box")
    world.kubectl.run("delete", "sandbox", "box", "--namespace", world.namespace)
    second = world.create(make_sandbox("box"))["metadata"]["uid"]
    assert first != second
    status = world.sandbox("box")["status"]
    assert status["incarnation"] == 1
    world.create(make_execution("run"))
    assert world.execution("run")["status"]["state"] == "Completed"


def test_our_label_taken_off_a_pod_comes_back_and_the_pod_stays(world: World) -> None:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    pod = world.pod_of("box")
    world.kubectl.run(
        "label", "pod", pod, "--namespace", world.namespace, "app.kubernetes.io/managed-by-"
    )
    world.wait(
        "pod",
        pod,
        lambda p: p["metadata"]["labels"].get("app.kubernetes.io/managed-by") == "soulbox",
        "our label",
    )
    world.create(make_execution("run"))
    assert world.execution("run")["status"]["state"] == "Completed"
    assert [p["metadata"]["name"] for p in world.pods()] == [pod]


def test_a_raised_concurrency_takes_effect_in_the_running_pod(world: World) -> None:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    world.patch("sandbox", "box", {"spec": {"maxConcurrentExecutions": 2}})
    for name, other in (("one", "two"), ("two", "one")):
        world.create(make_execution(name, code=meeting(name, other)))
    spans = [world.execution(name)["status"] for name in ("one", "two")]
    assert [one["state"] for one in spans] == ["Completed", "Completed"]
    assert spans[0]["startTime"] < spans[1]["completionTime"]
    assert spans[1]["startTime"] < spans[0]["completionTime"]
