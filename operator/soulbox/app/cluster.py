"""What the operator must know about the cluster before it starts, and the first full lists."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from soulbox.kinds.registry import DESCRIBED
from soulbox.kube.client import KubeClient
from soulbox.kube.release import compare_crd
from soulbox.kube.resources import (
    CRDS,
    NAMESPACES,
    PODS,
    resource_of,
)
from soulbox.kube.slim import slim
from soulbox.model.errors import ConfigError, KubeConflict, KubeNotFound, KubeRefused
from soulbox.model.keys import MANAGED_BY, MANAGED_BY_LABEL, VERSION
from soulbox.model.kinds import INFO
from soulbox.model.manifests import finalizers_with_ours
from soulbox.model.states import Kind
from soulbox.schema.crd import build_crd


async def check_crds(kube: KubeClient) -> None:
    """Raises ConfigError when a CRD is missing, or does not serve our version with all fields."""
    for described in DESCRIBED:
        name = f"{described.info.plural}.{described.info.group}"
        try:
            crd = await kube.get(CRDS, name)
        except KubeNotFound as error:
            raise ConfigError(
                f"CustomResourceDefinition {name} is not installed; apply crds/ or install.yaml"
            ) from error
        except KubeRefused as error:
            raise ConfigError(
                f"CustomResourceDefinition {name} cannot be read: {error.message} "
                "(apply the ClusterRole of install.yaml)"
            ) from error
        served = [v["name"] for v in crd["spec"]["versions"] if v.get("served")]
        if VERSION not in served:
            raise ConfigError(
                f"CustomResourceDefinition {name} serves {', '.join(served) or 'nothing'}, "
                f"not {VERSION}; apply the crds/ of this release"
            )
        # The API server drops fields it does not know from what users write, in silence.
        lacking = compare_crd(build_crd(described), crd).lacking
        if lacking:
            raise ConfigError(
                f"CustomResourceDefinition {name} is of an older release: it lacks "
                f"{', '.join(lacking[:3])}{' …' if len(lacking) > 3 else ''}; "
                "apply the crds/ of this release"
            )


async def cluster_uid(kube: KubeClient) -> str:
    """The cluster's identity: the uid of its kube-system namespace."""
    try:
        return str((await kube.get(NAMESPACES, "kube-system"))["metadata"]["uid"])
    except KubeRefused as error:
        raise ConfigError(
            f"namespace kube-system cannot be read: {error.message} "
            "(apply the ClusterRole of install.yaml)"
        ) from error


async def list_pages(
    kube: KubeClient, kind: Kind, namespaces: tuple[str, ...]
) -> AsyncIterator[list[Mapping[str, Any]]]:
    """The complete list of one kind, in every namespace served (empty: all of them), a page at
    a time and without what `slim` leaves out: a thousand whole pods are 50 MB of dicts."""
    info = INFO[kind]
    resource = resource_of(info)
    scopes: tuple[str | None, ...] = (None,)
    if namespaces and info.namespaced:
        scopes = namespaces
    for scope in scopes:
        try:
            async for page in kube.pages(resource, scope, label_selector=info.selector):
                yield [slim(kind, item) for item in page]
        except KubeRefused as error:
            if scope is not None and not await is_there(kube, scope):
                continue  # our rights in it are gone with it
            raise ConfigError(
                f"{resource.plural} cannot be listed: {error.message} "
                "(apply the ClusterRole of install.yaml)"
            ) from error


async def is_there(kube: KubeClient, namespace: str) -> bool:
    """Whether the namespace exists and is not being deleted."""
    try:
        found = await kube.get(NAMESPACES, namespace)
    except KubeNotFound:
        return False
    return not found["metadata"].get("deletionTimestamp")


async def served(kube: KubeClient, namespaces: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the namespaces to be watched that there are; all of them when there is none."""
    return tuple([name for name in namespaces if await is_there(kube, name)]) or namespaces


async def restore_pod(
    kube: KubeClient, pod: Mapping[str, Any], gone: Callable[[Kind, Mapping[str, Any]], None]
) -> None:
    """Put our label and finalizer on a pod again that lost them; the watch then brings it back.
    One that does not exist is passed to `gone`."""
    metadata = pod["metadata"]
    while True:
        try:
            found = await kube.get(PODS, metadata["name"], metadata["namespace"])
            now = found["metadata"]
            if now["uid"] != metadata["uid"]:
                gone(Kind.POD, pod)
                return
            again: dict[str, Any] = {
                "resourceVersion": now["resourceVersion"],
                "labels": {MANAGED_BY_LABEL: MANAGED_BY},
            }
            if not now.get("deletionTimestamp"):
                again["finalizers"] = finalizers_with_ours(found)
            await kube.patch(PODS, metadata["name"], {"metadata": again}, metadata["namespace"])
        except KubeNotFound:
            gone(Kind.POD, pod)
        except KubeConflict:  # it changed meanwhile
            continue
        return
