"""The reconcilers as the operator wires them, on an API server at HTTP level.

The watch is delivered by hand, the work queue is a list, the runner is scripted and the
mirror records when told: every order of events can be made, and every write is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from soulbox.app.handlers import Intake
from soulbox.box.target import ForbiddenTarget
from soulbox.judge.judge import Judge
from soulbox.kinds.controllers import build_controllers, build_followers
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.objects import Objects
from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.events import EventRecorder
from soulbox.kube.slim import slim
from soulbox.model.errors import KubeConflict, KubeNotFound
from soulbox.model.states import Kind
from soulbox.pure.prices import PriceBook
from soulbox.reconcile.health import RunnerHealth
from soulbox.reconcile.services import PublicKeys, Services
from soulbox.telemetry.metrics import Metrics
from tests.support.builders import make_execution, make_sandbox, make_sandbox_class
from tests.support.fake_api import KINDS, FakeApi, Manifest, serving
from tests.support.fix_clock import settle
from tests.support.pretend_runner import PretendRunner
from tests.support.seen import PLAN
from tests.unit.kube.scripted import write_kubeconfig

NAMESPACE = "team-a"
Key = tuple[Kind, str]
# More passes than any chain of events here needs: beyond it something goes round in circles.
_MANY_PASSES = 60


class Records:
    """What the mirror is told, and what it says is committed."""

    def __init__(self) -> None:
        self.committed: set[str] = set()
        self.spooled: set[str] = set()
        self.offered: list[tuple[Kind, str]] = []
        self.gone: set[str] = set()
        self.last: dict[str, Mapping[str, Any]] = {}
        self.outputs: dict[tuple[str, str], bytes] = {}
        self.complete: set[str] = set()
        self.prices: PriceBook | None = PriceBook([PLAN])

    def offer(self, kind: Kind, manifest: Mapping[str, Any], *, deleted: bool = False) -> None:
        self.offered.append((kind, manifest["metadata"]["uid"]))
        self.last[manifest["metadata"]["uid"]] = manifest
        if deleted:
            self.gone.add(manifest["metadata"]["uid"])

    def is_recorded(self, uid: str) -> bool:
        return uid in self.committed | self.spooled

    def is_spooled(self, uid: str) -> bool:
        return uid in self.spooled

    def price_book(self) -> PriceBook | None:
        return self.prices

    def tenant_of(self, namespace: str) -> str:
        return namespace

    async def save_output(
        self,
        uid: str,
        created_at: datetime,
        stream: Literal["stdout", "stderr"],
        chunks: AsyncIterator[bytes],
        *,
        is_log: bool = False,
    ) -> int:
        del is_log
        data = b"".join([chunk async for chunk in chunks])
        self.outputs[uid, stream] = data
        return len(data)

    async def mark_output_complete(self, uid: str, created_at: datetime) -> None:
        self.complete.add(uid)


class Keys:
    """A work queue that is worked off when the test says."""

    def __init__(self) -> None:
        self.ready: dict[Key, None] = {}
        self.later: dict[Key, float] = {}

    def add(self, kind: Kind, uid: str) -> None:
        self.ready[kind, uid] = None

    def add_later(self, kind: Kind, uid: str, delay_seconds: float) -> None:
        known = self.later.get((kind, uid), delay_seconds)
        self.later[kind, uid] = min(known, delay_seconds)


async def _nothing_to_do(_: str) -> None:
    """A pass that changes nothing."""


class SomeTarget(ForbiddenTarget):
    """An address, and nothing that listens there."""

    async def towards(self, pod_ip: str) -> tuple[str, int]:
        return "192.0.2.1", 9


class ApiClock(ServerClock):
    """Stands still between two calls of `advance`: a test on a busy machine takes as long, by
    this clock, as on an idle one."""

    def __init__(self, api: FakeApi) -> None:
        super().__init__()
        self._api = api

    def now(self) -> datetime:
        # Date headers have whole seconds: the middle of what they leave open.
        return self._api.now.replace(microsecond=500_000)


class Bench:
    """One operator's reconcilers, one API server, one runner."""

    def __init__(self, api: FakeApi, credentials: Credentials, judge: object = None) -> None:
        self.api = api
        self.judge: Any = Judge() if judge is None else judge
        self.runner = PretendRunner()
        self.records = Records()
        self.keys = Keys()
        self.metrics = Metrics()
        self.cache = Objects()
        self.clock = ApiClock(api)
        self.kube = KubeClient(credentials, self.clock)
        self.events: list[tuple[str, str]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self._watched: list[tuple[str, Kind, Manifest]] = []
        api.watcher = lambda *event: self._watched.append(event)
        self.advance(0)
        self._wire()

    def _wire(self) -> None:
        recorder = EventRecorder(self.kube, self.clock, "test", on_error=lambda _: None)
        self.turns = Turns(self.cache.executions)
        self.health = RunnerHealth(self.cache.owner_of_pod, self.keys.add, self.now_seconds)
        self.services = Services(
            kube=self.kube,
            cache=self.cache,
            clock=self.clock,
            mirror=self.records,
            runner=self.runner,  # type: ignore[arg-type]
            events=recorder,
            metrics=self.metrics,
            pods=self.cache.pods,
            health=self.health,
            keys=PublicKeys(environment="k1:AAAA", key_id="k1"),
            enqueue=self.keys.add,
            spawn=self._spawn,
            operator_namespace="soulbox-system",
            sandbox_not_found_seconds=60.0,
            enforcement_wait_seconds=30.0,
            target=SomeTarget(),
            run_poll_seconds=30.0,
            gone=lambda kind, manifest: self.intake.gone(kind, manifest),  # noqa: PLW0108
            wrote=lambda kind, manifest: self.intake.wake(kind, manifest),  # noqa: PLW0108
        )
        self.controllers = controllers = build_controllers(
            self.services, self.cache, self.turns, self.judge, counts_users=True
        )
        self.runs, self.probe = controllers.runs, controllers.probe
        self.executions = controllers.executions
        self.reconcilers = {
            **controllers.reconcile,
            # Writes of classes' own status would stand among those that are counted.
            Kind.SANDBOX_CLASS: _nothing_to_do,
        }
        followers = build_followers(self.cache, self.keys, self.turns, self.clock)
        self.intake = Intake(
            self.cache,
            self.records,
            self.keys,  # type: ignore[arg-type]
            self.metrics,
            on_stripped=lambda _: None,
            followers=followers.by_kind,
        )
        followers.execution.on_unfinished = controllers.farewell.take

    def _spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def restart(self) -> None:
        """A new process: nothing remembered, complete lists, every object queued."""
        await self.close()
        self.keys = Keys()
        self.cache = Objects()
        self.runner.calls.clear()
        self._watched.clear()
        self._wire()
        for (plural, _, _), manifest in sorted(self.api.objects.items()):
            kind = KINDS.get(plural)
            if kind is not None:
                self.cache.put(kind, slim(kind, manifest))
        for kind in (Kind.SANDBOX, Kind.EXECUTION, Kind.FUNCTION):
            for manifest in self.cache.all(kind):
                self.keys.add(kind, manifest["metadata"]["uid"])

    async def close(self) -> None:
        """End what runs in the background."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    # Time and events.

    def now_seconds(self) -> float:
        """The server's clock."""
        return self.api.now.timestamp()

    def advance(self, seconds: float) -> None:
        """Let time pass, for the server and for who reads its clock."""
        self.api.advance(seconds)

    def watch(self) -> None:
        """Deliver what the watch has."""
        events, self._watched = self._watched, []
        for event_type, kind, manifest in events:
            self.intake.event(kind, event_type, manifest)

    async def settle(self, *, watching: bool = True, passes: int = _MANY_PASSES) -> None:
        """Passes over every key that is ready until none is. A conflict is tried again, an
        object that is gone is let be, as the work queue does."""
        for _ in range(passes):
            await settle(10)
            if watching:
                self.watch()
            if not self.keys.ready:
                return
            kind, uid = next(iter(self.keys.ready))
            del self.keys.ready[kind, uid]
            await self.reconcile(kind, uid)
        raise AssertionError(f"it goes round in circles: {list(self.keys.ready)}")

    async def reconcile(self, kind: Kind, uid: str) -> None:
        """One pass."""
        self.keys.later.pop((kind, uid), None)
        try:
            after = await self.reconcilers[kind](uid)
        except KubeConflict:
            self.keys.add(kind, uid)
        except KubeNotFound:
            return
        else:
            if after == 0:
                self.keys.add(kind, uid)
            elif after is not None:
                self.keys.add_later(kind, uid, after)

    async def elapse(self, seconds: float) -> None:
        """Time passes, and keys whose time has come are worked on."""
        self.advance(seconds)
        for key, after in list(self.keys.later.items()):
            self.keys.later[key] = after - seconds
            if self.keys.later[key] <= 0:
                del self.keys.later[key]
                self.keys.add(*key)
        await self.settle()

    # Objects.

    def add_class(self, **spec: Any) -> None:
        """SandboxClass python."""
        self.api.add("sandboxclasses", make_sandbox_class(**spec))

    def add_sandbox(self, **spec: Any) -> str:
        """Sandbox `box`; its uid."""
        return uid_of(self.api.add("sandboxes", make_sandbox(namespace=NAMESPACE, **spec)))

    def add_execution(self, name: str = "run", **spec: Any) -> str:
        """An Execution in Sandbox `box`; its uid."""
        return uid_of(self.api.add("executions", make_execution(name, NAMESPACE, **spec)))

    def sandbox(self) -> Manifest:
        """Sandbox `box` as it is stored."""
        return self.api.get("sandboxes", NAMESPACE, "box")

    def execution(self, name: str = "run") -> Manifest:
        """The Execution as it is stored."""
        return self.api.get("executions", NAMESPACE, name)

    @property
    def pod_name(self) -> str:
        """Name of the one pod there is."""
        (name,) = self.api.named("pods")
        return name

    @property
    def pod_uid(self) -> str:
        """Uid of the one pod there is."""
        return uid_of(self.api.get("pods", NAMESPACE, self.pod_name))

    async def running_sandbox(self, **spec: Any) -> str:
        """A Sandbox whose runner answers, its writes forgotten; its uid."""
        self.add_class()
        uid = self.add_sandbox(**spec)
        await self.settle()
        self.api.run_pod(self.pod_name)
        await self.settle()
        assert self.sandbox()["status"]["state"] == "Running"
        self.api.take_writes()
        return uid

    def posted(self) -> list[tuple[str, str]]:
        """(type, reason) of the Events queued so far."""
        queue = self.services.events._queue
        return [(event["type"], event["reason"]) for _, event in list(queue._queue)]  # type: ignore[attr-defined]


def uid_of(manifest: Mapping[str, Any]) -> str:
    """Uid of an object."""
    return str(manifest["metadata"]["uid"])


@asynccontextmanager
async def working(folder: Path, *, judge: object = None) -> AsyncIterator[Bench]:
    """A bench within the block.

    Args:
        judge: in place of the real one.
    """
    async with serving() as api:
        credentials = Credentials(write_kubeconfig(folder, api.url, token="t"))
        bench = Bench(api, credentials, judge)
        try:
            yield bench
        finally:
            await bench.close()
            await credentials.close()
