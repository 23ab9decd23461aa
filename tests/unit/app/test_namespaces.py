"""The tenant of an object is known before anybody is told of the object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from soulbox.app import namespaces as module
from soulbox.app.namespaces import Namespaces
from soulbox.kinds.objects import Objects
from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.model.errors import KubeUnavailable
from soulbox.model.keys import TENANT_LABEL
from soulbox.model.states import Kind
from tests.support.fake_api import FakeApi, Refusal, serving
from tests.unit.kube.scripted import write_kubeconfig

pytestmark = pytest.mark.usefixtures("logged")


class Bench:
    """Namespaces of an API server at HTTP level."""

    def __init__(self, api: FakeApi, kube: KubeClient) -> None:
        self.api = api
        self.cache = Objects()
        self.namespaces = Namespaces(kube, self.cache, remembered=2)

    def add(self, name: str, tenant: str) -> None:
        """On the server; no watch has told of it."""
        self.api.add("namespaces", {"metadata": {"name": name, "labels": {TENANT_LABEL: tenant}}})

    def forget(self, name: str) -> None:
        """The watch told that it is gone."""
        known = self.cache.by_name(Kind.NAMESPACE, "", name)
        assert known is not None
        self.cache.remove(Kind.NAMESPACE, known["metadata"]["uid"])


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving() as api:
        credentials = Credentials(write_kubeconfig(tmp_path, api.url, token="t"))
        yield Bench(api, KubeClient(credentials, ServerClock()))
        await credentials.close()


async def test_namespace_that_no_watch_told_of_is_asked_for_once(bench: Bench) -> None:
    bench.add("a", "acme")
    await asyncio.gather(*(bench.namespaces.learn("a") for _ in range(20)))
    assert bench.api.reads == ["namespaces"]
    assert bench.namespaces.tenant_of("a") == "acme"


async def test_tenant_of_a_namespace_that_is_gone_is_remembered(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.add(name, f"of-{name}")
        await bench.namespaces.learn(name)
        bench.forget(name)
        bench.api.objects.clear()
        await bench.namespaces.learn(name)
    assert [bench.namespaces.tenant_of(name) for name in ("a", "b", "c")] == ["a", "of-b", "of-c"]


async def test_namespace_made_again_has_the_tenant_of_now(bench: Bench) -> None:
    bench.add("a", "old")
    await bench.namespaces.learn("a")
    bench.forget("a")
    bench.api.objects.clear()
    bench.add("a", "new")
    await bench.namespaces.learn("a")
    assert bench.namespaces.tenant_of("a") == "new"


async def test_without_a_label_or_an_answer_the_name_counts(bench: Bench) -> None:
    bench.api.add("namespaces", {"metadata": {"name": "plain"}})
    bench.api.refuse("get", "namespaces", Refusal(403, "Forbidden", "no"))
    for name in ("secret", "plain", "gone", "", None):
        await bench.namespaces.learn(name)
    assert [bench.namespaces.tenant_of(name) for name in ("secret", "plain", "gone")] == [
        "secret",
        "plain",
        "gone",
    ]
    assert len(bench.api.reads) == 3, "what is in no namespace asks for none"


async def test_api_server_that_cannot_say_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    bench.add("a", "acme")
    bench.api.refuse("get", "namespaces", Refusal(503, "", "away"), times=2)
    with pytest.raises(KubeUnavailable):
        await bench.namespaces.look_up("a")
    await bench.namespaces.learn("a")
    assert bench.namespaces.tenant_of("a") == "acme"
