"""Where the API server is and how to authenticate, by the official client's own rules.

kubeconfig files (tokens, token files, exec plugins, client certificates) and the
in-cluster ServiceAccount are read by the `kubernetes` package; here its result becomes an
aiohttp session whose Authorization header follows a renewed token: ServiceAccount tokens
live an hour, the kubelet renews the file well before.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from soulbox.model.errors import ConfigError

# client-go re-reads a token file every minute (transport/token_source.go).
_RELOAD_SECONDS = 60.0
_TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_NAMESPACE_FILE = _TOKEN_FILE.with_name("namespace")


@dataclass(frozen=True, slots=True)
class _Loaded:
    server: str
    tls: ssl.SSLContext
    authorization: str | None
    namespace: str  # of the context, or of the pod's ServiceAccount


def _load(kubeconfig: str | None, context: str | None = None) -> _Loaded:
    configuration = kubernetes_client.Configuration()
    try:
        if _is_in_cluster(kubeconfig, context):
            kubernetes_config.load_incluster_config(client_configuration=configuration)
            namespace = _NAMESPACE_FILE.read_text().strip()
        else:
            kubernetes_config.load_kube_config(
                config_file=kubeconfig,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
            namespace = _context_namespace(kubeconfig, context)
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
    return _Loaded(configuration.host.rstrip("/"), tls, header, namespace or "default")


def _is_in_cluster(kubeconfig: str | None, context: str | None) -> bool:
    named = kubeconfig or context or os.environ.get("KUBECONFIG")
    return not named and _TOKEN_FILE.exists()


def _context_namespace(kubeconfig: str | None, context: str | None) -> str:
    """The namespace that a context of a kubeconfig works in; "" if it names none."""
    contexts, active = kubernetes_config.list_kube_config_contexts(config_file=kubeconfig)
    chosen = active if context is None else next(c for c in contexts if c["name"] == context)
    return str((chosen.get("context") or {}).get("namespace") or "")


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
    ) -> None:
        """Read the configuration; `context` None takes the kubeconfig's current one.

        Raises ConfigError with one clear line.
        """
        self._kubeconfig = kubeconfig
        self._context = context
        self._user_agent = user_agent
        self._monotonic = monotonic
        self._loaded = _load(kubeconfig, context)
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
                    fresh = await asyncio.to_thread(_load, self._kubeconfig, self._context)
                    known = self._loaded
                    header = fresh.authorization or known.authorization
                    self._loaded = _Loaded(fresh.server, known.tls, header, known.namespace)
        return self._loaded.authorization

    async def _authenticate(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        header = await self._authorization()
        if header is not None:
            request.headers["Authorization"] = header
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
                connector=aiohttp.TCPConnector(limit=0, ssl=self._loaded.tls),
                headers={"User-Agent": self._user_agent},
                middlewares=(self._authenticate,),
                auto_decompress=True,
            )
        return self._session

    async def close(self) -> None:
        """Close the session; safe to repeat."""
        if self._session is not None:
            await self._session.close()
