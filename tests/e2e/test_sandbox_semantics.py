"""Suspend and resume, persistent workspaces, lifetimes, variables, profiles, on a real kubelet."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.classes import class_like
from tests.support.fix_operator import OperatorProcess
from tests.support.gates import UNTIL_GO, go
from tests.support.waiting import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep({})\n"
# Room for two patches and a look of the operator's between them.
SOON_SECONDS = 12


def ran(world: World, sandbox_uid: str) -> list[Manifest]:
    """Every pod the Sandbox had, from the record."""
    return world.rows(
        "select incarnation, started_at, finished_at, cpu_millicores from soulbox.pod_runs"
        " where sandbox_uid = %(uid)s order by incarnation",
        uid=sandbox_uid,
    )


def test_suspended_sandbox_costs_nothing_and_its_workspace_survives(
    world: World, volume: Callable[[str], str]
) -> None:
    created = world.create(
        make_sandbox(
            "box",
            workspace={"persistent": True, "size": "64Mi", "storageClassName": volume("by-hand")},
        )
    )
    uid = created["metadata"]["uid"]
    world.sandbox("box")
    code = "import os\nopen('kept', 'w').write('from before')\nos.makedirs('d')\nopen('d/f', 'w')\n"
    world.create(make_execution("write", code=code))
    assert world.execution("write")["status"]["state"] == "Completed"

    world.patch("sandbox", "box", {"spec": {"suspend": True}})
    status = world.sandbox("box", "Stopped")["status"]
    assert status["reason"] == "Suspended"
    assert status.get("conditions", []) == [], "Current to kstatus"
    world.poll(lambda: not world.pods(), "the pod to go")
    world.create(make_execution("read", code="print(open('kept').read())\nopen('d/g', 'w')\n"))
    waiting = world.wait(
        "execution", "read", lambda e: "Suspended" in e["status"].get("message", ""), "a word"
    )
    assert waiting["status"]["state"] == "Queued"
    world.patch("sandbox", "box", {"spec": {"resources": {"cpu": "150m"}}})
    world.patch("sandbox", "box", {"spec": {"suspend": False}})
    read = world.execution("read")["status"]
    assert (read["state"], read["output"]["stdout"]) == ("Completed", "from before\n"), read
    status = world.sandbox("box")["status"]
    assert status["incarnation"] == 2
    assert status["resources"]["cpu"] == "150m"
    first, second = world.wait_rows(
        "select cpu_millicores, finished_at from soulbox.pod_runs where sandbox_uid = %(uid)s"
        " order by incarnation",
        lambda rows: len(rows) == 2,
        uid=uid,
    )
    assert (first["cpu_millicores"], second["cpu_millicores"]) == (250, 150)
    assert first["finished_at"] is not None
    billed = world.wait_rows(
        "select sum(quantity) as seconds from soulbox.billing_events"
        " where sandbox_uid = %(uid)s and kind = 'sandbox_runtime'",
        lambda rows: rows[0]["seconds"] is not None,
        uid=uid,
    )[0]["seconds"]
    run = ran(world, uid)[0]
    assert billed == (run["finished_at"] - run["started_at"]).total_seconds(), "not a second more"
    claims = world.kubectl.get("persistentvolumeclaims", "--namespace", world.namespace)["items"]
    assert len(claims) == 1
    world.delete("sandbox", "box")
    world.wait_gone("sandbox", "box")
    world.wait_gone("persistentvolumeclaim", claims[0]["metadata"]["name"])


def test_suspend_lets_what_runs_end_and_nothing_new_begin(world: World) -> None:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    world.create(make_execution("long", code=UNTIL_GO))
    world.wait("execution", "long", lambda e: e["status"]["state"] == "Running", "Running")
    world.patch("sandbox", "box", {"spec": {"suspend": True}})
    world.create(make_execution("next"))
    world.wait("sandbox", "box", lambda s: s["status"].get("reason") == "Suspending", "Suspending")
    go(world)
    assert world.execution("long")["status"]["state"] == "Completed"
    world.sandbox("box", "Stopped")
    assert world.get("execution", "next")["status"]["state"] == "Queued"


def test_idle_sandbox_is_terminated_and_one_in_use_is_not(world: World) -> None:
    world.create(make_sandbox("idle", idleTimeoutSeconds=3))
    world.create(make_sandbox("box", idleTimeoutSeconds=3))
    world.create(make_execution("busy", code=SLEEP.format(6)))
    status = world.sandbox("idle", "Terminated")["status"]
    assert status["reason"] == "IdleExpired"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "False",
        "Stalled": "True",
    }
    assert world.execution("busy")["status"]["state"] == "Completed"
    assert world.sandbox("box", "Terminated")["status"]["reason"] == "IdleExpired"
    world.poll(lambda: not world.pods(), "their pods to go")


def lives_for(status: Manifest) -> float:
    """The lifetime in seconds that a Sandbox's status tells."""
    ends, starts = (
        datetime.fromisoformat(status[name]) for name in ("expirationTime", "startTime")
    )
    return (ends - starts).total_seconds()


