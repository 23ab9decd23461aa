"""Every state and reason of an Execution but BudgetExceeded, each caused for real, with the
conditions that go with it. All at once, because some take a minute: the table is printed.

NodeLost: on one node it goes as far as the control plane's part. The node is tainted as the
node controller taints one that does not answer (node.kubernetes.io/unreachable, NoExecute),
under a class whose pods tolerate that for no time; its kubelet is alive and ends the pod.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from soulbox.model.states import ExecutionReason, ExecutionState
from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import Kubectl
from tests.support.fix_operator import OperatorProcess, Places
from tests.support.waiting import Manifest, World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
HOG = "blocks = []\nwhile True:\n    blocks.append(bytearray(8 * 1024 * 1024))\n"
# No file is over the disk limit: that would be SIGXFSZ.
FILL = (
    "import time\n"
    "for number in range(4):\n"
    "    open(f'part-{number}', 'wb').write(bytes(10 * 1024 * 1024))\n"
    "time.sleep(60)\n"
)
SMALL = {"cpu": "200m", "memory": "64Mi"}
UNREACHABLE = "node.kubernetes.io/unreachable"


@dataclass(frozen=True)
class Cause:
    """How an Execution comes to its end: what it runs, and what happens to it meanwhile."""

    state: str
    spec: dict[str, Any]
    sandbox: dict[str, Any] | None = None  # of a Sandbox of its own; None: a one-shot
    act: Callable[[World, str], None] | None = None  # once it is Running


def cancel(world: World, name: str) -> None:
    world.patch("execution", name, {"spec": {"cancel": True}})


def delete_pod(world: World, name: str) -> None:
    world.delete("pod", world.pod_of(name))


def evict(world: World, name: str) -> None:
    """By the eviction API, as `kubectl drain` does."""
    pod = world.pod_of(name)
    body = (
        '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "'
        f'{pod}", "namespace": "{world.namespace}"}}}}'
    )
    path = f"/api/v1/namespaces/{world.namespace}/pods/{pod}/eviction"
    world.kubectl.run("create", "--raw", path, "--filename=-", stdin=body)


def lose_node(world: World, name: str) -> None:
    """The node controller takes the taint off again; other pods tolerate it for five minutes."""
    node = world.get("sandbox", name)["status"]["pod"]["node"]
    world.kubectl.run("taint", "node", node, f"{UNREACHABLE}=:NoExecute", "--overwrite")


def one_shot(**spec: Any) -> dict[str, Any]:
    return {"sandboxRef": None, "className": "python", **spec}


CAUSES: dict[str, Cause] = {
    "Completed": Cause("Completed", {}, SMALL),
    "TimedOut": Cause("Timeout", {"code": SLEEP, "timeoutSeconds": 1}, SMALL),
    "QueueTimeout": Cause("Timeout", {"queueTimeoutSeconds": 2}, SMALL),
    "Cancelled": Cause("Cancelled", {"code": SLEEP}, SMALL, cancel),
    "NonZeroExit": Cause("Failed", {"code": "raise ValueError('no good')"}, SMALL),
    "Signaled": Cause("Failed", {"code": "import os\nos.kill(os.getpid(), 11)\n"}, SMALL),
    "OOMKilled": Cause("Failed", {"code": HOG}, SMALL),
    "DiskLimit": Cause("Failed", {"code": FILL}, {**SMALL, "disk": "16Mi"}),
    "SandboxNotFound": Cause(
        "Failed", {"sandboxRef": {"name": "nobody"}, "queueTimeoutSeconds": 3}
    ),
    "SandboxTerminated": Cause("Failed", {"code": SLEEP}, SMALL),
    "Evicted": Cause("Failed", {"code": SLEEP}, SMALL, evict),
    "NodeLost": Cause("Failed", {"code": SLEEP}, SMALL, lose_node),
    "Lost": Cause("Failed", {"code": SLEEP}, SMALL, delete_pod),
    "StartFailed": Cause("Failed", one_shot(className="no-interpreter")),
    "ImagePullFailed": Cause("Failed", one_shot(className="no-image")),
    "InvalidSpec": Cause("Failed", one_shot(language="cobol")),
    "QuotaExceeded": Cause("Failed", one_shot()),
}
# Beside the Sandbox's resources: how long it lives, and of what class it is.
SANDBOX_SPECS: dict[str, dict[str, Any]] = {
    "SandboxTerminated": {"lifetimeSeconds": 25},
    "NodeLost": {"className": "no-patience"},
}


def name_of(reason: str) -> str:
    """Execution and Sandbox are called by the reason."""
    return reason.lower()


class Stage:
    """Namespaces and classes in which every end comes about."""

    def __init__(self, world: World, poor: World) -> None:
        self.world = world
        self.poor = poor  # its quota has room for no pod
        self.suffix = world.namespace.removeprefix("test-")
        self.seen: dict[str, Manifest] = {}

    def class_name(self, name: str) -> str:
        return f"{name}-{self.suffix}"

    def make_classes(self) -> None:
        python = self.world.kubectl.get("sandboxclass", "python")
        patience = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}
        for name, changes in {
            "no-interpreter": {"interpreters": {"python": {"command": ["no-such-program"]}}},
            "no-image": {"image": "soulbox/no-such-image:dev", "imagePullPolicy": "Never"},
            "no-patience": {"tolerations": [{**patience, "tolerationSeconds": 0}]},
        }.items():
            spec = {**python["spec"], **changes}
            metadata = {"name": self.class_name(name)}
            self.world.kubectl.create(
                {"apiVersion": python["apiVersion"], "kind": python["kind"],
                 "metadata": metadata, "spec": spec}
            )  # fmt: skip

    def end(self) -> None:
        for name in ("no-interpreter", "no-image", "no-patience"):
            self.world.kubectl.run(
                "delete", "sandboxclass", self.class_name(name), "--ignore-not-found"
            )
        nodes = self.world.kubectl.get("nodes")["items"]
        for node in nodes:
            if any(taint["key"] == UNREACHABLE for taint in node["spec"].get("taints", ())):
                self.world.kubectl.run(
                    "taint", "node", node["metadata"]["name"], f"{UNREACHABLE}:NoExecute-"
                )

    def raise_curtain(self) -> None:
        """Create everything, then do to each what is to be done."""
        self.make_classes()
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none"},
            "spec": {"hard": {"pods": "0"}},
        }
        self.poor.create(quota)
        for reason, cause in CAUSES.items():
            if cause.sandbox is not None:
                self._make_sandbox(reason, cause.sandbox)
        for reason, cause in CAUSES.items():
            if reason == "QueueTimeout":
                self.world.create(
                    make_execution("before-it", code=SLEEP, sandboxRef={"name": name_of(reason)})
                )
                self._until_running("before-it")
            self._make_execution(reason, cause)
        self.seen["Running"] = self._until_running("before-it")
        self.seen["Queued"] = self.world.wait(
            "execution", "waiting", lambda e: "queuePosition" in e["status"], "queuePosition"
        )
        for reason, cause in CAUSES.items():
            if cause.act is not None:
                self._until_running(name_of(reason))
                cause.act(self.world, name_of(reason))

    def _make_sandbox(self, reason: str, resources: dict[str, Any]) -> None:
        spec = dict(SANDBOX_SPECS.get(reason, {}))
        if "className" in spec:
            spec["className"] = self.class_name(spec["className"])
        self.world.create(make_sandbox(name_of(reason), resources=resources, **spec))

    def _make_execution(self, reason: str, cause: Cause) -> None:
        spec = {"sandboxRef": {"name": name_of(reason)}, **cause.spec}
        if str(spec.get("className")).startswith("no-"):
            spec["className"] = self.class_name(spec["className"])
        where = self.poor if reason == "QuotaExceeded" else self.world
        where.create(make_execution(name_of(reason), **spec))
        if reason == "QueueTimeout":
            self.world.create(make_execution("waiting", sandboxRef={"name": name_of(reason)}))

    def _until_running(self, name: str) -> Manifest:
        return self.world.wait(
            "execution", name, lambda e: e["status"].get("state") == "Running", "Running"
        )

    def final(self, reason: str) -> Manifest:
        """The Execution of that reason once it is over."""
        where = self.poor if reason == "QuotaExceeded" else self.world
        return where.execution(name_of(reason))

    def describe(self, name: str) -> str:
        """`kubectl describe sbe`, as a newcomer sees it."""
        return self.world.kubectl.run("describe", "sbe", name, "-n", self.world.namespace)


@pytest.fixture(scope="module")
def stage(
    kubectl: Kubectl, database: str, operator: OperatorProcess, places: Places
) -> Iterator[Stage]:
    """Everything is under way."""
    names = [places.take() for _ in range(2)]
    if not operator.runs:
        operator.start()
    worlds = [World(kubectl, name, database, operator.log) for name in names]
    made = Stage(*worlds)
    try:
        made.raise_curtain()
        yield made
    finally:
        made.end()
        places.give_back(*names)


def conditions(manifest: Manifest) -> str:
    """Succeeded / Ready / Stalled, as the design's table has them."""
    found = {one["type"]: one["status"] for one in manifest["status"]["conditions"]}
    return " / ".join(found.get(kind, "–") for kind in ("Succeeded", "Ready", "Stalled"))


