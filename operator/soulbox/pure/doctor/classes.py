"""SandboxClasses and where their pods run: images, nodes, network."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from soulbox.pure.doctor.finding import (
    RUNNER_WINDOW_SECONDS,
    SKEW_WARN_SECONDS,
    Finding,
    Unseen,
    fail,
    ok,
    unseen,
    warn,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSeen:
    """A SandboxClass.

    Attributes:
        problem: why the operator cannot use it; "" if it can.
        runtime_class: the RuntimeClass it names, None for none.
        runtime_class_exists: whether that is there; None: could not be looked at.
        nodes_with_image: how many nodes hold the image; None: could not be looked at.
        nodes: how many nodes there are.
        never_pulled: imagePullPolicy Never.
    """

    name: str
    problem: str
    image: str
    runtime_class: str | None = None
    runtime_class_exists: bool | None = None
    nodes_with_image: int | None = None
    nodes: int = 0
    never_pulled: bool = False


def judge_classes(seen: Sequence[ClassSeen] | Unseen) -> list[Finding]:
    """There are some, the operator understands them, and pods of them can start."""
    if isinstance(seen, Unseen):
        return [unseen("classes", seen)]
    if not seen:
        return [
            fail(
                "classes",
                "there is no SandboxClass",
                "apply the classes of manifests/install.yaml, or set `classes` of the chart",
            )
        ]
    findings = [finding for one in seen for finding in _class(one)]
    names = ", ".join(one.name for one in seen)
    return findings or [ok("classes", f"{names}: images on every node, runtimes there")]


def _class(one: ClassSeen) -> list[Finding]:
    findings = []
    if one.problem:
        findings.append(fail("classes", f"{one.name}: {one.problem}", "correct the SandboxClass"))
    if one.runtime_class is not None and one.runtime_class_exists is False:
        found = f"{one.name}: RuntimeClass {one.runtime_class} does not exist"
        findings.append(fail("classes", found, "install that runtime, or name another"))
    held = one.nodes_with_image
    if held is None or held == one.nodes:
        return findings
    found = f"{one.name}: image {one.image} is on {held} of {one.nodes} nodes"
    if one.never_pulled:
        verdict = fail if held == 0 else warn
        remedy = "load it on every node, or let the class pull it (imagePullPolicy)"
        return [*findings, verdict("classes", found, remedy)]
    remedy = "nothing to do if nodes can pull it: the first pod there waits for the pull"
    return [*findings, warn("classes", found, remedy)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A node.

    Attributes:
        pid_limit: the kubelet's podPidsLimit; None: unlimited; Unseen: not to be read.
        lease_age_seconds: since its last sign of life by the API server's clock, negative
            when the node's clock is ahead; None: it has no Lease.
    """

    name: str
    ready: bool
    pid_limit: int | Unseen | None
    lease_age_seconds: float | None


def judge_nodes(seen: Sequence[NodeSeen] | Unseen) -> list[Finding]:
    """Ready, of one time with the API server, and bounding processes a pod."""
    if isinstance(seen, Unseen):
        return [unseen("nodes", seen)]
    if not any(node.ready for node in seen):
        found = f"none of {len(seen)} is Ready"
        return [fail("nodes", found, "kubectl describe nodes says why")]
    findings = [finding for node in seen for finding in _node(node)]
    limits = {node.pid_limit for node in seen if isinstance(node.pid_limit, int)}
    words = ", ".join(map(str, sorted(limits)))
    return findings or [
        ok("nodes", f"{len(seen)} Ready, clocks agree, at most {words} processes per pod")
    ]


def _node(node: NodeSeen) -> list[Finding]:
    findings = []
    if not node.ready:
        findings.append(warn("nodes", f"{node.name} is not Ready", "kubectl describe node"))
    age = node.lease_age_seconds
    if node.ready and age is not None and age < -SKEW_WARN_SECONDS:
        found = f"the clock of {node.name} is {-age:.0f} s ahead of the API server's"
        verdict = fail if -age >= RUNNER_WINDOW_SECONDS else warn
        remedy = "set it by NTP: runners refuse calls that are 30 s off, and bills use its times"
        findings.append(verdict("nodes", found, remedy))
    if isinstance(node.pid_limit, Unseen):
        found = f"{node.name}: its process limit per pod could not be read: {node.pid_limit.why}"
        remedy = "check podPidsLimit in its kubelet's configuration; it should be set"
        findings.append(warn("nodes", found, remedy))
    elif node.pid_limit is None:
        found = f"{node.name}: a pod may start any number of processes"
        remedy = "set podPidsLimit (for example 1024) in its kubelet's configuration"
        findings.append(warn("nodes", found, remedy))
    return findings


class Enforcement(StrEnum):
    """What the probe saw."""

    NOT_TRIED = "not tried"
    ENFORCED = "enforced"
    NOT_ENFORCED = "not enforced"
    # Not even the connection that nothing forbids came about.
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOpen:
    """Policies are enforced between pods, but these ports of the pod's node answered."""

    ports: tuple[str, ...]


def judge_network(seen: Enforcement | NodeOpen | Unseen) -> list[Finding]:
    """Sandboxes without network have none."""
    match seen:
        case Unseen():
            return [unseen("network", seen)]
        case NodeOpen(ports=ports):
            found = (
                f"enforced between pods, but a pod without network reaches {' and '.join(ports)}"
            )
            remedy = (
                "Kubernetes lets a pod reach its own node, and these ports ask for credentials;"
                " host policies (Cilium, Calico) or a firewall can close them"
            )
            return [warn("network", found, remedy)]
        case Enforcement.ENFORCED:
            return [ok("network", "a connection that a NetworkPolicy forbids failed")]
        case Enforcement.NOT_ENFORCED:
            found = (
                "a connection that a NetworkPolicy forbids succeeded: sandboxes have network access"
            )
            return [fail("network", found, "install a CNI that enforces NetworkPolicies")]
        case Enforcement.INCONCLUSIVE:
            found = "the probe's pods could not connect even without a policy"
            return [warn("network", found, "check the cluster's pod network, then probe again")]
        case Enforcement.NOT_TRIED:
            found = "whether the CNI enforces NetworkPolicies is unknown"
            remedy = "soulbox doctor --probe-network tries it with pods of its own"
            return [warn("network", found, remedy)]
