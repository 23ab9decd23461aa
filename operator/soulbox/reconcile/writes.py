"""Writes that both kinds of reconcilers make, each safe to repeat."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from soulbox.kube.resources import (
    CLAIMS,
    NETWORK_POLICIES,
    POD_EVENTS,
    PODS,
    Resource,
    resource_of,
)
from soulbox.kube.slim import slim
from soulbox.model.errors import KubeExists, KubeNotFound, KubeRefused, Retryable
from soulbox.model.kinds import TENANTS
from soulbox.model.manifests import (
    Manifest,
    finalizers_with_ours,
    finalizers_without_ours,
)
from soulbox.model.owners import pod_owner
from soulbox.model.specs import NetworkProfile
from soulbox.model.states import Kind
from soulbox.pure.pods.claim import ClaimPlan, build_claim
from soulbox.pure.pods.network_policy import build_network_policy, correct_network_policy
from soulbox.pure.pods.plan import PodPlan, build_pod
from soulbox.pure.pods.view import trouble_of_events
from soulbox.reconcile.services import Services
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

RESOURCES: Mapping[Kind, Resource] = {info.kind: resource_of(info) for info in TENANTS}


class NameTaken(Exception):
    """A pod of our name exists that belongs to somebody else."""


class PolicyRefused(Exception):
    """The API server refused the NetworkPolicy that a pod needs."""

    def __init__(self, error: KubeRefused) -> None:
        super().__init__(f"The API server refused its NetworkPolicy: {error.message}")
        self.is_quota = is_quota(error)


async def patch_metadata(
    services: Services, kind: Kind, manifest: Manifest, metadata: Mapping[str, Any]
) -> Manifest:
    """Merge into metadata, on the resourceVersion at hand; the new object."""
    old = manifest["metadata"]
    resource = PODS if kind is Kind.POD else RESOURCES[kind]
    body = {"metadata": {"resourceVersion": old["resourceVersion"], **metadata}}
    updated = await services.kube.patch(resource, old["name"], body, old.get("namespace"))
    services.saw(kind, updated)
    return updated


async def write_status(
    services: Services,
    kind: Kind,
    manifest: Manifest,
    status: Mapping[str, Any],
    *,
    recorded: Mapping[str, Any] | None = None,
) -> Manifest:
    """Merge into /status, on the resourceVersion the decision was made on.

    Args:
        recorded: members of the status that the record has and the object has no room for.
    """
    metadata = manifest["metadata"]
    updated = await services.kube.patch(
        RESOURCES[kind],
        metadata["name"],
        _status_patch(manifest, status),
        metadata["namespace"],
        subresource="status",
    )
    services.saw(kind, updated)
    if recorded is not None:
        # In place of the object itself, which waits for the mirror as the same version.
        whole = {**updated, "status": {**(updated.get("status") or {}), **recorded}}
        services.mirror.offer(kind, slim(kind, whole))
    _log_change(kind, manifest, status)
    return updated


def _status_patch(
    manifest: Manifest, status: Mapping[str, Any]
) -> Mapping[str, Any] | list[Mapping[str, Any]]:
    """A merge patch, in which null takes a member away (RFC 7386). A result may hold null: then
    it is a JSON patch (RFC 6902), which adds what it is given."""
    version = manifest["metadata"]["resourceVersion"]
    if "result" not in status or not _holds_null(status["result"]):
        return {"metadata": {"resourceVersion": version}, "status": status}
    operations: list[Mapping[str, Any]] = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    ]
    known = manifest.get("status") or {}
    for name, value in status.items():  # our own names: nothing in them is escaped
        path = f"/status/{name}"
        if value is not None or name == "result":
            operations.append({"op": "add", "path": path, "value": value})
        elif name in known:
            operations.append({"op": "remove", "path": path})
    return operations


def _holds_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_null(each) for each in value.values())
    if isinstance(value, list):
        return any(_holds_null(each) for each in value)
    return value is None


def _log_change(kind: Kind, manifest: Manifest, status: Mapping[str, Any]) -> None:
    """One line for each change of state or reason."""
    before = manifest.get("status") or {}
    told = {key: status.get(key, before.get(key)) for key in ("state", "reason")}
    if any(before.get(key) != value for key, value in told.items()):
        metadata = manifest["metadata"]
        _log.info(
            "state changed",
            action="status",
            kind=kind.value,
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            was=before.get("state"),
            **told,
        )


async def add_finalizer(services: Services, kind: Kind, manifest: Manifest) -> Manifest:
    """Put our finalizer on."""
    both = finalizers_with_ours(manifest)
    return await patch_metadata(services, kind, manifest, {"finalizers": both})


async def remove_finalizer(services: Services, kind: Kind, manifest: Manifest) -> None:
    """Take our finalizer off; an object already gone is success."""
    others = finalizers_without_ours(manifest)
    try:
        await patch_metadata(services, kind, manifest, {"finalizers": others})
    except KubeNotFound:
        services.missed(kind, manifest["metadata"]["uid"])


async def ensure_network_policy(
    services: Services, namespace: str, profile: NetworkProfile
) -> str | None:
    """The namespace's policy exists and says what it should; its name if it did not and was put
    right. Asked of the API server before each pod: somebody may have changed it since, and a
    read takes milliseconds where a pod's start takes a second.

    Raises:
        PolicyRefused: quota or a policy; the caller shows it, and makes no pod.
    """
    wanted = build_network_policy(namespace, profile, services.operator_namespace)
    name = str(wanted["metadata"]["name"])
    try:
        found = await _network_policy(services, namespace, name)
        if found is None:
            with suppress(KubeExists):
                await services.kube.create(NETWORK_POLICIES, wanted, namespace)
                return None
            found = await services.kube.get(NETWORK_POLICIES, name, namespace)
        patch = correct_network_policy(found, wanted)
        if patch is None:
            return None
        await services.kube.patch(NETWORK_POLICIES, name, patch, namespace)
    except KubeRefused as error:
        raise PolicyRefused(error) from error
    return name


async def network_policy_is_right(
    services: Services, namespace: str, profile: NetworkProfile
) -> bool:
    """Whether the API server has the namespace's policy, and it says what it should."""
    wanted = build_network_policy(namespace, profile, services.operator_namespace)
    found = await _network_policy(services, namespace, str(wanted["metadata"]["name"]))
    return found is not None and correct_network_policy(found, wanted) is None


