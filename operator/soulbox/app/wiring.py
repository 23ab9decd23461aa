"""Puts the parts of a leading operator together. Nothing runs yet: app/operator.py starts them."""

import asyncio
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from soulbox.app.cluster import cluster_uid, restore_pod
from soulbox.app.handlers import Intake
from soulbox.app.held import HeldObjects
from soulbox.app.namespaces import Namespaces
from soulbox.app.periodic import Periodic
from soulbox.app.queue import WorkQueue
from soulbox.app.signing import load_signing_key
from soulbox.app.standby import Process
from soulbox.app.tasks import TaskGroup
from soulbox.box.client import RunnerClient
from soulbox.box.target import ForbiddenTarget
from soulbox.box.transport import open_session
from soulbox.judge.judge import Judge
from soulbox.kinds.controllers import Controllers, Followers, build_controllers, build_followers
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.function.history import VersionHistory
from soulbox.kinds.objects import Objects
from soulbox.kinds.registry import ENTRIES
from soulbox.kube.client import KubeClient
from soulbox.kube.events import EventRecorder
from soulbox.mirror import ItemBuilder, Mirror, MirrorSettings, RowContext, Spool
from soulbox.model.errors import SpoolUnavailable
from soulbox.model.manifests import Manifest
from soulbox.model.owners import pod_owner
from soulbox.model.states import Kind
from soulbox.reconcile.failing import FailureTeller
from soulbox.reconcile.health import RunnerHealth
from soulbox.reconcile.sampling import Sampler
from soulbox.reconcile.services import PublicKeys, Services
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)


