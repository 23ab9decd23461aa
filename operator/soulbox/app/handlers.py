"""Kopf handlers: they take the newest object and queue keys, nothing else.

Only `on.event`: no handler has state, so Kopf writes nothing on objects (no progress, no
diff base, no finalizer of its own). Errors in on.event handlers are logged by Kopf and
never retried, therefore nothing here may fail on a malformed object.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf

from soulbox.app.queue import WorkQueue
from soulbox.decide.execution_status import cancelled_by_deletion
from soulbox.kube.auth import Credentials
from soulbox.kube.cache import ObjectCache
from soulbox.kube.client import LIST_CHUNK
from soulbox.kube.clock import ServerClock
from soulbox.kube.slim import slim
from soulbox.kube.turns import Turns, is_dispatched
from soulbox.model.keys import GROUP
from soulbox.model.kinds import MIRRORED, WATCHED
from soulbox.model.manifests import class_name, is_finished, is_over, sandbox_ref
from soulbox.model.owners import Owner, pod_owner
from soulbox.model.specs import DEFAULT_CLASS
from soulbox.model.states import Kind
from soulbox.reconcile.sandbox import COUNT_SECONDS
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
        clock: ServerClock,
        on_stripped: Callable[[Mapping[str, Any]], object],
        turns: Turns,
    ) -> None:
        """Args:
        on_stripped: told of a pod of ours that left the watch and may not be deleted:
            somebody took our label off. To call `gone` if it is.
        """
        self._on_stripped = on_stripped
        # Told with each object of a list that a watch begins with; to be set.
        self.on_listed: Callable[[], object] = lambda: None
        # Awaited with the namespace of each object before anybody is told of it; to be set.
        self.before_event: Callable[[str | None], Awaitable[None]] = at_once
        # Told of an Execution that went while its code may have run; to be set.
        self.on_unfinished: Callable[[Mapping[str, Any]], object] = lambda _: None
        self._cache = cache
        self._turns = turns
        self._mirror = mirror
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self.last_event: dict[Kind, float] = {}
        # By uid of a class the generation that its users were last woken for.
        self._class_told: dict[str, object] = {}
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
        return {kind.value: now - self.last_event.get(kind, self._started) for kind in Kind}

    def seen(self, kind: Kind, manifest: Mapping[str, Any], *, again: bool = False) -> None:
        """The object exists in this version.

        Args:
            again: queue its key even if nothing is new: a safety net.
        """
        news = self._cache.put(kind, manifest)
        if news and kind in _MIRRORED:
            self._mirror.offer(kind, manifest)
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
        metadata = manifest["metadata"]
        owner = self._owner(manifest) if kind is Kind.POD else None
        known = self._cache.remove(kind, metadata["uid"])
        self._class_told.pop(metadata["uid"], None)
        if kind is Kind.SANDBOX:
            self._turns.forget((metadata["namespace"], metadata["name"]))
        if kind is Kind.EXECUTION and _may_run_still(manifest):
            if known is not None:  # told once: the watch may tell what a refused write told
                self.on_unfinished(manifest)  # and the mirror hears of it once that is done
            self.wake(kind, manifest)
            return
        if kind is Kind.EXECUTION:
            manifest = cancelled_by_deletion(manifest, self._clock.now())
        if kind in _MIRRORED:
            self._mirror.offer(kind, manifest, deleted=True)
        if kind is Kind.POD:
            self._wake_owner(owner, metadata["namespace"])
        else:
            self.wake(kind, manifest)

    def wake(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """Queue whatever this version of an object may matter to."""
        metadata = manifest["metadata"]
        match kind:
            case Kind.SANDBOX:
                self._queue.add(kind, metadata["uid"])
                for execution in self._cache.unfinished(metadata["namespace"], metadata["name"]):
                    self._queue.add(Kind.EXECUTION, execution["metadata"]["uid"])
                self._count_on_class(manifest)
            case Kind.EXECUTION:
                self._queue.add(kind, metadata["uid"])
                self._wake_neighbours(manifest)
                self._count_later(manifest)
            case Kind.POD:
                self._wake_owner(self._owner(manifest), metadata["namespace"])
            case Kind.SANDBOX_CLASS:
                self._wake_class(manifest)
            case Kind.NAMESPACE:
                if metadata.get("deletionTimestamp"):
                    for within_kind, uid in self._cache.within(metadata["name"]):
                        self._queue.add(within_kind, uid)

    def _wake_class(self, manifest: Mapping[str, Any]) -> None:
        """A class, and all that is made from it where its spec is new: its status, which counts
        Sandboxes, changes all the time and concerns none of them."""
        metadata = manifest["metadata"]
        uid, generation = metadata["uid"], metadata.get("generation")
        self._queue.add(Kind.SANDBOX_CLASS, uid)
        if uid in self._class_told and self._class_told[uid] == generation:
            return
        if self._cache.get(Kind.SANDBOX_CLASS, uid) is not None:
            self._class_told[uid] = generation
        for owner_kind, user in self._cache.users_of_class(metadata["name"]):
            self._queue.add(owner_kind, user)

    def _count_on_class(self, manifest: Mapping[str, Any]) -> None:
        """How many Sandboxes a class has is written now and then only."""
        name = class_name(manifest) or DEFAULT_CLASS
        sandbox_class = self._cache.by_name(Kind.SANDBOX_CLASS, "", name)
        if sandbox_class is not None:
            uid = sandbox_class["metadata"]["uid"]
            self._queue.add_later(Kind.SANDBOX_CLASS, uid, COUNT_SECONDS)

    def _count_later(self, manifest: Mapping[str, Any]) -> None:
        """Its Sandbox's counters may have changed; they are written now and then only."""
        reference = sandbox_ref(manifest)
        if reference is None:
            return
        sandbox = self._cache.by_name(Kind.SANDBOX, manifest["metadata"]["namespace"], reference)
        if sandbox is not None:
            self._queue.add_later(Kind.SANDBOX, sandbox["metadata"]["uid"], COUNT_SECONDS)

    def _owner(self, pod: Mapping[str, Any]) -> Owner | None:
        """Whose a pod is. The last version of one may say it by its label alone, and be gone from
        the cache already; that a tenant's pod is deleted costs somebody a look at most."""
        owner = self._cache.owner_of(pod)
        if owner is None and pod["metadata"].get("deletionTimestamp"):
            owner = pod_owner(pod)
        return owner

    def _wake_owner(self, owner: Owner | None, namespace: str) -> None:
        """The owner of a pod, and the runs in it."""
        if owner is None:
            return
        self._queue.add(owner.kind, owner.uid)
        if owner.kind is not Kind.SANDBOX:
            return
        sandbox = self._cache.get(Kind.SANDBOX, owner.uid)
        name = owner.name if sandbox is None else sandbox["metadata"]["name"]
        for execution in self._cache.unfinished(namespace, name):
            if is_dispatched(execution):
                self._queue.add(Kind.EXECUTION, execution["metadata"]["uid"])

    def _wake_neighbours(self, manifest: Mapping[str, Any]) -> None:
        """An Execution that ended makes room for the next, and lets a sandbox go on ending."""
        if not is_finished(manifest):
            return
        reference = sandbox_ref(manifest)
        if reference is None:
            return
        namespace = manifest["metadata"]["namespace"]
        sandbox = self._cache.by_name(Kind.SANDBOX, namespace, reference)
        # As many as may run at once: another may have ended a moment ago, for whom the same
        # one was woken.
        room = 1 if sandbox is None else _concurrency(sandbox)
        for uid in self._turns.first((namespace, reference), room):
            self._queue.add(Kind.EXECUTION, uid)
        if sandbox is not None and (_is_ending(sandbox) or _counts_on_ends(sandbox)):
            self._queue.add(Kind.SANDBOX, sandbox["metadata"]["uid"])


