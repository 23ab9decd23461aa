"""The operator process: its parts (app/wiring.py) started in order, ended in order.

Standing by (app/standby.py): API server, CRDs, health, database pool, the Lease. Leading:
signing key, mirror; then full lists into the cache (so that no pass decides on half a
picture); then workers; then Kopf's watches. End (SIGTERM): watches, workers, followers; the
mirror with one more flush; then the Lease is released.
"""

import asyncio
import gc
from contextlib import AsyncExitStack, suppress
from typing import Any, cast

import kopf

from soulbox.app.cluster import list_pages, served
from soulbox.app.handlers import Intake, build_registry, build_settings
from soulbox.app.leader import FLUSH_SECONDS
from soulbox.app.live_output import LiveOutput, saved_output
from soulbox.app.namespaces import Namespaces
from soulbox.app.readings import database_readers, mirror_readers, spool_readers, work_readers
from soulbox.app.standby import Process, ends_at_signals, open_process, stand_by
from soulbox.app.tasks import TaskGroup
from soulbox.app.wiring import (
    Duties,
    Links,
    Reconcilers,
    build_duties,
    build_mirror,
    build_reconcilers,
    build_services,
    row_context,
)
from soulbox.kinds.objects import Objects
from soulbox.kube.cache import ObjectCache
from soulbox.kube.client import KubeClient
from soulbox.mirror import Mirror, check_directory
from soulbox.model.errors import StoreUnavailable
from soulbox.model.kinds import MIRRORED, WATCHED
from soulbox.model.states import Kind
from soulbox.reconcile.services import Services
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
    settings, kube, cache = process.settings, process.kube, Objects()
    # What works on objects ends first; what records them ends last.
    work, record = TaskGroup(), TaskGroup()
    links = Links(cache)
    namespaces = Namespaces(kube, cache)
    context = await row_context(kube, cache, namespaces)
    mirror = await build_mirror(process, context, links)
    services = await build_services(process, cache, mirror, links, work, stack)
    reconcilers = build_reconcilers(process, services, cache, mirror, links, work)
    duties = build_duties(process, services, cache, mirror, reconcilers, context)
    links.queue, links.intake = reconcilers.queue, reconcilers.intake
    links.periodic = duties.periodic
    _tie(reconcilers, duties, namespaces, services)
    _publish(process, services, cache, mirror, reconcilers, duties)
    stack.push_async_callback(_hand_over, process, record)
    stack.push_async_callback(work.close)
    record.spawn("claim", _claim(mirror))

    await _first_lists(kube, cache, reconcilers.intake, settings, namespaces)
    record.spawn("mirror", mirror.run(), vital=True)
    record.spawn("events", services.events.run(), vital=True)
    work.spawn("judge", reconcilers.judge.run(), vital=True)
    work.spawn("queue", reconcilers.queue.run(), vital=True)
    work.spawn("periodic", duties.periodic.run(), vital=True)
    work.spawn("held", duties.held.run(), vital=True)
    work.spawn("versions", duties.history.run(), vital=True)
    if duties.sampler is not None:
        work.spawn("sampler", duties.sampler.run())
    # What was loaded at start lives as long as the process: out of the collector's way.
    gc.collect()
    gc.freeze()
    _log.info("operator started", action="start", objects=sum(map(cache.count, Kind)))
    await _watch(process, reconcilers.intake, work, record)


def _tie(
    reconcilers: Reconcilers, duties: Duties, namespaces: Namespaces, services: Services
) -> None:
    """What they tell each other."""
    intake, periodic = reconcilers.intake, duties.periodic
    intake.before_event = namespaces.learn
    periodic.before_object = namespaces.look_up
    intake.on_listed = periodic.listed
    reconcilers.followers.execution.on_unfinished = reconcilers.controllers.farewell.take
    periodic.on_pods = services.health.forget_others
    periodic.after_repair = duties.history.complete
    intake.on_news = duties.history.notice


def _publish(
    process: Process,
    services: Services,
    cache: Objects,
    mirror: Mirror,
    reconcilers: Reconcilers,
    duties: Duties,
) -> None:
    """What the process answers over HTTP from now on."""
    intake, periodic = reconcilers.intake, duties.periodic
    process.metrics.read_snapshots(
        {
            **work_readers(
                reconcilers.queue, cache, reconcilers.controllers.runs, services.events, intake
            ),
            **mirror_readers(mirror),
            **spool_readers(mirror, duties.held, process.clock),
            **database_readers(mirror),
        }
    )
    process.probes.live_checks = lambda: periodic.live(intake)
    process.probes.ready_checks = lambda: {
        "lease": process.leadership.problem(),
        **periodic.ready(),
    }
    output = LiveOutput(cache, services.runner, saved_output(process.store))
    process.probes.output = output.handle


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
