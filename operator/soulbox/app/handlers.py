"""Kopf handlers: they take the newest object and queue keys, nothing else.

Only `on.event`: no handler has state, so Kopf writes nothing on objects (no progress, no
diff base, no finalizer of its own). Errors in on.event handlers are logged by Kopf and
never retried, therefore nothing here may fail on a malformed object.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf
from kopf._cogs.clients import api as kopf_api

from soulbox.app.queue import WorkQueue
from soulbox.kinds.base import Follower
from soulbox.kube import decoding
from soulbox.kube.auth import Credentials
from soulbox.kube.cache import ObjectCache
from soulbox.kube.client import LIST_CHUNK
from soulbox.kube.slim import slim
from soulbox.model.keys import GROUP
from soulbox.model.kinds import MIRRORED, WATCHED
from soulbox.model.manifests import is_over
from soulbox.model.states import Kind
from soulbox.reconcile.services import Recorder
from soulbox.telemetry.metrics import Metrics

_MIRRORED = frozenset(info.kind for info in MIRRORED)


class Intake:
    """Where every object that is seen goes: cache, mirror, queue."""

    def __init__(
        self,
        cache: ObjectCache,
        mirror: Recorder,
        queue: WorkQueue,
        metrics: Metrics,
        on_stripped: Callable[[Mapping[str, Any]], object],
        followers: Mapping[Kind, Follower],
    ) -> None:
        """Args:
        on_stripped: told of a pod of ours that left the watch and may not be deleted:
            somebody took our label off. To call `gone` if it is.
        """
        self._on_stripped = on_stripped
        # Called with each object of a list that a watch begins with; set by the wiring.
        self.on_listed: Callable[[], object] = lambda: None
        # Awaited with the namespace of each object before the object is passed on; set by the
        # wiring.
        self.before_event: Callable[[str | None], Awaitable[None]] = at_once
        # Told of each version of an object that is news; set by the wiring.
        self.on_news: Callable[[Kind, Mapping[str, Any]], object] = lambda _kind, _manifest: None
        self._cache = cache
        self._followers = followers
        self._mirror = mirror
        self._queue = queue
        self._metrics = metrics
        self.last_event: dict[Kind, float] = {}
        self._started = time.monotonic()

    def event(self, kind: Kind, event_type: str | None, manifest: Mapping[str, Any]) -> None:
        """One watch event; `event_type` None is an object of the initial list."""
        manifest = slim(kind, manifest)
        self.last_event[kind] = time.monotonic()
        self._metrics.watch_event(kind.value, time.time())
        if event_type is None:
            self.on_listed()
        if event_type == "DELETED" and _is_stripped(kind, manifest):
            self._on_stripped(manifest)
        elif event_type == "DELETED":
            self.gone(kind, manifest)
        else:
            self.seen(kind, manifest)

    def watch_ages(self) -> dict[str, float]:
        """Seconds since each watch last brought an event, or since the start."""
        now = time.monotonic()
        return {
            info.kind.value: now - self.last_event.get(info.kind, self._started) for info in WATCHED
        }

    def seen(self, kind: Kind, manifest: Mapping[str, Any], *, again: bool = False) -> None:
        """The object exists in this version.

        Args:
            again: queue its key even if nothing is new: a safety net.
        """
        news = self._cache.put(kind, manifest)
        if news and kind in _MIRRORED:
            self._mirror.offer(kind, manifest)
        if news:
            self.on_news(kind, manifest)
        if news or again:
            self.wake(kind, manifest)

    def queue_listed(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """An object of the first lists, once the cache holds all of them."""
        self._mirror.offer(kind, manifest)
        if kind is Kind.POD:
            self.wake(kind, manifest)
        else:
            self._queue.add(kind, manifest["metadata"]["uid"])

    def gone(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """The object exists no more; `manifest` is its last version."""
        follower = self._followers[kind]
        wake = follower.leaving(manifest)
        known = self._cache.remove(kind, manifest["metadata"]["uid"])
        last = follower.last_version(manifest, was_known=known is not None)
        if last is not None and kind in _MIRRORED:
            self._mirror.offer(kind, last, deleted=True)
        wake(manifest if last is None else last)

    def wake(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """Queue whatever this version of an object may matter to."""
        self._followers[kind].wake(manifest)


async def at_once(_: str | None) -> None:
    """Nothing to wait for."""


def _is_stripped(kind: Kind, manifest: Mapping[str, Any]) -> bool:
    """Whether a DELETED event may be of a pod that exists: it only stopped matching the watch's
    label selector. The event carries the version before. One with a finalizer whose deletion
    nobody had asked for cannot have been deleted; one without it, that was still to end, may have
    been, by force: putting the label back shows which."""
    metadata = manifest["metadata"]
    if kind is not Kind.POD or metadata.get("deletionTimestamp"):
        return False
    return bool(metadata.get("finalizers")) or not is_over(manifest)


def build_registry(
    intake: Intake, credentials: Credentials, end_work: Callable[[], Awaitable[None]]
) -> kopf.OperatorRegistry:
    """Kopf's registry with our handlers: one for each watched kind, the login, and the end.

    `end_work` is awaited when the watches have ended: Kopf would wait five seconds for
    every task that began after it (a run that is followed, say), then cancel it.
    """
    registry = kopf.OperatorRegistry()
    # Its watches decode lines by json.loads, which fails at a thousand levels, and they with it.
    kopf_api.json = decoding  # type: ignore[attr-defined]

    @kopf.on.cleanup(registry=registry)
    async def cleanup(**_: Any) -> None:
        await end_work()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=credentials.server, aiohttp_session=credentials.session())

    def handler(kind: Kind) -> Any:
        # async, because Kopf runs plain functions in threads. Each object has a worker of its
        # own: one that waits here holds up no other.
        async def on_event(event: Mapping[str, Any], **_: Any) -> None:
            await intake.before_event(event["object"]["metadata"].get("namespace"))
            intake.event(kind, event["type"], event["object"])
            _lighten(event["object"])

        on_event.__name__ = f"on_{kind.value.lower()}"
        return on_event

    for info in WATCHED:
        kopf.on.event(info.group, info.version, info.plural, registry=registry)(handler(info.kind))
    return registry


def _lighten(body: dict[str, Any]) -> None:
    """Take off an event's object what Kopf does not read any more. It holds on to the event
    until none has followed for `idle_timeout`: at the start to those of all objects."""
    body["metadata"].pop("managedFields", None)
    for name in body.keys() - {"apiVersion", "kind", "metadata"}:
        del body[name]


class _NoStorage(kopf.DiffBaseStorage, kopf.ProgressStorage):
    """Neither diffs nor progress are kept: on.event handlers need none, and computing the
    essence of an object costs half a millisecond (measured)."""

    def build(self, **_: Any) -> Any:
        """No essence: a deep copy of each object is what it would cost."""
        return {}

    def fetch(self, **_: Any) -> None:
        """Nothing was stored."""

    def store(self, **_: Any) -> None:
        """Nothing is stored."""

    def purge(self, **_: Any) -> None:
        """Nothing is there to purge."""

    def touch(self, **_: Any) -> None:
        """Nothing is written to wake up by."""

    def clear(self, *, essence: Any) -> Any:
        """The essence has nothing of ours in it."""
        return essence


def build_settings() -> kopf.OperatorSettings:
    """Kopf's settings for an informer; numbers from measurements of Kopf 1.45.2."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.queueing.worker_limit = None  # a limit with idle workers gave 20 events a second
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 2.0
    settings.queueing.error_delays = (1, 2, 5, 10, 30)
    settings.watching.server_timeout = 600
    settings.watching.client_timeout = 660
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = LIST_CHUNK
    for info in WATCHED:
        if info.selector is not None:
            resource = (info.group, info.version, info.plural)
            settings.watching.label_selectors[resource] = info.selector
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (0.5, 1, 2, 5, 10)
    settings.execution.max_workers = 1
    storage = _NoStorage()
    settings.persistence.diffbase_storage = storage
    settings.persistence.progress_storage = storage
    settings.persistence.finalizer = f"{GROUP}/unused-by-kopf"
    return settings
