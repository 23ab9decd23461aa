"""Where the API server is and how to authenticate, by the official client's own rules.

kubeconfig files (tokens, token files, exec plugins, client certificates) and the
in-cluster ServiceAccount are read by the `kubernetes` package; here its result becomes an
aiohttp session whose Authorization header follows a renewed token: ServiceAccount tokens
live an hour, and the kubelet renews the file well before. That package does not read whom a
kubeconfig impersonates, so it is read here: otherwise a call would have the rights of the
account behind it.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config
from kubernetes.client.rest import should_bypass_proxies
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigMerger

from soulbox.kube.decoding import ApiResponse
from soulbox.model.errors import ConfigError

# client-go re-reads a token file every minute (transport/token_source.go).
_RELOAD_SECONDS = 60.0
_TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_NAMESPACE_FILE = _TOKEN_FILE.with_name("namespace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """Whose rights calls have instead of the account's own; the API server asks that account
    for the verb `impersonate`. Without a user nobody is impersonated."""

    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def headers(self) -> list[tuple[str, str]]:
        """As the API server reads them.

        Raises:
            ConfigError: a part is given without a user.
        """
        if not self.user:
            if self.groups or self.uid or self.extra:
                raise ConfigError(
                    "a group, UID or extra is impersonated without a user: add --as, or `as` to "
                    "the kubeconfig's user"
                )
            return []
        found = [("Impersonate-User", self.user)]
        found += [("Impersonate-Group", group) for group in self.groups]
        if self.uid:
            found.append(("Impersonate-Uid", self.uid))
        for key, values in self.extra:
            name = f"Impersonate-Extra-{quote(key, safe='')}"
            found += [(name, value) for value in values]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    server: str
    authorization: str | None
    namespace: str  # of the context, or of the pod's ServiceAccount
    impersonation: Impersonation
    proxy: str | None  # URL of an HTTP proxy
    tls_server_name: str | None  # None: the server's own


def _load(kubeconfig: str | None, context: str | None = None) -> tuple[_Loaded, Any]:
    """What is used all the time, and the library's configuration, which has the certificates."""
    configuration = kubernetes_client.Configuration()
    try:
        if _is_in_cluster(kubeconfig, context):
            kubernetes_config.load_incluster_config(client_configuration=configuration)
            namespace, impersonation = _NAMESPACE_FILE.read_text().strip(), Impersonation()
        else:
            kubernetes_config.load_kube_config(
                config_file=kubeconfig,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
            chosen = _context(kubeconfig, context)
            namespace = str(chosen.get("namespace") or "")
            impersonation = _impersonation(kubeconfig, chosen)
    except Exception as error:  # the library raises its own, yaml's, and OS errors
        where = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise ConfigError(
            f"no usable Kubernetes credentials: {_line(error)} (looked at {where}; set "
            "KUBECONFIG or pass --kubeconfig, or run in a pod with a ServiceAccount)"
        ) from error
    header = configuration.get_api_key_with_prefix(
        "BearerToken"
    ) or configuration.get_api_key_with_prefix("authorization")
    if header and " " not in header:
        header = f"Bearer {header}"
    loaded = _Loaded(
        server=configuration.host.rstrip("/"),
        authorization=header,
        namespace=namespace or "default",
        impersonation=impersonation,
        proxy=_proxy(configuration),
        tls_server_name=configuration.tls_server_name,
    )
    return loaded, configuration


def _tls(configuration: Any) -> ssl.SSLContext | bool:
    """How the server is verified; True is aiohttp's own way. That does for a server without
    TLS, such as `kubectl proxy`: a context of ours would read every CA of the machine, 30 ms."""
    if not configuration.host.startswith("https://"):
        return True
    try:
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    except OSError as error:
        raise ConfigError(
            f"the kubeconfig's certificates cannot be read: {_line(error)}"
        ) from error
    if not configuration.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


def _is_in_cluster(kubeconfig: str | None, context: str | None) -> bool:
    named = kubeconfig or context or os.environ.get("KUBECONFIG")
    return not named and _TOKEN_FILE.exists()


def _context(kubeconfig: str | None, context: str | None) -> Mapping[str, Any]:
    """Cluster, user and namespace of the context that is chosen."""
    contexts, active = kubernetes_config.list_kube_config_contexts(config_file=kubeconfig)
    chosen = active if context is None else next(c for c in contexts if c["name"] == context)
    found: Mapping[str, Any] = chosen.get("context") or {}
    return found


def _impersonation(kubeconfig: str | None, context: Mapping[str, Any]) -> Impersonation:
    """The user that the context's user impersonates, if any."""
    merged = KubeConfigMerger(kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION).config
    named = merged["users"].get_with_name(context.get("user"), safe=True)
    user: Mapping[str, Any] = (named.value.get("user") if named else None) or {}
    return Impersonation(
        user=str(user.get("as") or ""),
        groups=tuple(map(str, user.get("as-groups") or ())),
        uid=str(user.get("as-uid") or ""),
        extra=tuple(
            (str(key), tuple(map(str, values or ())))
            for key, values in (user.get("as-user-extra") or {}).items()
        ),
    )


def _proxy(configuration: Any) -> str | None:
    """The cluster's `proxy-url`, else HTTPS_PROXY or HTTP_PROXY unless NO_PROXY names the
    server, or it is on this machine (as Go's net/http has it)."""
    proxy: str | None = configuration.proxy
    if not proxy:
        return None
    if configuration._proxy_from_env and (
        _is_here(urlsplit(configuration.host).hostname or "")
        or should_bypass_proxies(configuration.host, configuration.no_proxy or "")
    ):
        return None
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise ConfigError(
            f"the proxy {proxy[:256]!r} of the kubeconfig or the environment cannot be used: "
            "soulbox goes through http:// and https:// proxies only"
        )
    return proxy


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _line(error: Exception) -> str:
    """An error's words in one line; yaml's have several."""
    return " ".join(str(error).split())[:512]


class Credentials:
    """The server's address and a session factory; re-reads the token once a minute."""

    def __init__(
        self,
        kubeconfig: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        context: str | None = None,
        user_agent: str = "soulbox-operator",
        impersonate: Impersonation | None = None,
    ) -> None:
        """Read the configuration; `context` None takes the kubeconfig's current one,
        `impersonate` None impersonates the user that the kubeconfig names, if any.

        Raises ConfigError with one clear line.
        """
        self._kubeconfig = kubeconfig
        self._context = context
        self._user_agent = user_agent
        self._monotonic = monotonic
        self._loaded, configuration = _load(kubeconfig, context)
        self._tls = _tls(configuration)
        known = self._loaded.impersonation
        asked = known if impersonate is None else impersonate
        # Groups alone replace those of the user that the kubeconfig names, as with kubectl.
        asked = asked if asked.user else replace(asked, user=known.user)
        self._impersonation = asked.headers()
        self._loaded_at = monotonic()
        self._lock = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    @property
    def server(self) -> str:
        """Base URL without a trailing slash."""
        return self._loaded.server

    @property
    def namespace(self) -> str:
        """Where its owner works when no namespace is named."""
        return self._loaded.namespace

    async def _authorization(self, *, stale: str | None = None) -> str | None:
        age = self._monotonic() - self._loaded_at
        if age < _RELOAD_SECONDS and (stale is None or stale != self._loaded.authorization):
            return self._loaded.authorization
        async with self._lock:
            age = self._monotonic() - self._loaded_at
            if age >= _RELOAD_SECONDS or stale == self._loaded.authorization:
                self._loaded_at = self._monotonic()
                # What cannot be read now (a file being replaced) leaves the token that is; the
                # API server says when it is no longer good.
                with suppress(ConfigError):
                    # An exec plugin may take seconds: never in the event loop.
                    fresh, _ = await asyncio.to_thread(_load, self._kubeconfig, self._context)
                    known = self._loaded
                    header = fresh.authorization or known.authorization
                    self._loaded = replace(known, server=fresh.server, authorization=header)
        return self._loaded.authorization

    async def _authenticate(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        header = await self._authorization()
        if header is not None:
            request.headers["Authorization"] = header
        request.server_hostname = self._loaded.tls_server_name
        response = await handler(request)
        if response.status == 401 and header is not None:
            fresh = await self._authorization(stale=header)
            if fresh != header and fresh is not None:
                response.release()
                request.headers["Authorization"] = fresh
                response = await handler(request)
        return response

    def session(self) -> aiohttp.ClientSession:
        """The shared session; a new one when the last was closed (Kopf closes it on 401)."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
                headers=[("User-Agent", self._user_agent), *self._impersonation],
                proxy=self._loaded.proxy,
                middlewares=(self._authenticate,),
                auto_decompress=True,
                response_class=ApiResponse,
            )
        return self._session

    async def close(self) -> None:
        """Close the session; safe to repeat."""
        if self._session is not None:
            await self._session.close()