def _may_run_still(execution: Mapping[str, Any]) -> bool:
    """Whether it went before its end was written, and after its code was handed over."""
    return not is_finished(execution) and is_dispatched(execution)


async def at_once(_: str | None) -> None:
    """Nothing to wait for."""


def _concurrency(sandbox: Mapping[str, Any]) -> int:
    asked = (sandbox.get("spec") or {}).get("maxConcurrentExecutions")
    return asked if isinstance(asked, int) else 1


def _is_ending(sandbox: Mapping[str, Any]) -> bool:
    terminated = (sandbox.get("status") or {}).get("state") == "Terminated"
    return terminated or bool(sandbox["metadata"].get("deletionTimestamp"))


def _counts_on_ends(sandbox: Mapping[str, Any]) -> bool:
    """Whether the end of an Execution is what the Sandbox waits for: to be suspended, or to
    begin to be idle."""
    spec = sandbox.get("spec") or {}
    return bool(spec.get("suspend") or spec.get("idleTimeoutSeconds"))


def _is_stripped(kind: Kind, manifest: Mapping[str, Any]) -> bool:
    """Whether a DELETED event may be of a pod that exists: it only stopped matching the watch's
    label selector. The event carries the version before. One with a finalizer whose deletion
    nobody had asked for cannot have been deleted; one without it, that was still to end, may
    have been, by force: who puts the label back finds out."""
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