async def _network_policy(services: Services, namespace: str, name: str) -> Manifest | None:
    try:
        return await services.kube.get(NETWORK_POLICIES, name, namespace)
    except KubeNotFound:
        return None


async def ensure_claim(services: Services, plan: ClaimPlan) -> str:
    """The Sandbox's claim exists; its name.

    Raises:
        NameTaken: another's claim has the name.
        KubeRefused: quota or a policy; the caller shows it.
    """
    manifest = build_claim(plan)
    name = str(manifest["metadata"]["name"])
    try:
        claim = await services.kube.create(CLAIMS, manifest, plan.namespace)
    except KubeExists:
        claim = await services.kube.get(CLAIMS, name, plan.namespace)
    owners = claim["metadata"].get("ownerReferences") or ()
    if all(owner.get("uid") != plan.sandbox_uid for owner in owners):
        raise NameTaken(
            f'a PersistentVolumeClaim named "{name}" exists that is not of this Sandbox; '
            "delete or rename it"
        )
    return name


async def create_pod(services: Services, plan: PodPlan) -> None:
    """Create the owner's pod. One of ours that is there already is success.

    Raises:
        NameTaken: another owner's pod has the name.
        Retryable: an old pod of ours is still being deleted.
        KubeRefused: quota, Pod Security or a policy; the caller shows it.
    """
    manifest = build_pod(plan)
    namespace, name = plan.owner.namespace, manifest["metadata"]["name"]
    try:
        pod = await services.kube.create(PODS, manifest, namespace)
    except KubeExists:
        pod = await services.kube.get(PODS, name, namespace)
        owner = pod_owner(pod)
        if owner is None or owner.uid != plan.owner.uid:
            raise NameTaken(
                f'a pod named "{name}" exists that is not of this {plan.owner.kind}; '
                "delete or rename it"
            ) from None
        if pod["metadata"].get("deletionTimestamp"):
            services.saw(Kind.POD, pod)
            raise Retryable(f"pod {name} is still being deleted") from None
    services.saw(Kind.POD, pod)


async def delete_pod(services: Services, pod_uid: str, grace_seconds: int | None) -> None:
    """Delete a pod by uid; one unknown or already gone is success."""
    pod = services.cache.get(Kind.POD, pod_uid)
    if pod is None:
        return
    metadata = pod["metadata"]
    await services.kube.delete(
        PODS, metadata["name"], metadata["namespace"], uid=pod_uid, grace_seconds=grace_seconds
    )


async def release_pod(services: Services, pod_uid: str) -> None:
    """Take our finalizer off a pod; one unknown or already gone is success."""
    pod = services.cache.get(Kind.POD, pod_uid)
    if pod is not None:
        await remove_finalizer(services, Kind.POD, pod)


async def ask_why_pending(services: Services, pod_uid: str, owner: tuple[Kind, str]) -> None:
    """Remember what a pod's Events say, and have its owner look when that is new."""
    pod = services.cache.get(Kind.POD, pod_uid)
    if pod is None:
        services.memory.pod_troubles.pop(pod_uid, None)
        return
    selector = f"involvedObject.uid={pod_uid}"
    try:
        events = await services.kube.list(
            POD_EVENTS, pod["metadata"]["namespace"], field_selector=selector
        )
    except KubeRefused as error:  # an install of before: the pod's own status must do
        _log.debug("events of a pod cannot be read", uid=pod_uid, error=error.message[:256])
        return
    trouble = trouble_of_events(events)
    if services.memory.pod_troubles.get(pod_uid) == trouble:
        return
    if trouble is None:
        del services.memory.pod_troubles[pod_uid]
    else:
        services.memory.pod_troubles[pod_uid] = trouble
    services.enqueue(*owner)


def is_quota(error: KubeRefused) -> bool:
    """Whether a refusal is a ResourceQuota's. The API server tells it only by its words
    (k8s.io/apiserver plugin/pkg/admission/resourcequota: "exceeded quota")."""
    return error.status == 403 and "exceeded quota" in error.message
