"""Calls to the API server: plain dicts over one shared aiohttp session.

Typed models cost about a millisecond a pod, dicts a tenth of it (measured); what we read
of an object is read in `decide`, by name. Every error becomes one of model.errors: what
the caller must do, not what HTTP said.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
import orjson

from soulbox.kube.auth import Credentials
from soulbox.kube.clock import ServerClock
from soulbox.kube.decoding import decode
from soulbox.kube.resources import SERVICES, Resource
from soulbox.model.errors import (
    KubeConflict,
    KubeExists,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
    NotLeader,
)
from soulbox.model.keys import FIELD_MANAGER

Manifest = dict[str, Any]
# (verb, kind, HTTP status or 0 for no answer, seconds)
RequestObserver = Callable[[str, str, int, float], None]
# Returns if this process may write now; else raises NotLeader.
Guard = Callable[[], None]

_MERGE_PATCH: Final = "application/merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"
# Some minutes, as the API server's own default is 30 to 60; a watch is opened again.
_WATCH_SECONDS: Final = 300
# Twice etcd's bound on a request.
_MAX_LINE_BYTES: Final = 4_194_304
# Objects a page. client-go's pager takes 500; a page of pods is then 25 MB of dicts at once.
LIST_CHUNK: Final = 200


class KubeClient:
    """The calls the operator makes. Safe for many tasks of one event loop."""

    def __init__(
        self,
        credentials: Credentials,
        clock: ServerClock,
        *,
        timeout_seconds: float = 30.0,
        observer: RequestObserver | None = None,
        field_manager: str = FIELD_MANAGER,
        guard: Guard | None = None,
    ) -> None:
        """Args:
        guard: asked when a create, patch or delete begins, and once more when its bytes are
            handed to the connection; what it raises is raised and nothing is sent.
        """
        self._field_manager = field_manager
        self._credentials = credentials
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=10)
        self._observer = observer
        self._guard = guard

    async def get(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        may_be_old: bool = False,
    ) -> Manifest:
        """Read one object. Raises KubeNotFound.

        Args:
            may_be_old: whatever the API server has in memory will do; etcd is not asked.
        """
        params = {"resourceVersion": "0"} if may_be_old else None
        return await self._call("get", resource, resource.path(namespace, name), params=params)

    async def read(self, resource: Resource, path: str) -> Manifest:
        """A document at a path that `Resource` cannot name: /version, a node's proxy."""
        return await self._call("get", resource, path)

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncIterator[list[Manifest]]:
        """All objects, a page at a time, of one consistent resourceVersion.

        Items come without apiVersion and kind, as the API server leaves them out of lists.
        An expired continue token (410) raises KubeUnavailable: start the list again.
        """
        params = {"limit": str(LIST_CHUNK)}
        if label_selector:
            params["labelSelector"] = label_selector
        if field_selector:
            params["fieldSelector"] = field_selector
        while True:
            page = await self._call("list", resource, resource.path(namespace), params=params)
            yield page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            params["continue"] = token

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> "list[Manifest]":
        """All objects at once; see `pages`."""
        pages = self.pages(
            resource, namespace, label_selector=label_selector, field_selector=field_selector
        )
        return [item async for page in pages for item in page]

    async def create(
        self, resource: Resource, manifest: Mapping[str, Any], namespace: str | None = None
    ) -> Manifest:
        """Create one object. Raises KubeExists when the name is taken."""
        return await self._call(
            "create",
            resource,
            resource.path(namespace),
            body=manifest,
            params={"fieldManager": self._field_manager},
        )

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
    ) -> Manifest:
        """JSON merge patch (RFC 7386); a list is a JSON patch (RFC 6902). With
        metadata.resourceVersion in it the patch applies to that version only and raises
        KubeConflict otherwise."""
        path = resource.path(namespace, name)
        return await self._call(
            "patch",
            resource,
            f"{path}/{subresource}" if subresource else path,
            body=body,
            params={"fieldManager": self._field_manager},
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str,
        grace_seconds: int | None = None,
    ) -> None:
        """Delete the object of that name and uid; one already gone, or another under the
        same name, is success."""
        body: Manifest = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self._call("delete", resource, resource.path(namespace, name), body=body)
        except (KubeNotFound, KubeConflict):
            return

    async def watch(
        self, resource: Resource, name: str, namespace: str, resource_version: str
    ) -> AsyncIterator[Manifest]:
        """Versions of one object after `resource_version`, until it is deleted or the server
        ends the watch (it does after some minutes: read the object, and watch again).

        Raises:
            KubeUnavailable: the connection broke, or the version is too old (410).
            KubeRefused: no right to watch.
        """
        path = resource.path(namespace)
        params = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_read=_WATCH_SECONDS + 30)
        try:
            async with self._credentials.session().get(
                self._credentials.server + path, params=params, timeout=timeout
            ) as response:
                if response.status >= 300:
                    raise _error("watch", path, response.status, await response.read(), None)
                async for line in _lines(response.content):
                    event = _json_object(line) or {}
                    if event.get("type") == "ERROR":
                        raise KubeUnavailable(f"watch {path}: the server ended it", status=410)
                    yield event.get("object") or {}
                    if event.get("type") == "DELETED":
                        return
        except (TimeoutError, aiohttp.ClientError) as error:
            raise KubeUnavailable(
                f"API server did not answer watch {path}: {type(error).__name__}"
            ) from error

    async def proxy_get(
        self,
        service: str,
        namespace: str,
        path: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        limit_bytes: int,
        timeout_seconds: float,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """GET of a Service's path through the API server, which asks for the right
        `get services/proxy`.

        Args:
            service: its name, with ":port-name" where it matters.
            limit_bytes: a longer body is not read.

        Returns:
            Status, headers and body of the answer, from the Service or the API server itself (403:
            no right; 404 or 503: no such Service, or nobody behind it).

        Raises:
            KubeUnavailable: no answer, or one that is too long.
        """
        url = f"{self._credentials.server}{SERVICES.path(namespace, service)}/proxy{path}"
        return await _bounded_get(
            self._credentials.session(), url, params, headers, limit_bytes, timeout_seconds
        )

    async def _call(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Manifest:
        method = _METHODS[verb]
        content_type = "application/json"
        if verb == "patch":
            content_type = _MERGE_PATCH if isinstance(body, Mapping) else _JSON_PATCH
        guard = self._guard if verb in _WRITES else None
        if guard is not None:
            guard()
        started = time.monotonic()
        status = 0
        try:
            async with self._credentials.session().request(
                method,
                self._credentials.server + path,
                params=params,
                data=None if body is None else _Body(orjson.dumps(body), guard),
                headers={"Content-Type": content_type, "Accept": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                status = response.status
                payload = await response.read()
                if "Date" in response.headers:
                    self._clock.observe(response.headers["Date"], started, time.monotonic())
                retry_after = response.headers.get("Retry-After")
        except (TimeoutError, aiohttp.ClientError, asyncio.IncompleteReadError) as error:
            if isinstance(error.__cause__, NotLeader):
                raise error.__cause__ from None
            raise KubeUnavailable(
                f"API server did not answer {verb} {path}: {type(error).__name__}"
            ) from error
        finally:
            if self._observer is not None:
                self._observer(verb, resource.kind, status, time.monotonic() - started)
        if status >= 300:
            raise _error(verb, path, status, payload, retry_after)
        result = _json_object(payload)
        if result is None:  # something else listens there, or half of an answer came
            raise KubeUnavailable(f"the answer to {verb} {path} is not JSON", status=status)
        return result


async def _bounded_get(
    session: aiohttp.ClientSession,
    url: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    limit_bytes: int,
    timeout_seconds: float,
) -> tuple[int, Mapping[str, str], bytes]:
    timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=10)
    try:
        async with session.get(
            url, params=params, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            body = bytearray()
            async for part in response.content.iter_any():
                body += part
                if len(body) > limit_bytes:
                    response.close()
                    raise KubeUnavailable("the answer is longer than it may be")
            return response.status, response.headers, bytes(body)
    except (TimeoutError, aiohttp.ClientError) as error:
        raise KubeUnavailable(f"no answer: {type(error).__name__}") from error


async def plain_get(
    url: str,
    *,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    limit_bytes: int,
    timeout_seconds: float,
) -> tuple[int, Mapping[str, str], bytes]:
    """`proxy_get` without the API server between: a GET of this URL, with no credentials."""
    async with aiohttp.ClientSession() as session:
        return await _bounded_get(session, url, params, headers, limit_bytes, timeout_seconds)


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; the reader's own are bounded at less than an object."""
    buffer = bytearray()
    async for part in stream.iter_any():
        buffer += part
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            if line:
                yield line
        if len(buffer) > _MAX_LINE_BYTES:
            raise KubeUnavailable("a watch event is longer than any object")


class _Body(aiohttp.BytesPayload):
    """A request's body. Its headers leave together with it, so asking here, after waiting
    for a connection and for TLS, is asking at the last moment there is: a process that was
    stopped anywhere before this sends nothing when it goes on."""

    def __init__(self, value: bytes, guard: Guard | None) -> None:
        super().__init__(value, content_type="application/json")
        self._guard = guard

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        if self._guard is not None:
            self._guard()
        await super().write_with_length(writer, content_length)


_WRITES: Final = ("create", "patch", "delete")
_METHODS: Final = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "patch": "PATCH",
    "delete": "DELETE",
}

# What etcd and its client say of an object they do not store; the API server passes it on
# as an internal error (k8s.io/apiserver pkg/storage/etcd3), yet trying again cannot help.
_TOO_LARGE: Final = ("request is too large", "message larger than max")


def _json_object(payload: bytes) -> Manifest | None:
    try:
        document = decode(payload)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _error(verb: str, path: str, status: int, payload: bytes, retry_after: str | None) -> Exception:
    """The typed error of a refused call, from the Status object in the reply."""
    answer = _json_object(payload) or {}
    reason = str(answer.get("reason") or "")
    message = str(answer.get("message") or f"HTTP {status}")[:4096]
    if status == 404:
        return KubeNotFound(f"{verb} {path}: {message}")
    if status == 409:
        if reason == "AlreadyExists":
            return KubeExists(f"{verb} {path}: {message}")
        return KubeConflict(f"{verb} {path}: {message}")
    if status == 500 and any(words in message for words in _TOO_LARGE):
        return KubeRefused(status, reason, message)
    if status in (408, 410, 429) or status >= 500:
        delay = float(retry_after) if retry_after and retry_after.isdigit() else None
        return KubeUnavailable(f"{verb} {path}: {message}", status=status, delay_seconds=delay)
    return KubeRefused(status, reason, message, _causes(answer))


def _causes(answer: Mapping[str, Any]) -> frozenset[str]:
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    if not isinstance(causes, list):
        return frozenset()
    return frozenset(str(cause.get("reason")) for cause in causes if isinstance(cause, dict))
