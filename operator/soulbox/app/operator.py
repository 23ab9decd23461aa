"""The operator process: everything wired together, started in order, ended in order.

Standing by (app/standby.py): API server, CRDs, health, database pool, the Lease. Leading:
signing key, mirror; then full lists into the cache (so that no pass decides on half a
picture); then workers; then Kopf's watches. End (SIGTERM): watches, workers, followers; the
mirror with one more flush; then the Lease is released.
"""

import asyncio
import gc
import socket
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, cast

import kopf

from soulbox.app.cluster import cluster_uid, list_pages, restore_pod, served
from soulbox.app.handlers import Intake, build_registry, build_settings
from soulbox.app.held import HeldObjects
from soulbox.app.leader import FLUSH_SECONDS
from soulbox.app.live_output import LiveOutput, saved_output
from soulbox.app.namespaces import Namespaces
from soulbox.app.periodic import Periodic
from soulbox.app.queue import WorkQueue
from soulbox.app.readings import database_readers, mirror_readers, spool_readers, work_readers
from soulbox.app.signing import load_signing_key
from soulbox.app.standby import Process, ends_at_signals, open_process, stand_by
from soulbox.app.tasks import TaskGroup
from soulbox.box.client import RunnerClient, open_session
from soulbox.box.target import ForbiddenTarget
from soulbox.judge.judge import Judge
from soulbox.kinds.controllers import build_controllers
from soulbox.kinds.entries import ENTRIES
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.followers import build_followers
from soulbox.kinds.function.history import VersionHistory
from soulbox.kinds.objects import Objects
from soulbox.kube.cache import ObjectCache
from soulbox.kube.client import KubeClient
from soulbox.kube.events import EventRecorder
from soulbox.mirror import ItemBuilder, Mirror, MirrorSettings, RowContext, Spool, check_directory
from soulbox.model.errors import SpoolUnavailable, StoreUnavailable
from soulbox.model.kinds import MIRRORED, WATCHED
from soulbox.model.owners import pod_owner
from soulbox.model.states import Kind
from soulbox.reconcile.failing import FailureTeller
from soulbox.reconcile.health import RunnerHealth
from soulbox.reconcile.sampling import Sampler
from soulbox.reconcile.services import PublicKeys, Services
from soulbox.schema.settings import Settings
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)

# How long Kopf may take once its watches and all work of ours have ended: nothing is left to do.
_KOPF_END_SECONDS = 0.1


async def run_operator(settings: Settings) -> None:
    """Stand by, lead, until SIGTERM or SIGINT.

    Raises:
        ConfigError: the installation is wrong; nothing was started.
        LeaderLost: another operator has taken the Lease.
    """
    if settings.spool_directory is not None:
        check_directory(settings.spool_directory)
    async with ends_at_signals(), AsyncExitStack() as stack:
        process = await open_process(settings, stack)
        await stand_by(process, stack)
        await _lead(process, stack)


