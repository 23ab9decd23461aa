"""Whom calls are made as, and by which way: what a kubeconfig says beside server and token."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from soulbox.app.commands.person import open_person
from soulbox.app.commands.target import Target
from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import PODS
from soulbox.model.errors import ConfigError, KubeUnavailable
from tests.unit.kube.scripted import reply, serving, write_kubeconfig

ADA = {
    "as": "ada",
    "as-uid": "u-1",
    "as-groups": ["dev", "ops"],
    "as-user-extra": {"example.org/Reason": ["a", "b"]},
}
ADAS_HEADERS = [
    ("Impersonate-User", "ada"),
    ("Impersonate-Group", "dev"),
    ("Impersonate-Group", "ops"),
    ("Impersonate-Uid", "u-1"),
    ("Impersonate-Extra-example.org%2FReason", "a"),
    ("Impersonate-Extra-example.org%2FReason", "b"),
]


@pytest.mark.parametrize(
    ("user", "target", "want"),
    [
        (ADA, Target(), ADAS_HEADERS),
        ({}, Target(), []),
        ({}, Target(as_user="bob"), [("Impersonate-User", "bob")]),
        (
            ADA,
            Target(as_user="bob", as_groups=("x",)),
            [("Impersonate-User", "bob"), ("Impersonate-Group", "x")],
        ),
        (
            ADA,
            Target(as_groups=("x",)),
            [("Impersonate-User", "ada"), ("Impersonate-Group", "x")],
        ),
    ],
    ids=["the kubeconfig's", "nobody", "--as", "--as over the kubeconfig's", "--as-group"],
)
async def test_every_call_is_made_as_who_is_impersonated(
    tmp_path: Path, user: dict[str, Any], target: Target, want: list[tuple[str, str]]
) -> None:
    async with serving() as server:
        server.script(reply(200, {"items": []}))
        path = Path(write_kubeconfig(tmp_path, server.url, token="t", **user))
        named = Target(kubeconfig=path, as_user=target.as_user, as_groups=target.as_groups)
        async with open_person(named) as person:
            await person.kube.get(PODS, "p", "ns")
            await person.kube.create(PODS, {}, "ns")
            async for _ in person.kube.watch(PODS, "p", "ns", "1"):
                pass
    assert [asked.impersonation for asked in server.asked] == [want] * 3


async def test_group_without_a_user_is_refused_not_left_out(tmp_path: Path) -> None:
    path = Path(write_kubeconfig(tmp_path, "http://127.0.0.1:1", token="t"))
    with pytest.raises(ConfigError, match="without a user: add --as"):
        async with open_person(Target(kubeconfig=path, as_groups=("system:masters",))):
            pass


def kubeconfig(folder: Path, server: str, **cluster: str) -> str:
    path = Path(write_kubeconfig(folder, server, token="t"))
    document = yaml.safe_load(path.read_text())
    document["clusters"][0]["cluster"] |= cluster
    path.write_text(yaml.safe_dump(document))
    return str(path)


async def get_pod(path: str) -> None:
    credentials = Credentials(path)
    try:
        await KubeClient(credentials, ServerClock()).get(PODS, "p", "ns")
    finally:
        await credentials.close()


async def test_calls_go_through_the_clusters_proxy(tmp_path: Path) -> None:
    async with serving() as proxy:
        proxy.script(reply(200))
        await get_pod(kubeconfig(tmp_path, "http://api.invalid:80", **{"proxy-url": proxy.url}))
    (asked,) = proxy.asked
    assert asked.url == "http://api.invalid/api/v1/namespaces/ns/pods/p"


@pytest.mark.parametrize(("no_proxy", "want"), [("", True), ("api.invalid", False)])
async def test_calls_go_through_the_environments_proxy_unless_it_excepts_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: str, want: bool
) -> None:
    async with serving() as proxy:
        proxy.script(reply(200))
        for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        path = kubeconfig(tmp_path, "http://api.invalid:80")
        if want:
            await get_pod(path)
        else:
            with pytest.raises(KubeUnavailable):
                await get_pod(path)
    assert bool(proxy.asked) is want


async def test_server_on_this_machine_is_never_asked_through_the_environments_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    async with serving() as server:
        server.script(reply(200))
        await get_pod(kubeconfig(tmp_path, server.url))


def test_proxy_of_another_kind_is_refused_in_words(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "https://api.invalid", **{"proxy-url": "socks5://127.0.0.1:9"})
    with pytest.raises(ConfigError, match=r"socks5://127.0.0.1:9.*http:// and https:// proxies"):
        Credentials(path)


@asynccontextmanager
async def serving_tls(folder: Path, name: str) -> AsyncIterator[tuple[str, str]]:
    """A server whose certificate is for that name alone: its URL and its authority's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority, private = folder / "ca.crt", folder / "server.key"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority, private)

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", str(authority)
    finally:
        await runner.cleanup()


async def test_certificate_is_checked_against_the_name_that_the_kubeconfig_gives(
    tmp_path: Path,
) -> None:
    async with serving_tls(tmp_path, "kube.internal") as (url, authority):
        files = {"certificate-authority": authority}
        with pytest.raises(KubeUnavailable, match="ClientConnectorCertificateError"):
            await get_pod(kubeconfig(tmp_path, url, **files))
        await get_pod(kubeconfig(tmp_path, url, **files, **{"tls-server-name": "kube.internal"}))
