"""Each look at the cluster: what was asked for, or why it could not be seen."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from soulbox.box.signing import SigningKey
from soulbox.kinds.sandbox_class.spec import parse_sandbox_class
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.release import compare_crd, load_release
from soulbox.kube.resources import (
    ACCESS_REVIEWS,
    ADMISSION_BINDINGS,
    ADMISSION_POLICIES,
    CRDS,
    EXECUTIONS,
    LEASES,
    NODES,
    PODS,
    RUNTIME_CLASSES,
    SANDBOX_CLASSES,
    SANDBOXES,
    SECRETS,
    Resource,
)
from soulbox.model.errors import InvalidManifest, KubeNotFound, KubeRefused, SoulBoxError
from soulbox.model.keys import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    RECORDED_FINALIZER,
    SIGNING_KEY_SECRET,
)
from soulbox.model.times import parse_time
from soulbox.pure.doctor.classes import ClassSeen, NodeSeen
from soulbox.pure.doctor.cluster import AdmissionSeen, ClusterSeen, CrdSeen, Right, RightsSeen
from soulbox.pure.doctor.finding import Unseen
from soulbox.pure.doctor.operator import HeldSeen, LeaderSeen

Seen = TypeVar("Seen")

_VERSION = Resource(kind="Version", plural="version", version="", namespaced=False)
# Access reviews under way at once.
_REVIEWS = 8
# Of the operator's ServiceAccount, beside its own name.
_ACCOUNT = "soulbox-operator"


class Looks:
    """One client's looks; each may be taken alone."""

    def __init__(self, kube: KubeClient, clock: ServerClock, server: str) -> None:
        self._kube = kube
        self._clock = clock
        self._server = server
        # Which nodes hold which images; both are read once for nodes and classes.
        self._nodes: list[dict[str, Any]] | Unseen | None = None

    async def cluster(self) -> ClusterSeen | Unseen:
        """Address, version and clock."""
        started = time.monotonic()
        try:
            found = await self._kube.read(_VERSION, "/version")
        except SoulBoxError as error:
            return Unseen(why=f"the API server at {self._server} does not answer: {error}"[:512])
        return ClusterSeen(
            server=self._server,
            version=str(found.get("gitVersion", "of unknown version")),
            major=str(found.get("major", "")),
            minor=str(found.get("minor", "")),
            answer_seconds=time.monotonic() - started,
            skew_seconds=self._clock.skew_seconds,
        )

    async def rights(
        self, namespace: str, served: Sequence[str], lease: str
    ) -> RightsSeen | Unseen:
        """Ask the API server's authorizer about the operator's ServiceAccount."""
        account = f"system:serviceaccount:{namespace}:{_ACCOUNT}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        wanted = load_release().rights(namespace, served, lease)
        room = asyncio.Semaphore(_REVIEWS)

        async def allowed(right: Right) -> bool:
            spec = {
                "user": account,
                "groups": [*groups, "system:authenticated"],
                "resourceAttributes": _attributes(right),
            }
            async with room:
                answer = await self._kube.create(ACCESS_REVIEWS, _review(spec))
            return bool((answer.get("status") or {}).get("allowed"))

        async def ask() -> RightsSeen:
            # All of them to their end: one that goes on after a refusal of another would use
            # the session after it was closed.
            answers = await asyncio.gather(*map(allowed, wanted), return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            denied = tuple(
                right for right, is_allowed in zip(wanted, answers, strict=True) if not is_allowed
            )
            return RightsSeen(account=account, asked=len(wanted), denied=denied)

        return await _look(ask)

    async def crds(self) -> list[CrdSeen] | Unseen:
        """Each CRD of this release."""

        async def one(wanted: Mapping[str, Any]) -> CrdSeen:
            try:
                found = await self._kube.get(CRDS, wanted["metadata"]["name"])
            except KubeNotFound:
                return compare_crd(wanted, None)
            return compare_crd(wanted, found)

        wanted = load_release().of_kind("CustomResourceDefinition")
        return await _look(lambda: _each(one, wanted))

    async def classes(self) -> list[ClassSeen] | Unseen:
        """Every SandboxClass, with its image and RuntimeClass."""

        async def ask() -> list[ClassSeen]:
            try:
                found = await self._kube.list(SANDBOX_CLASSES)
            except KubeNotFound:
                return []
            return await _each(self._class, found)

        return await _look(ask)

    async def _class(self, manifest: Mapping[str, Any]) -> ClassSeen:
        spec = manifest.get("spec") or {}
        problem = ""
        try:
            parse_sandbox_class(manifest)
        except InvalidManifest as error:
            problem = str(error)
        runtime, exists = spec.get("runtimeClassName"), None
        if runtime is not None:
            exists = await self._exists(RUNTIME_CLASSES, str(runtime))
        nodes, image = await self._node_list(), str(spec.get("image", ""))
        known = nodes if isinstance(nodes, list) else []
        return ClassSeen(
            name=str(manifest["metadata"]["name"]),
            problem=problem,
            image=image,
            runtime_class=None if runtime is None else str(runtime),
            runtime_class_exists=exists,
            nodes_with_image=(
                sum(_holds(node, image) for node in known) if isinstance(nodes, list) else None
            ),
            nodes=len(known),
            never_pulled=spec.get("imagePullPolicy") == "Never",
        )

    async def _exists(self, resource: Resource, name: str) -> bool | None:
        try:
            await self._kube.get(resource, name)
        except KubeNotFound:
            return False
        except SoulBoxError:
            return None
        return True

    async def nodes(self) -> list[NodeSeen] | Unseen:
        """Every node's readiness, clock and process limit."""
        nodes = await self._node_list()
        if isinstance(nodes, Unseen):
            return nodes
        return await _look(lambda: _each(self._node, nodes))

    async def _node_list(self) -> list[dict[str, Any]] | Unseen:
        if self._nodes is None:
            self._nodes = await _look(lambda: self._kube.list(NODES))
        return self._nodes

    async def _node(self, node: Mapping[str, Any]) -> NodeSeen:
        name = str(node["metadata"]["name"])
        conditions = (node.get("status") or {}).get("conditions") or ()
        ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
        lease = await _look(lambda: self._kube.get(LEASES, name, "kube-node-lease"))
        renewed = None
        if not isinstance(lease, Unseen):
            renewed = parse_time((lease.get("spec") or {}).get("renewTime"))
        path = NODES.path(name=name) + "/proxy/configz"
        configuration = await _look(lambda: self._kube.read(NODES, path))
        return NodeSeen(
            name=name,
            ready=ready,
            pid_limit=_pid_limit(configuration),
            lease_age_seconds=None if renewed is None else self._age(renewed),
        )

    async def admission(self) -> AdmissionSeen | Unseen:
        """Which of this release's policies exist and are bound."""
        wanted = load_release().admission_policies()

        async def ask() -> AdmissionSeen:
            found = await self._kube.list(ADMISSION_POLICIES)
            bindings = await self._kube.list(ADMISSION_BINDINGS)
            present = {policy["metadata"]["name"] for policy in found}
            bound = {
                binding["spec"].get("policyName")
                for binding in bindings
                if "Deny" in (binding["spec"].get("validationActions") or ())
            }
            return AdmissionSeen(
                wanted=wanted,
                missing=tuple(name for name in wanted if name not in present),
                unbound=tuple(name for name in wanted if name not in bound),
            )

        return await _look(ask)

    async def signing_key(self, namespace: str) -> bool | str | Unseen:
        """True: good; False: none; text: what is wrong with it."""

        async def ask() -> bool | str:
            try:
                secret = await self._kube.get(SECRETS, SIGNING_KEY_SECRET, namespace)
            except KubeNotFound:
                return False
            try:
                seed = base64.b64decode((secret.get("data") or {})["seed"], validate=True)
                SigningKey.from_seed(seed)
            except (KeyError, ValueError):
                return f'Secret {namespace}/{SIGNING_KEY_SECRET} has no valid "seed"'
            return True

        return await _look(ask)

    async def leader(self, namespace: str, name: str) -> LeaderSeen | Unseen | None:
        """The operator's Lease."""

        async def ask() -> LeaderSeen | None:
            try:
                lease = await self._kube.get(LEASES, name, namespace)
            except KubeNotFound:
                return None
            spec = lease.get("spec") or {}
            renewed = parse_time(spec.get("renewTime"))
            return LeaderSeen(
                holder=spec.get("holderIdentity") or None,
                age_seconds=float("inf") if renewed is None else self._age(renewed),
                duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
            )

        return await _look(ask)

    async def held(self, deadline_seconds: float) -> HeldSeen | Unseen:
        """Objects with our finalizer that were deleted longer ago than this."""

        async def ask() -> HeldSeen:
            ages: list[float] = []
            for resource in (EXECUTIONS, SANDBOXES, PODS):
                ours = f"{MANAGED_BY_LABEL}={MANAGED_BY}" if resource is PODS else None
                for found in await self._kube.list(resource, label_selector=ours):
                    deleted = parse_time(found["metadata"].get("deletionTimestamp"))
                    finalizers = found["metadata"].get("finalizers") or ()
                    if deleted is not None and RECORDED_FINALIZER in finalizers:
                        ages.append(self._age(deleted))
            late = [age for age in ages if age > deadline_seconds]
            return HeldSeen(
                objects=len(late),
                oldest_seconds=max(late, default=0.0),
                deadline_seconds=deadline_seconds,
            )

        return await _look(ask)

    def _age(self, moment: datetime) -> float:
        return (self._clock.now() - moment).total_seconds()


async def _look(ask: Callable[[], Awaitable[Seen]]) -> Seen | Unseen:
    """The answer, or why there is none."""
    try:
        return await ask()
    except KubeRefused as error:
        return Unseen(why=error.message[:256], denied=error.status in (401, 403))
    except SoulBoxError as error:
        return Unseen(why=str(error)[:256])


Given = TypeVar("Given")


async def _each(one: Callable[[Given], Awaitable[Seen]], givens: Sequence[Given]) -> list[Seen]:
    return [await one(given) for given in givens]


def _review(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def _attributes(right: Right) -> dict[str, str]:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "verb": right.verb,
        "namespace": right.namespace or "",
        "name": right.name or "",
    }
    return {key: value for key, value in attributes.items() if value}


def _holds(node: Mapping[str, Any], image: str) -> bool:
    """Whether the node lists the image; it lists names as the runtime knows them, with
    Docker's registry where the class may leave it out."""
    names = {
        name
        for entry in (node.get("status") or {}).get("images") or ()
        for name in entry.get("names") or ()
    }
    return bool(names & {image, f"docker.io/{image}", f"docker.io/library/{image}"})


def _pid_limit(configuration: Mapping[str, Any] | Unseen) -> int | Unseen | None:
    """podPidsLimit of a kubelet's configz; the kubelet says -1 for no limit."""
    if isinstance(configuration, Unseen):
        return configuration
    limit = (configuration.get("kubeletconfig") or {}).get("podPidsLimit", -1)
    return limit if isinstance(limit, int) and limit > 0 else None