async def _lead(process: Process, stack: AsyncExitStack) -> None:
    settings, kube, store = process.settings, process.kube, process.store
    metrics, clock, cache = process.metrics, process.clock, Objects()
    # What works on objects ends first; what records them ends last.
    work, record = TaskGroup(), TaskGroup()
    key = await load_signing_key(kube, settings.operator_namespace)
    namespaces = Namespaces(kube, cache)
    context = await _row_context(kube, cache, namespaces)
    mirror = Mirror(
        store,
        ItemBuilder(ENTRIES, context),
        on_recorded=lambda kind, uid: _recorded(queue, cache, kind, uid),
        settings=MirrorSettings(
            linger_seconds=settings.mirror_flush_seconds,
            batch_size=settings.mirror_batch_rows,
            max_pending=settings.mirror_capacity_objects,
            retention=settings.retention,
            sample_capacity=settings.sample_capacity_rows,
            namespaces=settings.watch_namespaces,
        ),
        on_relist_needed=lambda: periodic.relist(),  # noqa: PLW0108 - made below
        clock=clock.now,
    )
    if settings.spool_directory is not None:
        mirror.spooler.use(await _open_spool(settings.spool_directory, context))
    mirror.count_batches(metrics.batch_written)
    runner_session = await stack.enter_async_context(open_session())
    target = await stack.enter_async_context(ForbiddenTarget())
    events = EventRecorder(
        kube,
        clock,
        socket.gethostname(),
        on_error=lambda error: _log.warning("event not posted", error=str(error)[:256]),
    )
    runner = RunnerClient(
        runner_session, key, clock.now, metrics.runner_error, guard=process.leadership.check
    )
    turns = Turns(cache.executions)
    judge = Judge()
    health = RunnerHealth(
        cache.owner_of_pod,
        lambda kind, uid: queue.add(kind, uid),  # noqa: PLW0108 - made below
        time.monotonic,
    )
    services = Services(
        kube=kube,
        cache=cache,
        clock=clock,
        mirror=mirror,
        runner=runner,
        events=events,
        metrics=metrics,
        pods=cache.pods,
        health=health,
        keys=PublicKeys(environment=key.public_entry, key_id=key.key_id),
        enqueue=lambda kind, uid: queue.add(kind, uid),  # noqa: PLW0108 - made below
        spawn=work.spawn,
        operator_namespace=settings.operator_namespace,
        sandbox_not_found_seconds=settings.sandbox_not_found_seconds,
        enforcement_wait_seconds=settings.enforcement_wait_seconds,
        target=target,
        run_poll_seconds=settings.run_poll_seconds,
        gone=lambda kind, manifest: intake.gone(kind, manifest),  # noqa: PLW0108 - made below
        wrote=lambda kind, manifest: intake.wake(kind, manifest),  # noqa: PLW0108 - made below
    )
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
    followers = build_followers(cache, queue, turns, clock)
    intake = Intake(
        cache,
        mirror,
        queue,
        metrics,
        on_stripped=lambda pod: work.spawn("restore-pod", restore_pod(kube, pod, intake.gone)),
        followers=followers.by_kind,
    )
    periodic = Periodic(kube, cache, mirror, intake, settings, clock, services.memory)
    _tie(intake, periodic, namespaces)
    followers.execution.on_unfinished = controllers.farewell.take
    periodic.on_pods = health.forget_others
    periodic.after_repair = VersionHistory(kube, cache, mirror, context).complete
    held = HeldObjects(mirror, cache, events, settings)
    metrics.read_snapshots(
        {
            **work_readers(queue, cache, controllers.runs, events, intake),
            **mirror_readers(mirror),
            **spool_readers(mirror, held, clock),
            **database_readers(mirror),
        }
    )
    process.probes.live_checks = lambda: periodic.live(intake)
    process.probes.ready_checks = lambda: {
        "lease": process.leadership.problem(),
        **periodic.ready(),
    }
    process.probes.output = LiveOutput(cache, runner, saved_output(store)).handle
    stack.push_async_callback(_hand_over, process, record)
    stack.push_async_callback(work.close)
    record.spawn("claim", _claim(mirror))

    await _first_lists(kube, cache, intake, settings, namespaces)
    record.spawn("mirror", mirror.run(), vital=True)
    record.spawn("events", events.run(), vital=True)
    work.spawn("judge", judge.run(), vital=True)
    work.spawn("queue", queue.run(), vital=True)
    work.spawn("periodic", periodic.run(), vital=True)
    work.spawn("held", held.run(), vital=True)
    if settings.sample_interval_seconds:
        sampler = Sampler(
            services,
            context,
            mirror.samples,
            interval_seconds=settings.sample_interval_seconds,
            on_stranger=controllers.meeter.meet,
        )
        work.spawn("sampler", sampler.run())
    # What was loaded at start lives as long as the process: out of the collector's way.
    gc.collect()
    gc.freeze()
    _log.info("operator started", action="start", objects=sum(map(cache.count, Kind)))
    await _watch(process, intake, work, record)


