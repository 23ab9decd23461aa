"""An API server at HTTP level, for what no real one does on demand: refusals at a chosen
write, an exact count of writes, a kubelet that does what it is told.

It keeps what reconcilers depend on: resourceVersions that grow over all objects, merge
patches (RFC 7386) with 409 on a stale version or another uid, status as a subresource,
AlreadyExists, deletion that waits for finalizers and, for pods, for the kubelet. It
validates nothing: what a schema refuses is tested on a real API server (tests/api).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from soulbox.model.kinds import WATCHED
from soulbox.model.states import Kind
from tests.support.fix_clock import NOW
from tests.support.seen import merged

Manifest = dict[str, Any]
Key = tuple[str, str, str]  # (plural, namespace or "", name)
# (event type, kind, object), as a watch would tell it.
Watcher = Callable[[str, Kind, Manifest], None]

KINDS = {info.plural: info.kind for info in WATCHED}
# What the CRDs' defaults give a new object (kinds/*/crd.py).
STATUS_DEFAULTS: Mapping[str, Manifest] = {
    "sandboxes": {"state": "Created", "observedGeneration": 0},
    "executions": {"state": "Queued", "observedGeneration": 0},
}
WRITES = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}


def copied(manifest: Any) -> Any:
    """As it comes over the wire. copy.deepcopy takes ten times as long, for each of ten thousand
    requests of the tests."""
    return orjson.loads(orjson.dumps(manifest))


@dataclass(frozen=True)
class Write:
    """One request that would change something, whether or not it did."""

    verb: str  # create, patch or delete
    what: str  # "pods", "executions/status"
    name: str
    status: int  # of the reply


@dataclass(frozen=True)
class Target:
    """What a request is about."""

    plural: str
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> Key:
        return (self.plural, self.namespace, self.name)

    @property
    def what(self) -> str:
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


class Refusal(Exception):
    """An answer that is not success."""

    def __init__(self, status: int, reason: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = {
            "kind": "Status",
            "status": "Failure",
            "code": status,
            "reason": reason,
            "message": message,
        }


class FakeApi:
    """The objects, and what was done to them."""

    def __init__(self) -> None:
        self.url = ""
        self.now: datetime = NOW
        self.objects: dict[Key, Manifest] = {}
        self.writes: list[Write] = []
        self.reads: list[str] = []
        self.watcher: Watcher | None = None
        # The write of this number (from 1) is carried out, and its reply never comes.
        self.lost_reply: int | None = None
        # The write of this number is not carried out: 500.
        self.lost_write: int | None = None
        self._write_count = 0
        self._version = 100
        self._refusals: list[tuple[str, str, Refusal]] = []

    # What tests do.

    def advance(self, seconds: float) -> None:
        """Let the server's time pass."""
        self.now += timedelta(seconds=seconds)

    def refuse(self, verb: str, what: str, refusal: Refusal, *, times: int = 1) -> None:
        """Answer the next such requests so: verb create, patch, delete or get; what "pods" or
        "executions/status"."""
        self._refusals += [(verb, what, refusal)] * times

    def stop_refusing(self) -> None:
        """What made it refuse is over."""
        self._refusals.clear()

    def add(self, plural: str, manifest: Manifest) -> Manifest:
        """Create an object as somebody else would; it is no write of the operator's."""
        metadata = manifest["metadata"]
        namespace = metadata.get("namespace", "")
        return self._create(Target(plural, namespace, metadata["name"], ""), manifest)

    def edit(self, plural: str, namespace: str, name: str, patch: Manifest) -> Manifest:
        """Merge into an object, status and all, as somebody else would."""
        return self._store(
            (plural, namespace, name), merged(self.objects[plural, namespace, name], patch)
        )

    def delete(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object as somebody else would."""
        self._delete(Target(plural, namespace, name, ""), {})

    def get(self, plural: str, namespace: str, name: str) -> Manifest:
        """A copy of an object."""
        return copied(self.objects[plural, namespace, name])

    def named(self, plural: str) -> list[str]:
        """Names of all objects of a resource."""
        return sorted(name for (kind, _, name) in self.objects if kind == plural)

    @property
    def write_count(self) -> int:
        """Writes asked for since the start, Events too."""
        return self._write_count

    def take_writes(self) -> list[tuple[str, str]]:
        """(verb, what) of the writes since the last call, Events apart."""
        taken = [(one.verb, one.what) for one in self.writes if one.what != "events"]
        self.writes.clear()
        return taken

    # What a kubelet does.

    def run_pod(self, name: str, namespace: str = "team-a", *, ip: str = "127.0.0.1") -> Manifest:
        """Bind the pod to a node and start its container."""
        started = self._time()
        runner = {
            "name": "runner",
            "imageID": "soulbox/python@sha256:abc",
            "state": {"running": {"startedAt": started}},
        }
        patch = {
            "spec": {"nodeName": "node-1"},
            "status": {"phase": "Running", "podIP": ip, "containerStatuses": [runner]},
        }
        return self.edit("pods", namespace, name, patch)

    def end_pod(
        self, name: str, namespace: str = "team-a", *, reason: str = "Completed", exit_code: int = 0
    ) -> None:
        """End the pod's container; a pod that is being deleted goes with it."""
        pod = self.get("pods", namespace, name)
        status = pod.get("status") or {}
        state = (status.get("containerStatuses") or [{}])[0].get("state") or {}
        started = (state.get("running") or {}).get("startedAt", self._time())
        terminated = {
            "startedAt": started,
            "finishedAt": self._time(),
            "reason": reason,
            "exitCode": exit_code,
        }
        runner = {"name": "runner", "state": {"terminated": terminated}}
        phase = "Succeeded" if exit_code == 0 else "Failed"
        patch: Manifest = {"status": {"phase": phase, "containerStatuses": [runner]}}
        if pod["metadata"].get("deletionTimestamp"):
            patch["metadata"] = {"deletionGracePeriodSeconds": 0}
        self.edit("pods", namespace, name, patch)

    # The server.

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        raw = await request.read()
        body = json.loads(raw) if raw else {}
        target = _target(request.path)
        verb = WRITES.get(request.method, "get")
        status = 200
        self._write_count += verb != "get"
        try:
            self._maybe_refuse(verb, target)
            if verb != "get" and self._write_count == self.lost_write:
                raise Refusal(500, "InternalError", "lost")
            answer = self._answer(verb, target, body, request)
            if verb != "get" and self._write_count == self.lost_reply:
                raise Refusal(504, "Timeout", "done, and nobody hears of it")
            status = 201 if verb == "create" else 200
            headers: dict[str, str] = {}
        except Refusal as refusal:
            status, answer, headers = refusal.status, refusal.body, refusal.headers
        if verb == "get":
            self.reads.append(target.what)
        else:
            name = target.name or str(body.get("metadata", {}).get("name", ""))
            self.writes.append(Write(verb, target.what, name, status))
        headers["Date"] = format_datetime(self.now.replace(microsecond=0), usegmt=True)
        return web.json_response(answer, status=status, headers=headers)

    def _maybe_refuse(self, verb: str, target: Target) -> None:
        for index, (refused_verb, what, refusal) in enumerate(self._refusals):
            if (refused_verb, what) == (verb, target.what):
                del self._refusals[index]
                raise refusal

    def _answer(self, verb: str, target: Target, body: Manifest, request: web.Request) -> Manifest:
        if verb == "create":
            name = body["metadata"]["name"]
            return self._create(Target(target.plural, target.namespace, name, ""), body)
        if verb == "patch":
            if request.content_type == "application/json-patch+json":
                return self._json_patch(target, body)
            assert request.content_type == "application/merge-patch+json", request.content_type
            return self._patch(target, body)
        if verb == "delete":
            return self._delete(target, body)
        if target.name:
            return self._find(target)
        about = request.query.get("fieldSelector", "").partition(",")[0]
        return self._list(target, request.query.get("labelSelector", ""), about)

    def _find(self, target: Target) -> Manifest:
        found = self.objects.get(target.key)
        if found is None:
            raise Refusal(404, "NotFound", f'{target.plural} "{target.name}" not found')
        return copied(found)

    def _list(self, target: Target, selector: str, about: str = "") -> Manifest:
        wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
        items = [
            copied(manifest)
            for (plural, namespace, _), manifest in sorted(self.objects.items())
            if plural == target.plural
            and target.namespace in ("", namespace)
            and wanted.items() <= (manifest["metadata"].get("labels") or {}).items()
            and _is_about(manifest, about)
        ]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    def _create(self, target: Target, body: Manifest) -> Manifest:
        if target.key in self.objects:
            raise Refusal(409, "AlreadyExists", f'{target.plural} "{target.name}" already exists')
        manifest = copied(body)
        manifest["metadata"] |= {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": self._time(),
            "generation": 1,
        }
        if target.namespace:
            manifest["metadata"]["namespace"] = target.namespace
        manifest.setdefault("status", copied(STATUS_DEFAULTS.get(target.plural, {})))
        return self._store(target.key, manifest, "ADDED")

    def _patch(self, target: Target, body: Manifest) -> Manifest:
        old = self._find(target)
        told = body.get("metadata") or {}
        for field in ("resourceVersion", "uid"):
            if field in told and told[field] != old["metadata"][field]:
                raise Refusal(409, "Conflict", f"the object has another {field}")
        part = "status" if target.subresource == "status" else None
        if part is not None:
            body = {part: body.get(part)}
        elif target.plural in STATUS_DEFAULTS:
            body = {name: value for name, value in body.items() if name != "status"}
        return self._store(target.key, merged(old, body))

    def _json_patch(self, target: Target, operations: Any) -> Manifest:
        """RFC 6902, as far as the operator writes it: members of the status."""
        manifest = self._find(target)
        for operation in operations:
            _, part, name = operation["path"].split("/")
            if operation["op"] == "remove":
                del manifest[part][name]
            elif (part, name) == ("metadata", "resourceVersion"):
                if manifest[part][name] != operation["value"]:
                    raise Refusal(409, "Conflict", "the object has another resourceVersion")
            else:
                assert part == target.subresource == "status", operation
                manifest[part][name] = operation["value"]
        return self._store(target.key, manifest)

    def _delete(self, target: Target, body: Manifest) -> Manifest:
        manifest = self._find(target)
        metadata = manifest["metadata"]
        uid = (body.get("preconditions") or {}).get("uid", metadata["uid"])
        if uid != metadata["uid"]:
            raise Refusal(409, "Conflict", "the uid in the precondition differs")
        grace = body.get("gracePeriodSeconds")
        if target.plural == "pods":
            status = manifest.get("status") or {}
            ended = status.get("phase") in ("Succeeded", "Failed")
            bound = bool((manifest.get("spec") or {}).get("nodeName"))
            default = 5 if bound and not ended else 0
            metadata["deletionGracePeriodSeconds"] = default if grace is None else grace
        if "deletionTimestamp" not in metadata:
            metadata["deletionTimestamp"] = self._time()
            metadata["generation"] += 1
        return self._store(target.key, manifest)

    def _store(self, key: Key, manifest: Manifest, event: str = "MODIFIED") -> Manifest:
        """Keep a version, and tell the watcher; an object that nothing holds goes."""
        metadata = manifest["metadata"]
        old = self.objects.get(key)
        if old is not None:
            same = {**manifest, "metadata": {**metadata, "resourceVersion": ""}}
            before = {**old, "metadata": {**old["metadata"], "resourceVersion": ""}}
            if same == before:
                return copied(old)  # a patch that changes nothing is no new version
            if manifest.get("spec") != old.get("spec"):
                metadata["generation"] += 1
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        held = metadata.get("finalizers") or (
            key[0] == "pods" and metadata.get("deletionGracePeriodSeconds")
        )
        if metadata.get("deletionTimestamp") and not held:
            self.objects.pop(key, None)
            event = "DELETED"
        else:
            self.objects[key] = copied(manifest)
        if self.watcher is not None and key[0] in KINDS:
            self.watcher(event, KINDS[key[0]], copied(manifest))
        return copied(manifest)

    def _time(self) -> str:
        return self.now.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _is_about(manifest: Manifest, selector: str) -> bool:
    """Whether a field is as one selector, path=value, says; "" says nothing."""
    path, _, wanted = selector.partition("=")
    found: Any = manifest
    for part in path.split(".") if path else ():
        found = (found or {}).get(part)
    return not path or found == wanted


def _target(path: str) -> Target:
    """/api/v1/… or /apis/group/version/…, with or without a namespace."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    return Target(plural, namespace, name, subresource)


@asynccontextmanager
async def serving() -> AsyncIterator[FakeApi]:
    """The server within the block, on a free port of loopback."""
    api = FakeApi()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", api.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        api.url = f"http://127.0.0.1:{server.port}"
        yield api
