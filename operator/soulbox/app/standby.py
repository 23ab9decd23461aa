"""What a process has before it leads: connections, health, the Lease; and its signals."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

from aiohttp import web

from soulbox.app.cluster import check_crds, cluster_uid
from soulbox.app.http import Checks, HealthServer
from soulbox.app.leader import Leadership, Timing, make_identity
from soulbox.app.output_calls import FILE_PATH, OUTPUT_PATH
from soulbox.app.tasks import TaskGroup
from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.lease import KubeLease
from soulbox.model.errors import ConfigError, KubeUnavailable
from soulbox.schema.settings import Settings
from soulbox.store.pool import Store, open_store
from soulbox.telemetry.logs import get_logger
from soulbox.telemetry.metrics import Metrics

_log = get_logger(__name__)

# A renewal whose answer does not come is tried again well before the deadline.
_LEASE_CALL_SECONDS = 3.0


@dataclass(slots=True)
class Probes:
    """What is served over HTTP; the leader puts in its own answers."""

    live_checks: Checks = dict
    ready_checks: Checks = lambda: {"standby": ""}
    output: Callable[[web.Request], Awaitable[web.Response]] | None = None

    def live(self) -> Mapping[str, str]:
        """For /healthz."""
        return self.live_checks()

    def ready(self) -> Mapping[str, str]:
        """For /readyz."""
        return self.ready_checks()

    async def handle_output(self, request: web.Request) -> web.Response:
        """Live output, which only the leader has. The Service leads to every replica: a repeated
        request reaches another."""
        if self.output is None:
            return web.Response(
                status=503, headers={"Retry-After": "1"}, text="this replica stands by\n"
            )
        return await self.output(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What is there whether it leads or not.

    Attributes:
        kube: every write through it asks `leadership` first.
        holding: the task that renews the Lease.
    """

    settings: Settings
    metrics: Metrics
    clock: ServerClock
    credentials: Credentials
    kube: KubeClient
    store: Store
    leadership: Leadership
    probes: Probes
    holding: TaskGroup = field(default_factory=TaskGroup)

    async def release(self) -> None:
        """Lead no more. Safe to repeat."""
        await self.holding.close()
        await self.leadership.release()


async def open_process(settings: Settings, stack: AsyncExitStack) -> Process:
    """Connect to everything; a standby is warm.

    Raises:
        ConfigError: the installation is wrong; nothing was started.
    """
    metrics, clock, probes = Metrics(), ServerClock(), Probes()
    identity = make_identity(settings)
    leadership = Leadership(
        identity,
        f"{settings.operator_namespace}/{settings.lease}",
        Timing(
            duration_seconds=settings.lease_duration_seconds,
            renew_deadline_seconds=settings.lease_renew_deadline_seconds,
            renew_seconds=settings.lease_renew_seconds,
        ),
        metrics,
    )
    credentials = Credentials(
        None if settings.kubeconfig is None else str(settings.kubeconfig),
        user_agent=f"soulbox-operator/{version('soulbox')} ({identity})",
    )
    stack.push_async_callback(credentials.close)
    kube = KubeClient(
        credentials,
        clock,
        timeout_seconds=settings.api_timeout_seconds,
        observer=metrics.api_request,
        guard=leadership.check,
    )
    call_seconds = min(_LEASE_CALL_SECONDS, settings.lease_renew_deadline_seconds / 2)
    leadership.use(
        KubeLease(
            KubeClient(
                credentials, clock, timeout_seconds=call_seconds, observer=metrics.api_request
            ),
            KubeClient(
                credentials,
                clock,
                timeout_seconds=call_seconds,
                observer=metrics.api_request,
                guard=leadership.check,
            ),
            namespace=settings.operator_namespace,
            name=settings.lease,
            identity=identity,
            duration_seconds=settings.lease_duration_seconds,
            clock=clock.now,
        )
    )
    await _reach(kube, credentials)
    await check_crds(kube)
    health = HealthServer(
        settings.http_listen,
        metrics,
        live=probes.live,
        ready=probes.ready,
        routes=[
            web.get(path, probes.handle_output, allow_head=False)
            for path in (OUTPUT_PATH, FILE_PATH)
        ],
    )
    await health.start()
    stack.push_async_callback(health.close)
    store = await open_store(
        # Asked at each connection: a file of it may hold another password by then.
        lambda: settings.database_url.get_secret_value(),  # noqa: PLW0108 - the property is read
        min_size=settings.pool_min_size,
        max_size=settings.pool_max_size,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        statement_timeout_seconds=settings.statement_timeout_seconds,
    )
    stack.push_async_callback(store.close)
    return Process(
        settings=settings,
        metrics=metrics,
        clock=clock,
        credentials=credentials,
        kube=kube,
        store=store,
        leadership=leadership,
        probes=probes,
    )


async def stand_by(process: Process, stack: AsyncExitStack) -> None:
    """Return once this process leads; it leads until the stack ends."""
    if not process.settings.leader_elect:
        process.leadership.lead_alone()
        return
    stack.push_async_callback(process.release)
    await process.leadership.acquire()
    process.holding.spawn("lease", process.leadership.hold(), vital=True)


@asynccontextmanager
async def ends_at_signals() -> AsyncIterator[None]:
    """SIGTERM or SIGINT ends the block as if it had been left; its clean-up runs.

    As PID 1 of a container a process without a handler would not even notice. While Kopf
    runs it has handlers of its own, to the same effect.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "in a task"
    signals: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        if not signals:  # a second one must not break into the clean-up
            task.cancel()
        signals.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not signals:
            raise
        task.uncancel()
        _log.info("operator stopping", action="stop", signal=signals[0].name)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


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