async def _row_context(kube: KubeClient, cache: Objects, namespaces: Namespaces) -> RowContext:
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


def _tie(intake: Intake, periodic: Periodic, namespaces: Namespaces) -> None:
    """What they tell each other."""
    intake.before_event = namespaces.learn
    periodic.before_object = namespaces.look_up
    intake.on_listed = periodic.listed


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


async def _claim(mirror: Mirror) -> None:
    """Have PostgreSQL refuse the previous leader now, and not only with the first row."""
    with suppress(StoreUnavailable):  # then with the first row
        await mirror.claim()


async def _hand_over(process: Process, record: TaskGroup) -> None:
    """Nothing acts on the cluster any more: flush, and let a successor begin meanwhile if that
    takes long. The successor reads what is not written then from the API server."""
    flush = asyncio.create_task(record.close(), name="flush")
    await asyncio.wait({flush}, timeout=FLUSH_SECONDS)
    await process.release()
    await flush


async def _watch(process: Process, intake: Intake, work: TaskGroup, record: TaskGroup) -> None:
    """Kopf until a signal, or until a task that nothing works without has ended.

    Raises:
        SoulBoxError: such a task failed; its error.
    """
    settings = process.settings
    stop = asyncio.Event()

    loop, main = asyncio.get_running_loop(), asyncio.current_task()
    assert main is not None, "in a task"
    hurry: list[asyncio.TimerHandle] = []

    async def end_work() -> None:
        stop.set()  # or Kopf waits for its own task that waits for this
        await work.close()
        # A watch that was cancelled between two events leaves a task behind, for which Kopf
        # would wait five seconds: a successor must not.
        hurry.append(loop.call_later(_KOPF_END_SECONDS, main.cancel))

    async def end_with(tasks: TaskGroup) -> None:
        await tasks.failed_vital.wait()
        stop.set()

    record.spawn("guard-lease", end_with(process.holding))
    record.spawn("guard-work", end_with(work))
    record.spawn("guard-record", end_with(record))
    # Kopf counts tasks that begin after it as its own and waits for them at the end: let
    # those that were just spawned begin.
    await asyncio.sleep(0.01)
    try:
        await kopf.operator(
            registry=build_registry(intake, process.credentials, end_work),
            settings=build_settings(),
            # Kopf would make one of the user's name, which the user of a container has not.
            identity=cast(Any, process.leadership.identity),
            clusterwide=not settings.watch_namespaces,
            # A watch in one that is gone would be refused, and end the process.
            namespaces=await served(process.kube, settings.watch_namespaces),
            stop_flag=stop,
        )
    except asyncio.CancelledError:
        if not hurry or loop.time() < hurry[0].when():
            raise
        main.uncancel()
    finally:
        for timer in hurry:
            timer.cancel()
    _log.info("operator stopping", action="stop")
    error = process.holding.vital_error or record.vital_error or work.vital_error
    if error is not None:
        raise error


async def _first_lists(
    kube: KubeClient,
    cache: ObjectCache,
    intake: Intake,
    settings: Settings,
    namespaces: Namespaces,
) -> None:
    """Fill the cache completely before anything is decided; queue every object after."""
    for info in WATCHED:
        async for page in list_pages(kube, info.kind, settings.watch_namespaces):
            for manifest in page:
                await namespaces.look_up(manifest["metadata"].get("namespace"))
                cache.put(info.kind, manifest)
    for info in MIRRORED:
        for manifest in cache.all_to_keep(info.kind):
            intake.queue_listed(info.kind, manifest)


def _recorded(queue: WorkQueue, cache: Objects, kind: Kind, uid: str) -> None:
    """Final rows were committed: continue what waits for them."""
    if kind is not Kind.POD:
        queue.add(kind, uid)
        return
    pod = cache.get(Kind.POD, uid)
    owner = None if pod is None else pod_owner(pod)
    if owner is not None:
        queue.add(owner.kind, owner.uid)
