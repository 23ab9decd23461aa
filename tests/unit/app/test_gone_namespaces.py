"""Served namespaces that are gone, and our rights with them: neither start nor repair stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from soulbox.app.cluster import list_pages, served
from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.model.errors import ConfigError
from soulbox.model.states import Kind
from tests.support.builders import make_sandbox
from tests.support.fake_api import FakeApi, Refusal, serving
from tests.unit.kube.scripted import write_kubeconfig

NO = Refusal(403, "Forbidden", "sandboxes is forbidden")


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with serving() as made:
        yield made


@pytest.fixture
async def kube(api: FakeApi, tmp_path: Path) -> AsyncIterator[KubeClient]:
    credentials = Credentials(write_kubeconfig(tmp_path, api.url, token="t"))
    yield KubeClient(credentials, ServerClock())
    await credentials.close()


async def listed(kube: KubeClient, *namespaces: str) -> list[str]:
    pages = list_pages(kube, Kind.SANDBOX, namespaces)
    return [one["metadata"]["name"] async for page in pages for one in page]


@pytest.mark.parametrize("state", ["gone", "going"])
async def test_list_passes_over_a_namespace_that_is(
    state: str, api: FakeApi, kube: KubeClient
) -> None:
    for name in ("team-a", "team-b"):
        api.add("namespaces", {"metadata": {"name": name, "finalizers": ["kubernetes"]}})
    api.add("sandboxes", make_sandbox("box", "team-b"))
    api.delete("namespaces", "", "team-a")
    if state == "gone":
        api.edit("namespaces", "", "team-a", {"metadata": {"finalizers": None}})
    api.refuse("get", "sandboxes", NO)
    assert await listed(kube, "team-a", "team-b") == ["box"]
    assert await served(kube, ("team-a", "team-b")) == ("team-b",)


async def test_refused_list_of_a_namespace_that_is_there_is_an_error(
    api: FakeApi, kube: KubeClient
) -> None:
    api.add("namespaces", {"metadata": {"name": "team-a"}})
    api.refuse("get", "sandboxes", NO)
    with pytest.raises(ConfigError, match="cannot be listed"):
        await listed(kube, "team-a")


async def test_where_none_is_there_all_are_watched(kube: KubeClient) -> None:
    assert await served(kube, ("team-a",)) == ("team-a",)
    assert await served(kube, ()) == ()
