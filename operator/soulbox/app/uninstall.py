"""Takes SoulBox out of a cluster, in the one order that does not hang.

Objects of users go first and while the operator lives: it alone takes their finalizers off,
once PostgreSQL has their final rows. Then the operator, then what it leaned on, then the CRDs.
Every step looks before it acts, so that a run that was cut off is simply run again.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from soulbox.kube.client import KubeClient
from soulbox.kube.resources import (
    ADMISSION_BINDINGS,
    ADMISSION_POLICIES,
    CLAIMS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CRDS,
    CRONJOBS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    LEASES,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    PROMETHEUS_RULES,
    ROLE_BINDINGS,
    ROLES,
    SANDBOX_CLASSES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICE_MONITORS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
    resource_of,
)
from soulbox.model.errors import KubeConflict, KubeNotFound, Terminal
from soulbox.model.keys import (
    GROUP,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    SIGNING_KEY_SECRET,
)
from soulbox.model.kinds import OURS, TENANTS
from soulbox.model.manifests import finalizers_without_ours, has_recorded

PART_OF: Final = "app.kubernetes.io/part-of=soulbox"
_MADE_BY_US: Final = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
_HELM_RELEASE: Final = "meta.helm.sh/release-name"

# What users made and what runs for them, owners first: garbage collection helps along.
_USERS: Final = tuple(resource_of(info) for info in reversed(TENANTS))
# The installation, what acts before what it leans on.
_INSTALLATION: Final = (
    DEPLOYMENTS,
    CRONJOBS,
    DISRUPTION_BUDGETS,
    SERVICE_MONITORS,
    PROMETHEUS_RULES,
    SERVICES,
    ADMISSION_BINDINGS,
    ADMISSION_POLICIES,
    CLUSTER_ROLE_BINDINGS,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLES,
    SERVICE_ACCOUNTS,
)
# What people run or keep in a namespace; if any of it is not SoulBox's, the namespace stays.
_WORTH_KEEPING: Final = (STATEFUL_SETS, DEPLOYMENTS, CLAIMS)
_POLL_SECONDS: Final = 0.5


class NotRecorded(Terminal):
    """Objects stay because nobody records them: start the operator and PostgreSQL again, or
    give up what is not recorded with --give-up FILE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is there to go.

    Attributes:
        counts: objects by kind, kinds without any left out.
        helm_release: name of the Helm release it belongs to; None when applied without Helm.
        own_namespace: the namespace came with the installation, so it goes with it.
        others: what is not SoulBox's in it, such as a database; with any it stays.
    """

    counts: Mapping[str, int]
    helm_release: str | None
    own_namespace: bool
    others: Sequence[str] = ()

    @property
    def empty(self) -> bool:
        """Nothing of SoulBox is in the cluster."""
        return not self.counts and not self.own_namespace


class Uninstaller:
    """The steps, each safe to repeat.

    Args:
        namespace: the operator's.
        tell: told of each step's progress: what, and how many are left.
    """

    def __init__(self, kube: KubeClient, namespace: str, tell: Callable[[str, int], None]) -> None:
        self._kube = kube
        self._namespace = namespace
        self._tell = tell

    async def plan(self) -> Plan:
        """Look at everything that would go."""
        counts: dict[str, int] = {}
        release: str | None = None
        for resource in (*_USERS, PODS, NETWORK_POLICIES, *_INSTALLATION, SANDBOX_CLASSES, CRDS):
            found = await self._find(resource)
            if found:
                counts[resource.kind] = len(found)
            if resource is DEPLOYMENTS:
                release = next(filter(None, map(_release_of, found)), None)
        for resource in (LEASES, SECRETS):
            if own := await self._owned_by_name(resource):
                counts[resource.kind] = len(own)
        return Plan(
            counts=counts,
            helm_release=release,
            own_namespace=await self._is_own_namespace(),
            others=await self._others(),
        )

    async def end_objects(self, deadline_seconds: float) -> None:
        """Delete every Execution, Function and Sandbox and wait until they and their pods are
        recorded and gone.

        Raises:
            NotRecorded: some were still there after `deadline_seconds`.
        """
        waited = 0.0
        while left := await self._remaining():
            for kind, found in left:
                # Again and again: somebody, or something, may be making new ones.
                if kind is not PODS and not found["metadata"].get("deletionTimestamp"):
                    await self._delete(kind, found)
            self._tell("waiting until the operator has recorded", len(left))
            if waited >= deadline_seconds:
                raise NotRecorded(
                    f"{len(left)} objects are not recorded yet after {waited:.0f} s, for example"
                    f" {_name(left[0][1])}: the operator or PostgreSQL is not running. Start them"
                    f" again and repeat this (kubectl -n {self._namespace} get pods; soulbox"
                    " doctor), or give them up: --give-up FILE"
                )
            await asyncio.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS

    async def unrecorded(self) -> list[dict[str, Any]]:
        """Whole objects that still carry our finalizer: what --give-up gives up."""
        return [
            {**found, "kind": resource.kind}
            for resource in (*_USERS, PODS)
            for found in await self._find(resource)
            if has_recorded(found)
        ]

    async def release(self, objects: Sequence[Mapping[str, Any]], path: Path) -> None:
        """Save each object to `path`, then take our finalizer off that very version, and
        delete: what PostgreSQL does not know is then known to nobody but that file.

        Raises:
            NotRecorded: the file cannot be written; what was not saved keeps its finalizer.
        """
        resources = {resource.kind: resource for resource in (*_USERS, PODS)}
        for number, found in enumerate(objects):
            self._tell("releasing unrecorded objects", len(objects) - number)
            await self._release_one(resources[found["kind"]], found, path)

    async def _release_one(self, resource: Resource, found: Mapping[str, Any], path: Path) -> None:
        while True:
            save(found, path)
            metadata = found["metadata"]
            body = {
                "metadata": {
                    "resourceVersion": metadata["resourceVersion"],
                    "finalizers": finalizers_without_ours(found),
                }
            }
            try:
                await self._kube.patch(resource, metadata["name"], body, metadata["namespace"])
                await self._delete(resource, found)
                return
            except KubeConflict:  # there is a newer version: save that one
                found = {
                    **await self._kube.get(resource, metadata["name"], metadata["namespace"]),
                    "kind": resource.kind,
                }
            except KubeNotFound:
                return

    async def remove_installation(self) -> None:
        """The operator first, until its pods are gone; then everything it leaned on."""
        await self._delete_all(DEPLOYMENTS)
        selector = "app.kubernetes.io/component=operator,app.kubernetes.io/name=soulbox-operator"
        while pods := await self._kube.list(PODS, self._namespace, label_selector=selector):
            self._tell("waiting for the operator to end", len(pods))
            await asyncio.sleep(_POLL_SECONDS)
        for resource in (NETWORK_POLICIES, *_INSTALLATION):
            await self._delete_all(resource)
        for resource in (LEASES, SECRETS):
            for found in await self._owned_by_name(resource):
                await self._delete(resource, found)

    async def remove_crds(self) -> None:
        """Classes, then the CRDs; by now no object of theirs is left to hang."""
        await self._delete_all(SANDBOX_CLASSES)
        await self._delete_all(CRDS)
        while left := await self._find(CRDS):
            self._tell("waiting until the CRDs are gone", len(left))
            await asyncio.sleep(_POLL_SECONDS)

    async def remove_namespace(self) -> bool:
        """Delete the operator's namespace if it came with the installation, and wait.

        Returns:
            Whether it was deleted; one made by somebody else stays, and one that holds
            anything of somebody else: volumes and databases would go with it.
        """
        if not await self._is_own_namespace() or await self._others():
            return False
        found = await self._kube.get(NAMESPACES, self._namespace)
        await self._delete(NAMESPACES, found)
        while True:
            self._tell(f"waiting until namespace {self._namespace} is gone", 1)
            try:
                await self._kube.get(NAMESPACES, self._namespace)
            except KubeNotFound:
                return True
            await asyncio.sleep(_POLL_SECONDS)

    async def _remaining(self) -> list[tuple[Resource, dict[str, Any]]]:
        return [
            (resource, found)
            for resource in (*_USERS, PODS)
            for found in await self._find(resource)
        ]

    async def _find(self, resource: Resource) -> list[dict[str, Any]]:
        """All objects of ours of one kind; none where the kind itself is not served."""
        if resource is CRDS:
            return [found async for found in self._our_crds()]
        ours = resource.group == GROUP
        selector = _MADE_BY_US if resource in (PODS, NETWORK_POLICIES) else PART_OF
        try:
            return await self._kube.list(resource, label_selector=None if ours else selector)
        except KubeNotFound:
            return []

    async def _our_crds(self) -> AsyncIterator[dict[str, Any]]:
        for info in OURS:
            with suppress(KubeNotFound):
                yield await self._kube.get(CRDS, f"{info.plural}.{GROUP}")

    async def _owned_by_name(self, resource: Resource) -> list[dict[str, Any]]:
        """What the operator itself made in its namespace: the signing key, its Lease."""
        try:
            found = await self._kube.list(resource, self._namespace)
        except KubeNotFound:
            return []
        return [
            one
            for one in found
            if one["metadata"]["name"] == SIGNING_KEY_SECRET
            or (resource is LEASES and one["metadata"]["name"].startswith("soulbox-"))
        ]

    async def _others(self) -> list[str]:
        """What runs or keeps data in the operator's namespace and is not SoulBox's."""
        label, _, value = PART_OF.partition("=")
        return [
            f"{resource.kind} {one['metadata']['name']}"
            for resource in _WORTH_KEEPING
            for one in await self._kube.list(resource, self._namespace)
            if (one["metadata"].get("labels") or {}).get(label) != value
        ]

    async def _is_own_namespace(self) -> bool:
        name, _, value = PART_OF.partition("=")
        try:
            found = await self._kube.get(NAMESPACES, self._namespace)
        except KubeNotFound:
            return False
        return (found["metadata"].get("labels") or {}).get(name) == value

    async def _delete_all(self, resource: Resource) -> None:
        found = await self._find(resource)
        for number, one in enumerate(found):
            self._tell(f"deleting {resource.plural}", len(found) - number)
            await self._delete(resource, one)

    async def _delete(self, resource: Resource, found: Mapping[str, Any]) -> None:
        metadata = found["metadata"]
        await self._kube.delete(
            resource, metadata["name"], metadata.get("namespace"), uid=metadata["uid"]
        )


def save(found: Mapping[str, Any], path: Path) -> None:
    """Append a whole object to a file, as one line of JSON, readable by its owner alone: it
    holds code and output.

    Raises:
        NotRecorded: the file cannot be written.
    """
    try:
        path.touch(mode=0o600)
        with path.open("a") as file:
            file.write(json.dumps(found, separators=(",", ":")) + "\n")
    except OSError as error:
        raise NotRecorded(f"--give-up: cannot write {path}: {error.strerror}") from error


def _release_of(found: Mapping[str, Any]) -> str | None:
    name = (found["metadata"].get("annotations") or {}).get(_HELM_RELEASE)
    return None if name is None else str(name)


def _name(found: Mapping[str, Any]) -> str:
    metadata = found["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"
