"""What must be there before the operator starts: CRDs, rights, its signing key."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from soulbox.app.cluster import check_crds, cluster_uid, list_pages, restore_pod
from soulbox.app.signing import load_signing_key
from soulbox.kinds.registry import DESCRIBED
from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.model.errors import ConfigError, KubeUnavailable
from soulbox.model.keys import MANAGED_BY_LABEL, RECORDED_FINALIZER
from soulbox.model.states import Kind
from soulbox.schema.crd import build_crd
from tests.support.fake_api import FakeApi, Refusal, serving
from tests.unit.kube.scripted import write_kubeconfig

FORBIDDEN = Refusal(403, "Forbidden", "may not")


@dataclass
class Cluster:
    """A client and the cluster it speaks to."""

    kube: KubeClient
    api: FakeApi


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with serving() as api:
        credentials = Credentials(write_kubeconfig(tmp_path, api.url, token="t"))
        yield Cluster(KubeClient(credentials, ServerClock()), api)
        await credentials.close()


def install_crds(api: FakeApi, *, versions: Any = None) -> None:
    """All three of this release, or with these versions instead of its own."""
    for resource in DESCRIBED:
        crd = build_crd(resource)
        if versions is not None:
            crd["spec"]["versions"] = versions
        api.add("customresourcedefinitions", crd)


async def test_crd_of_an_older_release_is_named_with_what_it_lacks(cluster: Cluster) -> None:
    for resource in DESCRIBED:
        crd = build_crd(resource)
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        schema["properties"].pop("priority", None)
        cluster.api.add("customresourcedefinitions", crd)
    with pytest.raises(ConfigError) as caught:
        await check_crds(cluster.kube)
    assert str(caught.value) == (
        "CustomResourceDefinition executions.soulbox.dev is of an older release: "
        "it lacks spec.priority; apply the crds/ of this release"
    )


async def test_crds_that_are_there_are_enough(cluster: Cluster) -> None:
    install_crds(cluster.api)
    await check_crds(cluster.kube)
    assert cluster.api.writes == []


async def test_crd_that_is_missing_is_named(cluster: Cluster) -> None:
    with pytest.raises(ConfigError) as caught:
        await check_crds(cluster.kube)
    assert str(caught.value) == (
        "CustomResourceDefinition sandboxclasses.soulbox.dev is not installed; "
        "apply crds/ or install.yaml"
    )


VERSIONS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "another one": ([{"name": "v1", "served": True}], "serves v1, not v1alpha1"),
    "ours, no longer served": (
        [{"name": "v1alpha1", "served": False}],
        "serves nothing, not v1alpha1",
    ),
}


@pytest.mark.parametrize("name", VERSIONS)
async def test_crd_of_another_release_is_named(cluster: Cluster, name: str) -> None:
    versions, want_words = VERSIONS[name]
    install_crds(cluster.api, versions=versions)
    with pytest.raises(ConfigError, match=want_words):
        await check_crds(cluster.kube)


async def test_right_that_is_missing_is_named(cluster: Cluster) -> None:
    for what in ("customresourcedefinitions", "namespaces", "pods"):
        cluster.api.refuse("get", what, FORBIDDEN)
    with pytest.raises(ConfigError, match=r"cannot be read: may not .*ClusterRole"):
        await check_crds(cluster.kube)
    with pytest.raises(ConfigError, match=r"kube-system cannot be read: may not .*ClusterRole"):
        await cluster_uid(cluster.kube)
    with pytest.raises(ConfigError, match=r"pods cannot be listed: may not .*ClusterRole"):
        await anext(list_pages(cluster.kube, Kind.POD, ()))


async def test_cluster_is_known_by_the_uid_of_kube_system(cluster: Cluster) -> None:
    manifest = cluster.api.add("namespaces", {"metadata": {"name": "kube-system"}})
    assert await cluster_uid(cluster.kube) == manifest["metadata"]["uid"]


async def test_server_that_is_away_is_no_wrong_installation(cluster: Cluster) -> None:
    cluster.api.refuse("get", "customresourcedefinitions", Refusal(503, "", "away"))
    with pytest.raises(KubeUnavailable):
        await check_crds(cluster.kube)


async def test_lists_are_of_our_pods_and_of_the_namespaces_served(cluster: Cluster) -> None:
    ours = {"labels": {MANAGED_BY_LABEL: "soulbox"}}
    for name, namespace, metadata in (
        ("a", "one", ours),
        ("b", "two", ours),
        ("c", "three", ours),
        ("d", "one", {}),
    ):
        manifest = {"metadata": {"name": name, "namespace": namespace, **metadata}}
        cluster.api.add("pods", manifest)
    cluster.api.add("sandboxclasses", {"metadata": {"name": "python"}})

    async def names(kind: Kind, *namespaces: str) -> set[str]:
        pages = list_pages(cluster.kube, kind, namespaces)
        return {one["metadata"]["name"] async for page in pages for one in page}

    assert await names(Kind.POD) == {"a", "b", "c"}
    assert await names(Kind.POD, "one", "two") == {"a", "b"}
    assert await names(Kind.SANDBOX_CLASS, "one", "two") == {"python"}


Gone = list[tuple[Kind, Any]]


async def test_pod_that_lost_label_and_finalizer_gets_both_again(cluster: Cluster) -> None:
    gone: Gone = []
    theirs = {"name": "p", "namespace": "ns", "finalizers": ["example.com/theirs"]}
    pod = cluster.api.add("pods", {"metadata": theirs})
    await restore_pod(cluster.kube, pod, lambda *one: gone.append(one))
    found = cluster.api.get("pods", "ns", "p")["metadata"]
    assert found["labels"] == {MANAGED_BY_LABEL: "soulbox"}
    assert found["finalizers"] == ["example.com/theirs", RECORDED_FINALIZER]
    assert gone == []


async def test_pod_that_changed_meanwhile_is_restored_all_the_same(cluster: Cluster) -> None:
    pod = cluster.api.add("pods", {"metadata": {"name": "p", "namespace": "ns"}})
    cluster.api.refuse("patch", "pods", Refusal(409, "Conflict", "it changed"))
    await restore_pod(cluster.kube, pod, lambda *_: None)
    assert cluster.api.get("pods", "ns", "p")["metadata"]["finalizers"] == [RECORDED_FINALIZER]


async def test_pod_that_goes_gets_no_finalizer(cluster: Cluster) -> None:
    theirs = {"name": "p", "namespace": "ns", "finalizers": ["example.com/theirs"]}
    pod = cluster.api.add("pods", {"metadata": theirs})
    cluster.api.delete("pods", "ns", "p")
    await restore_pod(cluster.kube, pod, lambda *_: None)
    found = cluster.api.get("pods", "ns", "p")["metadata"]
    assert found["finalizers"] == ["example.com/theirs"]
    assert found["labels"] == {MANAGED_BY_LABEL: "soulbox"}


async def test_pod_that_is_gone_or_another_is_told_gone(cluster: Cluster) -> None:
    gone: Gone = []
    pod = cluster.api.add("pods", {"metadata": {"name": "p", "namespace": "ns"}})
    cluster.api.delete("pods", "ns", "p")
    await restore_pod(cluster.kube, pod, lambda *one: gone.append(one))
    assert gone == [(Kind.POD, pod)]
    cluster.api.add("pods", {"metadata": {"name": "p", "namespace": "ns"}})
    await restore_pod(cluster.kube, pod, lambda *one: gone.append(one))
    assert gone == [(Kind.POD, pod)] * 2
    assert "labels" not in cluster.api.get("pods", "ns", "p")["metadata"]


async def test_signing_key_is_made_once_and_read_after(cluster: Cluster) -> None:
    first = await load_signing_key(cluster.kube, "soulbox-system")
    again = await load_signing_key(cluster.kube, "soulbox-system")
    assert again.key_id == first.key_id
    assert cluster.api.take_writes() == [("create", "secrets")]
    secret = cluster.api.get("secrets", "soulbox-system", "soulbox-signing-key")
    assert secret["immutable"] is True
    assert len(base64.b64decode(secret["data"]["seed"])) == 32


async def test_of_two_operators_that_make_the_key_at_once_both_use_one(cluster: Cluster) -> None:
    # Ours looked before the other made it: it was not there for us.
    other = await load_signing_key(cluster.kube, "soulbox-system")
    cluster.api.take_writes()
    cluster.api.refuse("get", "secrets", Refusal(404, "NotFound", "not found"))
    ours = await load_signing_key(cluster.kube, "soulbox-system")
    assert ours.key_id == other.key_id
    assert cluster.api.take_writes() == [("create", "secrets")]


DAMAGED: dict[str, dict[str, Any]] = {
    "no data": {},
    "no seed": {"data": {"other": "AAAA"}},
    "not base64": {"data": {"seed": "%%%"}},
    "too short": {"data": {"seed": "AAAA"}},
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
async def test_damaged_key_is_never_replaced_silently(
    cluster: Cluster, content: dict[str, Any]
) -> None:
    metadata = {"name": "soulbox-signing-key", "namespace": "s"}
    cluster.api.add("secrets", {"metadata": metadata, **content})
    with pytest.raises(ConfigError, match=r"Secret s/soulbox-signing-key has no valid .seed."):
        await load_signing_key(cluster.kube, "s")
    assert cluster.api.take_writes() == []


async def test_key_that_may_not_be_read_names_the_role(cluster: Cluster) -> None:
    cluster.api.refuse("get", "secrets", FORBIDDEN)
    with pytest.raises(ConfigError, match=r"cannot be read or made: may not .*Role"):
        await load_signing_key(cluster.kube, "s")


async def test_namespace_that_is_missing_is_named(cluster: Cluster) -> None:
    cluster.api.refuse("create", "secrets", Refusal(404, "NotFound", 'namespaces "s" not found'))
    with pytest.raises(ConfigError, match=r'namespace "s" does not exist; create it'):
        await load_signing_key(cluster.kube, "s")