def ends_soon(world: World) -> Manifest:
    """A running Sandbox `box` whose lifetime is over in some seconds, counted from when it runs:
    its start may take longer than that."""
    world.create(make_sandbox("box", lifetimeSeconds=3600))
    began = datetime.fromisoformat(world.sandbox("box")["status"]["startTime"])
    seconds = int((datetime.now(UTC) - began).total_seconds()) + SOON_SECONDS
    world.patch("sandbox", "box", {"spec": {"lifetimeSeconds": seconds}})
    return world.wait(
        "sandbox", "box", lambda s: lives_for(s["status"]) == seconds, "an earlier end"
    )


def test_lifetime_ends_the_pod_when_it_is_over_and_not_before(world: World) -> None:
    box = ends_soon(world)
    status = world.sandbox("box", "Terminated")["status"]
    assert status["reason"] == "LifetimeExpired"
    world.poll(lambda: not world.pods(), "its pod to go")
    (run,) = world.wait_rows(
        "select started_at, finished_at from soulbox.pod_runs where sandbox_uid = %(uid)s"
        " and finished_at is not null",
        uid=box["metadata"]["uid"],
    )
    # The kubelet tells whole seconds.
    ran_for = (run["finished_at"] - run["started_at"]).total_seconds()
    assert ran_for >= box["spec"]["lifetimeSeconds"] - 1
    assert lives_for(status) == box["spec"]["lifetimeSeconds"]
    ends = datetime.fromisoformat(status["expirationTime"])
    assert datetime.fromisoformat(status["terminationTime"]) >= ends


def test_lifetime_that_is_raised_in_time_keeps_the_pod_and_what_runs(world: World) -> None:
    before = ends_soon(world)["status"]
    world.patch("sandbox", "box", {"spec": {"lifetimeSeconds": 1_000_000}})
    world.create(make_execution("run", code=UNTIL_GO + "print('whole')\n"))
    world.wait("sandbox", "box", lambda s: lives_for(s["status"]) > 1e5, "a later end")
    over = datetime.fromisoformat(before["expirationTime"])
    world.poll(lambda: datetime.now(UTC) > over + timedelta(seconds=2), "what was its end")
    go(world)
    assert world.execution("run")["status"]["output"]["stdout"] == "begun\nwhole\n"
    after = world.get("sandbox", "box")["status"]
    assert (after["state"], after["pod"]["uid"]) == ("Running", before["pod"]["uid"])
    assert "the 604800 s that SandboxClass" in after["message"], "the class's maximum holds"
    assert lives_for(after) == 604_800
    world.patch("sandbox", "box", {"spec": {"lifetimeSeconds": 1}})
    assert world.sandbox("box", "Terminated")["status"]["reason"] == "LifetimeExpired"


@pytest.mark.alone
def test_class_s_most_lifetime_ends_while_no_operator_looks(
    world: World, operator: OperatorProcess
) -> None:
    began = time.monotonic()
    world.create(make_sandbox("measure"))
    world.sandbox("measure")
    world.delete("sandbox", "measure")
    world.wait_gone("sandbox", "measure")
    # Enough for the same again, on whatever machine.
    enough = 4 + 2 * round(time.monotonic() - began)
    with class_like(world, "python", max={"lifetimeSeconds": enough}) as name:
        _ends_without_an_operator(world, operator, name)


def _ends_without_an_operator(world: World, operator: OperatorProcess, class_name: str) -> None:
    created = world.create(make_sandbox("box", className=class_name))
    world.sandbox("box")
    operator.stop()

    def ended() -> bool:
        (pod,) = world.pods()
        return bool(pod["status"]["phase"] == "Failed")

    world.poll(ended, "the kubelet to end it")
    (pod,) = world.pods()
    assert pod["status"]["reason"] == "DeadlineExceeded"
    (container,) = pod["status"]["containerStatuses"]
    told = container["state"]["terminated"]
    operator.start()
    assert world.sandbox("box", "Terminated")["status"]["reason"] == "LifetimeExpired"
    (run,) = world.wait_rows(
        "select started_at, finished_at from soulbox.pod_runs where sandbox_uid = %(uid)s"
        " and finished_at is not null",
        uid=created["metadata"]["uid"],
    )
    want = (datetime.fromisoformat(told[name]) for name in ("startedAt", "finishedAt"))
    assert (run["started_at"], run["finished_at"]) == tuple(want)


