"""What happens by the clock: metering of running pods, repair, the answers of the probes."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import Any

from soulbox.app.cluster import is_there, list_pages
from soulbox.app.handlers import Intake, at_once
from soulbox.app.memory import give_back
from soulbox.kube.cache import ObjectCache
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.packed import pack
from soulbox.kube.resources import LEASES, PODS, resource_of
from soulbox.kube.slim import slim
from soulbox.mirror import Mirror
from soulbox.model.errors import KubeNotFound, KubeRefused, KubeUnavailable, SoulBoxError
from soulbox.model.keys import LOST_TIME_ANNOTATION
from soulbox.model.kinds import INFO, MIRRORED
from soulbox.model.manifests import is_over
from soulbox.model.states import Kind
from soulbox.model.times import format_time, parse_time
from soulbox.pure.pods.sight import is_end_untold
from soulbox.reconcile.services import Memory
from soulbox.schema.settings import Settings
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

# The node controller calls a node unreachable after 40 s and has its pods deleted after
# 300 s more (kube-controller-manager's defaults); a Lease is renewed every 10 s.
_NODE_LOST_SECONDS = 300.0

# If there are more, all are listed instead.
_FEW_PODS = 20
# Hour windows are written within a minute of their end.
_METER_SECONDS = 60.0
# After a failed repair, which most often means that PostgreSQL was unavailable: until one succeeds,
# rows may lack what was deleted while nobody watched.
_RETRY_SECONDS = 5.0
# No watch reports what was deleted between two lists, or between a list and its watch: a repair
# follows once the lists are through, which report many objects in a row. A list without objects
# reports nothing, so the first repair is made then as well.
_LISTED_SECONDS = 2.0


async def nothing_more() -> None:
    """Nothing follows."""


class Periodic:
    """The operator's clockwork."""

    def __init__(
        self,
        kube: KubeClient,
        cache: ObjectCache,
        mirror: Mirror,
        intake: Intake,
        settings: Settings,
        clock: ServerClock,
        memory: Memory,
    ) -> None:
        # Awaited with the namespace of each listed object before the object is passed on; to be
        # set.
        self.before_object: Callable[[str | None], Awaitable[None]] = at_once
        # Told with the uids of all pods after each list; to be set.
        self.on_pods: Callable[[set[str]], None] = lambda _: None
        # Awaited after each repair, for what follows from the objects; to be set.
        self.after_repair: Callable[[], Awaitable[None]] = nothing_more
        self._memory = memory
        self._clock = clock
        self._kube = kube
        self._cache = cache
        self._mirror = mirror
        self._intake = intake
        self._settings = settings
        self._started = time.monotonic()
        self._sooner = asyncio.Event()
        self._next_repair = math.inf  # the loop's time
        # At the start every key is queued already; later repairs queue them all again.
        self._repaired = False

    async def run(self) -> None:
        """Until cancelled. A failed round is logged and comes again."""
        now = asyncio.get_running_loop().time
        next_meter = now()
        self._repair_within(_LISTED_SECONDS)
        while True:
            if now() >= self._next_repair:
                self._next_repair = math.inf  # a request made meanwhile leads to another repair
                worked = await _worked(self.repair())
                self._repair_within(
                    self._settings.repair_period_seconds if worked else _RETRY_SECONDS
                )
                give_back()
            if now() >= next_meter:
                await _worked(self.meter())
                give_back()
                next_meter = now() + _METER_SECONDS
            self._sooner.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(next_meter, self._next_repair) - now()):
                    await self._sooner.wait()

    def relist(self) -> None:
        """Have the next repair at once: objects were dropped while PostgreSQL was away."""
        self._repair_within(0.0)

    def listed(self) -> None:
        """Kopf told of an object of a list: it began to watch, or to watch anew. Once no more
        follow there is a repair."""
        self._repair_within(_LISTED_SECONDS)
        self._next_repair = asyncio.get_running_loop().time() + _LISTED_SECONDS

    def _repair_within(self, seconds: float) -> None:
        due = asyncio.get_running_loop().time() + seconds
        if due < self._next_repair:
            self._next_repair = due
            self._sooner.set()

    async def repair(self) -> None:
        """Compare complete lists with the cache and with PostgreSQL: a watch event that never
        came is made up for here."""
        await self._mirror.repair(self._lists())
        await self.after_repair()
        self._repaired = True

    async def _lists(self) -> AsyncIterator[tuple[Kind, Sequence[Mapping[str, Any]]]]:
        """Each kind with all its objects, listed when asked for; the cache learns first."""
        await self._list(Kind.NAMESPACE)  # what tells the tenants of all others
        for info in MIRRORED:
            yield info.kind, await self._list(info.kind)
        pods = {pod["metadata"]["uid"] for pod in self._cache.all(Kind.POD)}
        remembered: tuple[dict[str, Any], ...] = (
            self._memory.runner_versions,
            self._memory.runner_features,
            self._memory.pod_troubles,
        )
        for known in remembered:
            for uid in known.keys() - pods:
                del known[uid]
        self.on_pods(pods)

    async def _list(self, kind: Kind) -> list[Mapping[str, Any]]:
        """All objects of a kind."""
        manifests: list[Mapping[str, Any]] = []
        listed: set[str] = set()
        async for page in list_pages(self._kube, kind, self._settings.watch_namespaces):
            for manifest in page:
                await self.before_object(manifest["metadata"].get("namespace"))
                self._intake.seen(kind, manifest, again=self._repaired)
                listed.add(manifest["metadata"]["uid"])
                manifests.append(pack(manifest))
        unlisted = [
            known for known in self._cache.all(kind) if known["metadata"]["uid"] not in listed
        ]
        for known in unlisted:
            await self._confirm_gone(kind, known)
        return manifests

    async def _confirm_gone(self, kind: Kind, known: Mapping[str, Any]) -> None:
        """Absent from the list: deleted, or made after it. The API server knows."""
        found = await self._now(kind, known)
        if found is None or found["metadata"]["uid"] != known["metadata"]["uid"]:
            self._intake.gone(kind, known)
        if found is not None:
            self._intake.seen(kind, found)

    async def _now(self, kind: Kind, known: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the API server has under the object's name; None: nothing."""
        metadata = known["metadata"]
        try:
            found = await self._kube.get(
                resource_of(INFO[kind]), metadata["name"], metadata.get("namespace")
            )
        except KubeNotFound:
            return None
        except KubeRefused:
            namespace = metadata.get("namespace")
            if namespace is None or await is_there(self._kube, namespace):
                raise
            return None  # it went with its namespace, and our rights there
        return slim(kind, found)

    async def meter(self) -> None:
        """Write the hour windows that running pods have left behind.

        Until when a pod is known to have run is its node's Lease: the clock that its start
        time comes from.
        """
        renewed: dict[str, datetime | None] = {}
        gone: set[str] = set()
        # Looked at one by one each time: all pods as dicts at once are twenty times as much.
        untold = [pod for pod in self._cache.all(Kind.POD) if _has_untold_end(pod)]
        for node in {_node_of(pod) for pod in chain(self._running_pods(), untold)}:
            try:
                lease = await self._kube.get(LEASES, node, "kube-node-lease")
            except KubeNotFound:
                gone.add(node)
            except KubeUnavailable:
                continue
            else:
                renewed[node] = parse_time((lease.get("spec") or {}).get("renewTime"))
        # First, because it does not need PostgreSQL.
        lost = []
        for pod in untold:
            seen_at = _last_seen(pod) or renewed.get(_node_of(pod)) or self._clock.now()
            lost.append((pod, seen_at))
        for pod in self._running_pods():
            node = _node_of(pod)
            lost_at = _last_seen(pod) if node in gone else renewed.get(node)
            if lost_at is not None and self._is_lost(pod, lost_at):
                lost.append((pod, lost_at))
        for pod, lost_at in lost:
            await self._mark_lost(pod, lost_at)
        await self._mirror.meter_running(self._running_pods(), renewed.get, self._as_they_are)

    async def _as_they_are(self, pods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of these pods that run, by the API server's own word: the watch may be late."""
        found: list[Mapping[str, Any]] = []
        if len(pods) > _FEW_PODS:
            asked = {pod["metadata"]["uid"] for pod in pods}
            async for page in list_pages(self._kube, Kind.POD, self._settings.watch_namespaces):
                for pod in page:
                    if pod["metadata"]["uid"] in asked:
                        self._intake.seen(Kind.POD, pod)
                        found.append(pack(pod))
        else:
            for pod in pods:
                now = await self._now(Kind.POD, pod)
                if now is not None and now["metadata"]["uid"] == pod["metadata"]["uid"]:
                    self._intake.seen(Kind.POD, now)
                    found.append(now)
        # What is gone is the watch's to tell, or the next repair's.
        return [pod for pod in found if _has_a_running_container(pod)]

    def _running_pods(self) -> Iterator[Mapping[str, Any]]:
        """To be gone through without waiting for anything: the cache must not change."""
        return (pod for pod in self._cache.all(Kind.POD) if _has_a_running_container(pod))

    def _is_lost(self, pod: Mapping[str, Any], lost_at: datetime) -> bool:
        """Whether it is over on a node that is silent, or gone, and nobody has said so yet."""
        metadata = pod["metadata"]
        over = metadata.get("deletionTimestamp") or is_over(pod)
        known = LOST_TIME_ANNOTATION in (metadata.get("annotations") or {})
        silent_seconds = (self._clock.now() - lost_at).total_seconds()
        return bool(over) and not known and silent_seconds >= _NODE_LOST_SECONDS

    async def _mark_lost(self, pod: Mapping[str, Any], lost_at: datetime) -> None:
        """It will never report its end: it ended, for the bill, with the last sign of life.
        Written once, then final."""
        metadata = pod["metadata"]
        body = {"metadata": {"annotations": {LOST_TIME_ANNOTATION: format_time(lost_at)}}}
        with suppress(KubeNotFound):  # gone meanwhile: the others' turn all the same
            updated = await self._kube.patch(PODS, metadata["name"], body, metadata["namespace"])
            self._intake.seen(Kind.POD, updated)

    def live(self, intake: Intake) -> dict[str, str]:
        """Liveness: the watches speak. Namespaces and classes may be silent for hours, but
        an API server sends bookmarks about once a minute, so Kopf opens a silent watch again
        by itself; what is judged here is whether anything was heard at all."""
        newest = max(intake.last_event.values(), default=self._started)
        silent = time.monotonic() - newest
        limit = self._settings.watch_stale_seconds + self._settings.repair_period_seconds
        return {"watch": f"no watch event for {silent:.0f} s" if silent > limit else ""}

    def ready(self) -> dict[str, str]:
        """Readiness: PostgreSQL takes what is written. Degraded, reconciling goes on."""
        statistics = self._mirror.statistics()
        if statistics.healthy:
            return {"mirror": ""}
        return {"mirror": f"PostgreSQL is not taking rows; {statistics.pending} objects wait"}


async def _worked(round_of_work: Awaitable[None]) -> bool:
    """Whether it did; if not it is logged, and what comes after it has its turn all the same."""
    try:
        await round_of_work
    except SoulBoxError as error:
        _log.warning("periodic work failed", action="periodic", error=str(error)[:512])
        return False
    return True


def _has_a_running_container(pod: Mapping[str, Any]) -> bool:
    """Whether the last the kubelet said of it is that it runs; true for ever of a lost one."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any((status.get("state") or {}).get("running") for status in statuses)


def _has_untold_end(pod: Mapping[str, Any]) -> bool:
    """Whether it is over on a node that lives, and nobody can say since when: of a container that
    is gone when the kubelet looks (an eviction for disk space, say) it tells no times, ever
    (ContainerStatusUnknown; kubernetes/kubernetes#122160)."""
    metadata = pod["metadata"]
    if LOST_TIME_ANNOTATION in (metadata.get("annotations") or {}):
        return False
    if not (metadata.get("deletionTimestamp") or is_over(pod)):
        return False
    return is_end_untold(pod)


def _node_of(pod: Mapping[str, Any]) -> str:
    return str(pod["spec"].get("nodeName"))


def _last_seen(pod: Mapping[str, Any]) -> datetime | None:
    """Of a pod whose Node object is gone, its Lease with it: when the cluster first called it
    not ready or disrupted. Before that its node reported it as running."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    turned = {("Ready", "False"), ("DisruptionTarget", "True")}
    times = [
        parse_time(condition.get("lastTransitionTime"))
        for condition in conditions
        if (condition.get("type"), condition.get("status")) in turned
    ]
    return min((time for time in times if time is not None), default=None)
