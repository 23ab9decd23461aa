"""Credentials: read by the official rules, renewed, and one clear line when they are wrong."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import PODS
from soulbox.model.errors import ConfigError, KubeRefused
from tests.support.fix_clock import FakeClock
from tests.unit.kube.scripted import Scripted, reply, serving, status, write_kubeconfig


class Renewed:
    """A client whose token stands in a file."""

    def __init__(self, folder: Path, server: Scripted) -> None:
        self.file = folder / "token"
        self.file.write_text("t1")
        self.server = server
        self.clock = FakeClock()
        path = write_kubeconfig(folder, server.url, tokenFile=str(self.file))
        self.credentials = Credentials(path, self.clock)
        self.kube = KubeClient(self.credentials, ServerClock())

    async def call(self) -> None:
        await self.kube.get(PODS, "p", "ns")

    @property
    def tokens(self) -> list[str | None]:
        return [asked.authorization for asked in self.server.asked]


@asynccontextmanager
async def renewing(folder: Path) -> AsyncIterator[Renewed]:
    async with serving() as server:
        renewed = Renewed(folder, server)
        server.script(reply(200))
        try:
            yield renewed
        finally:
            await renewed.credentials.close()


async def test_token_file_is_read_again_after_a_minute(tmp_path: Path) -> None:
    async with renewing(tmp_path) as renewed:
        await renewed.call()
        renewed.file.write_text("t2")
        renewed.clock.advance(59.0)
        await renewed.call()
        renewed.clock.advance(1.0)
        await renewed.call()
        await renewed.call()
        assert renewed.tokens == ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]


async def test_expired_token_is_renewed_within_the_call(tmp_path: Path) -> None:
    async with renewing(tmp_path) as renewed:
        renewed.file.write_text("t2")
        renewed.server.answers.clear()
        renewed.server.script(status(401, "Unauthorized"), reply(200))
        await renewed.call()
        assert renewed.tokens == ["Bearer t1", "Bearer t2"]


async def test_token_that_cannot_be_renewed_is_refused_once_and_not_tried_for_ever(
    tmp_path: Path,
) -> None:
    async with renewing(tmp_path) as renewed:
        renewed.server.answers.clear()
        renewed.server.script(status(401, "Unauthorized"))
        with pytest.raises(KubeRefused) as caught:
            await renewed.call()
        assert caught.value.status == 401
        assert renewed.tokens == ["Bearer t1"]


@pytest.mark.parametrize("broken", ["missing", "empty"])
async def test_token_file_that_cannot_be_read_now_leaves_the_token_that_is(
    tmp_path: Path, broken: str
) -> None:
    async with renewing(tmp_path) as renewed:
        if broken == "missing":
            renewed.file.unlink()
        else:
            renewed.file.write_text("")
        renewed.clock.advance(60.0)
        await renewed.call()
        renewed.file.write_text("t3")
        renewed.clock.advance(60.0)
        await renewed.call()
        assert renewed.tokens == ["Bearer t1", "Bearer t3"]


async def test_call_without_credentials_sends_none(tmp_path: Path) -> None:
    async with serving() as server:
        credentials = Credentials(write_kubeconfig(tmp_path, server.url))
        server.script(status(401, "Unauthorized"))
        try:
            with pytest.raises(KubeRefused):
                await KubeClient(credentials, ServerClock()).get(PODS, "p", "ns")
        finally:
            await credentials.close()
        assert [asked.authorization for asked in server.asked] == [None]


async def test_session_that_somebody_closed_is_made_again(tmp_path: Path) -> None:
    async with renewing(tmp_path) as renewed:
        first = renewed.credentials.session()
        assert renewed.credentials.session() is first
        await first.close()
        await renewed.call()
        assert renewed.credentials.session() is not first


async def test_closing_twice_and_before_the_first_call(tmp_path: Path) -> None:
    credentials = Credentials(write_kubeconfig(tmp_path, "https://127.0.0.1:1/", token="t"))
    assert credentials.server == "https://127.0.0.1:1"
    await credentials.close()
    credentials.session()
    await credentials.close()
    await credentials.close()


def test_environment_names_the_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_kubeconfig(tmp_path, "https://127.0.0.1:7", token="t")
    monkeypatch.setenv("KUBECONFIG", path)
    # The library reads the variable when it is imported; it is given the file by name.
    assert Credentials(path).server == "https://127.0.0.1:7"


def kubeconfig(folder: Path, *, cluster: dict[str, Any], user: dict[str, Any]) -> str:
    """A kubeconfig with that cluster and user."""
    path = write_kubeconfig(folder, "https://127.0.0.1:1", **user)
    document = yaml.safe_load(Path(path).read_text())
    document["clusters"][0]["cluster"] |= cluster
    Path(path).write_text(yaml.safe_dump(document))
    return path


def test_insecure_cluster_is_not_verified_only_where_it_says_so(tmp_path: Path) -> None:
    insecure = Credentials(
        kubeconfig(tmp_path, cluster={"insecure-skip-tls-verify": True}, user={"token": "t"})
    )
    assert insecure._tls.verify_mode is ssl.CERT_NONE
    secure = Credentials(kubeconfig(tmp_path, cluster={}, user={"token": "t"}))
    assert secure._tls.verify_mode is ssl.CERT_REQUIRED
    assert secure._tls.check_hostname


TEXTS = {
    "not YAML": "a: [1\nb: {",
    "not a kubeconfig": "just words",
    "empty": "",
    "no current context": "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n",
    "a context that is not there": (
        "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\ncurrent-context: x\n"
    ),
    "binary": "\0\1\2",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_kubeconfig_that_is_no_use_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Credentials(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("no usable Kubernetes credentials: ")
    assert str(path) in message
    assert "set KUBECONFIG or pass --kubeconfig" in message
    assert len(message) < 1024


def test_kubeconfig_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no usable Kubernetes credentials") as caught:
        Credentials(str(tmp_path / "none"))
    assert "\n" not in str(caught.value)


FILES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "token file missing": ({}, {"tokenFile": "/nowhere/token"}),
    "authority's certificate missing": (
        {"certificate-authority": "/nowhere/ca.crt"},
        {"token": "t"},
    ),
    "client certificate missing": (
        {},
        {"client-certificate": "/nowhere/c.crt", "client-key": "/nowhere/c.key"},
    ),
    "certificate that is none": (
        {"certificate-authority-data": "bm90IGEgY2VydA=="},
        {"token": "t"},
    ),
    "certificate that is not base64": ({"certificate-authority-data": "%%%"}, {"token": "t"}),
}


@pytest.mark.parametrize("name", FILES)
def test_credentials_that_cannot_be_read_are_one_clear_line(tmp_path: Path, name: str) -> None:
    cluster, user = FILES[name]
    with pytest.raises(ConfigError) as caught:
        Credentials(kubeconfig(tmp_path, cluster=cluster, user=user))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1024