class Links:
    """Calls from parts to others that are made after them, and need them to be made."""

    queue: WorkQueue
    intake: Intake
    periodic: Periodic

    def __init__(self, cache: Objects) -> None:
        self._cache = cache

    def add(self, kind: Kind, uid: str) -> None:
        """Queue a pass over an object."""
        self.queue.add(kind, uid)

    def gone(self, kind: Kind, manifest: Manifest) -> None:
        """An object does not exist any more."""
        self.intake.gone(kind, manifest)

    def wrote(self, kind: Kind, manifest: Manifest) -> None:
        """We have written an object: what follows from it need not wait for the watch."""
        self.intake.wake(kind, manifest)

    def relist(self) -> None:
        """The mirror lost track: compare everything."""
        self.periodic.relist()

    def recorded(self, kind: Kind, uid: str) -> None:
        """Final rows were committed: continue what waits for them."""
        if kind is not Kind.POD:
            self.queue.add(kind, uid)
            return
        pod = self._cache.get(Kind.POD, uid)
        owner = None if pod is None else pod_owner(pod)
        if owner is not None:
            self.queue.add(owner.kind, owner.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcilers:
    """What works on objects, from the watch to the pass."""

    controllers: Controllers
    judge: Judge
    queue: WorkQueue
    followers: Followers
    intake: Intake


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What is done by the clock; no sampler where sampling is turned off."""

    periodic: Periodic
    held: HeldObjects
    history: VersionHistory
    sampler: Sampler | None


async def build_mirror(process: Process, context: RowContext, links: Links) -> Mirror:
    """With what an earlier process left on the spool volume, if there is one."""
    settings = process.settings
    mirror = Mirror(
        process.store,
        ItemBuilder(ENTRIES, context),
        on_recorded=links.recorded,
        settings=MirrorSettings(
            linger_seconds=settings.mirror_flush_seconds,
            batch_size=settings.mirror_batch_rows,
            max_pending=settings.mirror_capacity_objects,
            retention=settings.retention,
            sample_capacity=settings.sample_capacity_rows,
            namespaces=settings.watch_namespaces,
        ),
        on_relist_needed=links.relist,
        clock=process.clock.now,
    )
    if settings.spool_directory is not None:
        mirror.spooler.use(await _open_spool(settings.spool_directory, context))
    mirror.count_batches(process.metrics.batch_written)
    return mirror


async def build_services(
    process: Process,
    cache: Objects,
    mirror: Mirror,
    links: Links,
    work: TaskGroup,
    stack: AsyncExitStack,
) -> Services:
    """What every reconciler uses."""
    settings, clock, metrics = process.settings, process.clock, process.metrics
    key = await load_signing_key(process.kube, settings.operator_namespace)
    session = await stack.enter_async_context(open_session())
    return Services(
        kube=process.kube,
        cache=cache,
        clock=clock,
        mirror=mirror,
        runner=RunnerClient(
            session, key, clock.now, metrics.runner_error, guard=process.leadership.check
        ),
        events=EventRecorder(
            process.kube,
            clock,
            socket.gethostname(),
            on_error=lambda error: _log.warning("event not posted", error=str(error)[:256]),
        ),
        metrics=metrics,
        pods=cache.pods,
        health=RunnerHealth(cache.owner_of_pod, links.add, time.monotonic),
        keys=PublicKeys(environment=key.public_entry, key_id=key.key_id),
        enqueue=links.add,
        spawn=work.spawn,
        operator_namespace=settings.operator_namespace,
        sandbox_not_found_seconds=settings.sandbox_not_found_seconds,
        enforcement_wait_seconds=settings.enforcement_wait_seconds,
        target=await stack.enter_async_context(ForbiddenTarget()),
        run_poll_seconds=settings.run_poll_seconds,
        gone=links.gone,
        wrote=links.wrote,
    )


def build_reconcilers(
    process: Process,
    services: Services,
    cache: Objects,
    mirror: Mirror,
    links: Links,
    work: TaskGroup,
) -> Reconcilers:
    """Of all kinds, with the queue before them and what fills it."""
    settings, metrics = process.settings, process.metrics
    turns, judge = Turns(cache.executions), Judge()
    controllers = build_controllers(
        services, cache, turns, judge, counts_users=not settings.watch_namespaces
    )
    queue = WorkQueue(
        controllers.reconcile,
        metrics,
        workers=settings.workers,
        on_failing=FailureTeller(services, controllers.failing).tell,
        names=cache.names,
    )
    followers = build_followers(cache, queue, turns, process.clock)
    intake = Intake(
        cache,
        mirror,
        queue,
        metrics,
        on_stripped=lambda pod: work.spawn(
            "restore-pod", restore_pod(process.kube, pod, links.gone)
        ),
        followers=followers.by_kind,
    )
    return Reconcilers(
        controllers=controllers, judge=judge, queue=queue, followers=followers, intake=intake
    )


def build_duties(
    process: Process,
    services: Services,
    cache: Objects,
    mirror: Mirror,
    reconcilers: Reconcilers,
    context: RowContext,
) -> Duties:
    """Metering, repair, health, held objects, versions of Functions, sampling."""
    settings = process.settings
    sampler = Sampler(
        services,
        context,
        mirror.samples,
        interval_seconds=settings.sample_interval_seconds,
        on_stranger=reconcilers.controllers.meeter.meet,
    )
    return Duties(
        periodic=Periodic(
            process.kube,
            cache,
            mirror,
            reconcilers.intake,
            settings,
            process.clock,
            services.memory,
        ),
        held=HeldObjects(mirror, cache, services.events, settings),
        history=VersionHistory(process.kube, cache, mirror, context),
        sampler=sampler if settings.sample_interval_seconds else None,
    )


async def row_context(kube: KubeClient, cache: Objects, namespaces: Namespaces) -> RowContext:
    """What rows hold that is not in the object they are made of."""

    def language_of(class_name: str) -> str | None:
        manifest = cache.by_name(Kind.SANDBOX_CLASS, "", class_name)
        language = (manifest or {}).get("spec", {}).get("defaultLanguage")
        return None if language is None else str(language)

    return RowContext(
        cluster_uid=await cluster_uid(kube),
        tenant_of=namespaces.tenant_of,
        language_of=language_of,
    )


async def _open_spool(directory: Path, context: RowContext) -> Spool:
    """With what an earlier process left in it."""
    spool = Spool(directory, context.cluster_uid)
    try:
        await asyncio.to_thread(spool.open)
    except SpoolUnavailable as error:  # no reason not to serve; it is tried, and told, again
        _log.error("the spool volume cannot be read", action="spool", error=str(error)[:256])
    if spool.objects:
        _log.info("objects wait on the spool volume", action="spool", count=spool.objects)
    return spool
