"""The operator process: everything wired together, started in order, ended in order.

Start: settings, API server, CRDs, signing key, database pool, mirror; then full lists into
the cache (so that no pass decides on half a picture); then workers; then Kopf's watches.
End (SIGTERM): watches, workers, followers; the mirror last, with one more flush.
"""

import asyncio
import gc
import socket
from contextlib import AsyncExitStack

import kopf

from soulbox.app.cluster import check_crds, cluster_uid, list_everything, restore_label
from soulbox.app.handlers import Intake, build_registry, build_settings
from soulbox.app.http import HealthServer
from soulbox.app.periodic import Periodic
from soulbox.app.queue import WorkQueue
from soulbox.app.signing import load_signing_key
from soulbox.app.tasks import TaskGroup
from soulbox.box.client import RunnerClient, open_session
from soulbox.kube.auth import Credentials
from soulbox.kube.cache import ObjectCache
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.events import EventRecorder
from soulbox.mirror import Mirror, MirrorSettings, RowContext
from soulbox.model.errors import ConfigError, KubeUnavailable
from soulbox.model.keys import TENANT_LABEL
from soulbox.model.states import Kind
from soulbox.reconcile.execution import ExecutionReconciler
from soulbox.reconcile.observe import ExecutionObserver
from soulbox.reconcile.probe import RunnerProbe
from soulbox.reconcile.runs import RunFollower
from soulbox.reconcile.sandbox import SandboxReconciler
from soulbox.reconcile.services import PublicKeys, Services
from soulbox.schema.settings import Settings
from soulbox.store.pool import open_store
from soulbox.telemetry.logs import get_logger
from soulbox.telemetry.metrics import Metrics

_log = get_logger(__name__)