def test_every_reason_but_the_budget_s_has_a_cause() -> None:
    # Caused in test_network_policies.py, and by calls in test_calls.py.
    elsewhere = {
        ExecutionReason.NETWORK_NOT_ENFORCED,
        ExecutionReason.FUNCTION_NOT_FOUND,
        ExecutionReason.VERSION_NOT_FOUND,
        ExecutionReason.FUNCTION_SUSPENDED,
        ExecutionReason.INPUT_INVALID,
        ExecutionReason.RESULT_INVALID,
    }
    assert set(CAUSES) == set(ExecutionReason) - elsewhere - {ExecutionReason.BUDGET_EXCEEDED}
    assert {cause.state for cause in CAUSES.values()} == {
        state.value for state in ExecutionState if state.is_final
    }


@pytest.mark.parametrize("state", ["Queued", "Running"])
def test_unfinished_execution_is_unknown_to_everybody(stage: Stage, state: str) -> None:
    assert conditions(stage.seen[state]) == "Unknown / Unknown / –"
    assert "reason" not in stage.seen[state]["status"]


@pytest.mark.parametrize("reason", CAUSES)
def test_end(stage: Stage, reason: str) -> None:
    found = stage.final(reason)
    status = found["status"]
    assert (status["state"], status["reason"]) == (CAUSES[reason].state, reason), status
    want = "True / True / –" if reason == "Completed" else "False / False / True"
    assert conditions(found) == want
    assert status["message"]
    assert status["observedGeneration"] == found["metadata"]["generation"]
    started = "receipt" in status
    ran = started and reason != "StartFailed"  # there the interpreter was tried, and no code
    assert ("output" in status) == ran, "output exists once code has started"
    assert all(
        one["reason"] == reason for one in status["conditions"] if one["type"] != "Reconciling"
    )


def test_print_the_table(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"| {'state':9} | {'reason':17} | Succeeded / Ready / Stalled | message |",
             "|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {state:9} | {'':17} | {conditions(stage.seen[state])} | |"
        for state in ("Queued", "Running")
    ]
    for reason in CAUSES:
        found = stage.final(reason)
        status = found["status"]
        lines.append(
            f"| {status['state']:9} | {status['reason']:17} | {conditions(found)} |"
            f" {status['message'][:90]} |"
        )
    with capsys.disabled():
        print("", *lines, sep="\n")
        for name in ("timedout", "oomkilled", "evicted", "waiting"):
            print(f"\n$ kubectl describe sbe {name}\n{stage.describe(name)}")
    assert len(lines) == 4 + len(CAUSES)
