"""Calls to the API server: plain dicts over one shared aiohttp session.

Typed models cost about a millisecond a pod, dicts a tenth of it (measured); what we read
of an object is read in `decide`, by name. Every error becomes one of model.errors: what
the caller must do, not what HTTP said.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import aiohttp
import orjson

from soulbox.kube.auth import Credentials
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import Resource
from soulbox.model.errors import (
    KubeConflict,
    KubeExists,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
)
from soulbox.model.keys import FIELD_MANAGER

Manifest = dict[str, Any]
# (verb, kind, HTTP status or 0 for no answer, seconds)
RequestObserver = Callable[[str, str, int, float], None]

_MERGE_PATCH: Final = "application/merge-patch+json"
_CHUNK: Final = 500  # objects a page; client-go's default for its pager


class KubeClient:
    """The calls the operator makes. Safe for many tasks of one event loop."""

    def __init__(
        self,
        credentials: Credentials,
        clock: ServerClock,
        *,
        timeout_seconds: float = 30.0,
        observer: RequestObserver | None = None,
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=10)
        self._observer = observer

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Manifest:
        """Read one object. Raises KubeNotFound."""
        return await self._call("get", resource, resource.path(namespace, name))

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
    ) -> AsyncIterator[list[Manifest]]:
        """All objects, a page at a time, of one consistent resourceVersion.

        Items come without apiVersion and kind, as the API server leaves them out of lists.
        An expired continue token (410) raises KubeUnavailable: start the list again.
        """
        params = {"limit": str(_CHUNK)}
        if label_selector:
            params["labelSelector"] = label_selector
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
    ) -> "list[Manifest]":
        """All objects at once; see `pages`."""
        return [
            item
            async for page in self.pages(resource, namespace, label_selector=label_selector)
            for item in page
        ]

    async def create(
        self, resource: Resource, manifest: Mapping[str, Any], namespace: str | None = None
    ) -> Manifest:
        """Create one object. Raises KubeExists when the name is taken."""
        return await self._call(
            "create",
            resource,
            resource.path(namespace),
            body=manifest,
            params={"fieldManager": FIELD_MANAGER},
        )

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
    ) -> Manifest:
        """JSON merge patch (RFC 7386). With metadata.resourceVersion in the body the patch
        applies to that version only and raises KubeConflict otherwise."""
        path = resource.path(namespace, name)
        return await self._call(
            "patch",
            resource,
            f"{path}/{subresource}" if subresource else path,
            body=body,
            params={"fieldManager": FIELD_MANAGER},
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

    async def _call(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Manifest:
        method = _METHODS[verb]
        content_type = _MERGE_PATCH if verb == "patch" else "application/json"
        started = time.monotonic()
        status = 0
        try:
            async with self._credentials.session().request(
                method,
                self._credentials.server + path,
                params=params,
                data=orjson.dumps(body) if body is not None else None,
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
        document = orjson.loads(payload)
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