async def run_operator(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigError: the installation is wrong; nothing was started.
    """
    async with AsyncExitStack() as stack:
        await _run(settings, stack)


async def _run(settings: Settings, stack: AsyncExitStack) -> None:
    metrics, clock, cache = Metrics(), ServerClock(), ObjectCache()
    # What works on objects ends first; what records them ends last.
    work, record = TaskGroup(), TaskGroup()
    credentials = Credentials(None if settings.kubeconfig is None else str(settings.kubeconfig))
    stack.push_async_callback(credentials.close)
    kube = KubeClient(
        credentials,
        clock,
        timeout_seconds=settings.api_timeout_seconds,
        observer=metrics.api_request,
    )
    await _reach(kube, credentials)
    await check_crds(kube)
    key = await load_signing_key(kube, settings.operator_namespace)

    store = await open_store(
        settings.database_url.get_secret_value(),
        min_size=settings.pool_min_size,
        max_size=settings.pool_max_size,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        statement_timeout_seconds=settings.statement_timeout_seconds,
    )
    stack.push_async_callback(store.close)

    def tenant_of(namespace: str) -> str:
        manifest = cache.by_name(Kind.NAMESPACE, "", namespace)
        labels = (manifest or {}).get("metadata", {}).get("labels") or {}
        return str(labels.get(TENANT_LABEL) or namespace)

    def language_of(class_name: str) -> str | None:
        manifest = cache.by_name(Kind.SANDBOX_CLASS, "", class_name)
        language = (manifest or {}).get("spec", {}).get("defaultLanguage")
        return None if language is None else str(language)

    mirror = Mirror(
        store,
        RowContext(
            cluster_uid=await cluster_uid(kube), tenant_of=tenant_of, language_of=language_of
        ),
        on_recorded=lambda kind, uid: _recorded(queue, cache, kind, uid),
        settings=MirrorSettings(
            linger_seconds=settings.mirror_flush_seconds,
            batch_size=settings.mirror_batch_rows,
            max_pending=settings.mirror_capacity_objects,
        ),
        on_relist_needed=lambda: periodic.relist(),  # noqa: PLW0108 - made below
        clock=clock.now,
    )
    runner_session = open_session()
    stack.push_async_callback(runner_session.close)
    events = EventRecorder(
        kube,
        clock,
        socket.gethostname(),
        on_error=lambda error: _log.warning("event not posted", error=str(error)[:256]),
    )
    runner = RunnerClient(runner_session, key, clock.now, metrics.runner_error)
    services = Services(
        kube=kube,
        cache=cache,
        clock=clock,
        mirror=mirror,
        runner=runner,
        events=events,
        metrics=metrics,
        keys=PublicKeys(environment=key.public_entry, key_id=key.key_id),
        enqueue=lambda kind, uid: queue.add(kind, uid),  # noqa: PLW0108 - made below
        spawn=work.spawn,
        operator_namespace=settings.operator_namespace,
        sandbox_not_found_seconds=settings.sandbox_not_found_seconds,
        run_poll_seconds=settings.run_poll_seconds,
    )
    runs = RunFollower(
        runner,
        wake=services.enqueue,
        spawn=work.spawn,
        poll_seconds=settings.run_poll_seconds,
    )
    probe = RunnerProbe(services, runs)
    queue = WorkQueue(
        {
            Kind.SANDBOX: SandboxReconciler(services, probe).reconcile,
            Kind.EXECUTION: ExecutionReconciler(
                services, ExecutionObserver(services, runs), runs, probe
            ).reconcile,
        },
        metrics,
        workers=settings.workers,
    )
    intake = Intake(
        cache,
        mirror,
        queue,
        metrics,
        clock,
        on_stripped=lambda pod: work.spawn("restore-label", restore_label(kube, pod)),
    )
    periodic = Periodic(kube, cache, mirror, intake, settings, clock, services.memory)
    _read_gauges(metrics, queue, cache, runs, mirror, events)
    health = HealthServer(
        settings.http_listen,
        metrics,
        live=lambda: periodic.live(intake),
        ready=periodic.ready,
    )
    await health.start()
    stack.push_async_callback(health.close)
    stack.push_async_callback(record.close)
    stack.push_async_callback(work.close)

    await _first_lists(kube, cache, intake, settings)
    record.spawn("mirror", mirror.run(), vital=True)
    record.spawn("events", events.run(), vital=True)
    work.spawn("queue", queue.run(), vital=True)
    work.spawn("periodic", periodic.run(), vital=True)
    # What was loaded at start lives as long as the process: out of the collector's way.
    gc.collect()
    gc.freeze()
    _log.info("operator started", action="start", objects=sum(map(cache.count, Kind)))
    await _watch(settings, intake, credentials, work, record)


async def _watch(
    settings: Settings,
    intake: Intake,
    credentials: Credentials,
    work: TaskGroup,
    record: TaskGroup,
) -> None:
    """Kopf until a signal, or until a task that nothing works without has ended.

    Raises:
        SoulBoxError: such a task failed; its error.
    """
    stop = asyncio.Event()

    async def end_work() -> None:
        stop.set()  # or Kopf waits for its own task that waits for this
        await work.close()

    async def end_with(tasks: TaskGroup) -> None:
        await tasks.failed_vital.wait()
        stop.set()

    record.spawn("guard-work", end_with(work))
    record.spawn("guard-record", end_with(record))
    # Kopf counts tasks that begin after it as its own and waits for them at the end: let
    # those that were just spawned begin.
    await asyncio.sleep(0.01)
    await kopf.operator(
        registry=build_registry(intake, credentials, end_work),
        settings=build_settings(),
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
        stop_flag=stop,
    )
    _log.info("operator stopping", action="stop")
    error = record.vital_error or work.vital_error
    if error is not None:
        raise error


async def _reach(kube: KubeClient, credentials: Credentials) -> None:
    """The API server answers at all; waits up to a minute for one that is starting."""
    for attempt in range(12):
        try:
            await cluster_uid(kube)
        except KubeUnavailable as error:
            _log.warning("API server does not answer", attempt=attempt + 1, error=str(error)[:256])
            await asyncio.sleep(5)
        else:
            return
    raise ConfigError(
        f"the API server at {credentials.server} did not answer for a minute; "
        "check KUBECONFIG and the network"
    )


async def _first_lists(
    kube: KubeClient, cache: ObjectCache, intake: Intake, settings: Settings
) -> None:
    """Fill the cache completely before anything is decided; queue every object after."""
    listed = {
        kind: await list_everything(kube, kind, settings.watch_namespaces)
        for kind in (
            Kind.NAMESPACE,
            Kind.SANDBOX_CLASS,
            Kind.POD,
            Kind.SANDBOX,
            Kind.EXECUTION,
        )
    }
    for kind, manifests in listed.items():
        for manifest in manifests:
            cache.put(kind, manifest)
    for kind in (Kind.POD, Kind.SANDBOX, Kind.EXECUTION):
        for manifest in listed[kind]:
            intake.queue_listed(kind, manifest)


def _recorded(queue: WorkQueue, cache: ObjectCache, kind: Kind, uid: str) -> None:
    """Final rows were committed: whoever waits for that goes on."""
    if kind is not Kind.POD:
        queue.add(kind, uid)
        return
    pod = cache.get(Kind.POD, uid)
    for owner in () if pod is None else pod["metadata"].get("ownerReferences") or ():
        if owner.get("kind") in (Kind.SANDBOX, Kind.EXECUTION):
            queue.add(Kind(owner["kind"]), owner["uid"])


def _read_gauges(
    metrics: Metrics,
    queue: WorkQueue,
    cache: ObjectCache,
    runs: RunFollower,
    mirror: Mirror,
    events: EventRecorder,
) -> None:
    """Have each gauge read from a snapshot at each scrape."""
    metrics.read_gauges(
        {
            "soulbox_queue_ready": lambda: queue.statistics().ready,
            "soulbox_queue_failing": lambda: queue.statistics().failing,
            "soulbox_runs_followed": lambda: runs.active,
            "soulbox_events_dropped": lambda: events.dropped,
            "soulbox_sandboxes_known": lambda: cache.count(Kind.SANDBOX),
            "soulbox_executions_known": lambda: cache.count(Kind.EXECUTION),
            "soulbox_mirror_pending_objects": lambda: mirror.statistics().pending,
            "soulbox_mirror_lag_seconds": lambda: mirror.statistics().oldest_pending_seconds,
            "soulbox_mirror_rows_written": lambda: mirror.statistics().rows_written,
            "soulbox_mirror_failures": lambda: mirror.statistics().failures,
            "soulbox_mirror_dead_letters": lambda: mirror.statistics().dead_letters,
            "soulbox_mirror_bill_conflicts": lambda: mirror.statistics().bill_conflicts,
            "soulbox_mirror_ends_unknown": lambda: mirror.statistics().ends_unknown,
            "soulbox_mirror_healthy": lambda: float(mirror.statistics().healthy),
        }
    )