def test_variables_come_from_labelled_secrets_and_config_maps(world: World) -> None:
    for kind, name in (("Secret", "keys"), ("ConfigMap", "settings")):
        field = "stringData" if kind == "Secret" else "data"
        world.create(
            {
                "apiVersion": "v1",
                "kind": kind,
                "metadata": {"name": name},
                field: {"value": f"from a {kind}"},
            }
        )
    env = [
        {"name": "PLAIN", "value": "plain"},
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "value"}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "value"}}},
    ]
    world.create(make_sandbox("box", env=env))
    world.sandbox("box")
    code = "import os\nprint([os.environ[name] for name in ('PLAIN', 'S', 'C')])\n"
    world.create(make_execution("run", code=code))
    world.wait("execution", "run", lambda e: "label" in e["status"].get("message", ""), "a word")
    world.patch("secret", "keys", {"metadata": {"labels": {"soulbox.dev/readable": "true"}}})
    assert world.execution("run")["status"]["output"]["stdout"] == (
        "['plain', 'from a Secret', 'from a ConfigMap']\n"
    )
    # The same for an Execution in a pod of its own, which may ask for more than the default.
    world.create(
        make_execution(
            "alone", sandboxRef=None, className="python", code=code, env=env,
            resources={"cpu": 0.5, "memory": "300Mi"},
        )
    )  # fmt: skip
    status = world.execution("alone")["status"]
    assert status["output"]["stdout"] == "['plain', 'from a Secret', 'from a ConfigMap']\n"
    assert status["receipt"]["limits"] == {
        "cpu": "500m", "memory": "300Mi", "disk": "1Gi", "pids": 128,
    }  # fmt: skip
    assert "from a Secret" not in json.dumps(world.pods()), "no secret is in the pod"
    objects = world.kubectl.get("executions", "--namespace", world.namespace)
    inputs = json.dumps([{**one, "status": None} for one in objects["items"]])
    assert "from a Secret" not in inputs


@pytest.mark.alone
def test_class_says_what_it_lacks_and_who_lost_theirs_says_so(world: World) -> None:
    def status_of(name: str) -> dict[str, Any]:
        return dict(world.kubectl.get("sandboxclass", name).get("status") or {})

    with class_like(world, "python", runtimeClassName="nowhere") as name:
        world.poll(lambda: bool(status_of(name)), "its status")
        status = status_of(name)
        assert status["reason"] == "RuntimeClassNotFound"
        assert 'no RuntimeClass "nowhere"' in status["message"]
    with class_like(world, "python") as name:
        world.create(make_sandbox("box", className=name))
        world.sandbox("box")
        world.poll(lambda: status_of(name).get("sandboxes") == 1, "it to be counted")
        assert status_of(name)["reason"] == "Ready"
    found = world.wait(
        "sandbox", "box", lambda box: box["status"]["reason"] == "ClassNotFound", "its words"
    )["status"]
    assert found["state"] == "Running", "what runs goes on"
    ready = next(one for one in found["conditions"] if one["type"] == "Ready")
    assert ready["status"] == "False"


def test_profile_of_the_class_is_a_policy_of_the_namespace(world: World) -> None:
    profile = {
        "name": "site",
        "egress": [{"cidr": "198.51.100.0/24", "ports": [{"port": 443}]}, {"dns": True}],
    }
    with class_like(world, "python", networkProfiles=[profile]) as name:
        world.create(make_sandbox("box", className=name, network="site"))
        world.sandbox("box")
        (pod,) = world.pods()
        key = pod["metadata"]["labels"]["soulbox.dev/network-profile"]
        policy = world.get("networkpolicy", f"soulbox-{key}")
        assert policy["spec"]["egress"][0] == {
            "to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}],
            "ports": [{"protocol": "TCP", "port": 443}],
        }
        assert policy["spec"]["podSelector"]["matchLabels"]["soulbox.dev/network-profile"] == key
        world.create(make_execution("run"))
        assert world.execution("run")["status"]["receipt"]["networkProfile"] == key
        world.create(make_sandbox("other", className=name, network="elsewhere"))
        status = world.sandbox("other", "Error")["status"]
        assert status["reason"] == "InvalidSpec"
        assert "it has: none, site." in status["message"]
        for one in ("box", "other"):
            world.delete("sandbox", one)
            world.wait_gone("sandbox", one)


def test_output_is_in_the_pod_s_log_where_the_class_says_so(world: World) -> None:
    with class_like(world, "python", logOutput=True) as name:
        world.create(make_sandbox("box", className=name))
        world.sandbox("box")
        world.create(make_execution("run", code="print('for the log')"))
        world.execution("run")
        log = world.kubectl.run("logs", world.pod_of("box"), "--namespace", world.namespace)
        assert "for the log" in log
        world.delete("sandbox", "box")
        world.wait_gone("sandbox", "box")
