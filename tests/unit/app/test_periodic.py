"""What happens by the clock: repair of missed events, metering, lost nodes, probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from soulbox.app.handlers import Intake
from soulbox.app.namespaces import Namespaces
from soulbox.app.periodic import Periodic
from soulbox.app.queue import WorkQueue
from soulbox.kinds.controllers import build_followers
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.objects import Objects
from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.model.errors import KubeNotFound, KubeUnavailable, StoreUnavailable
from soulbox.model.keys import LOST_TIME_ANNOTATION, MANAGED_BY_LABEL, TENANT_LABEL
from soulbox.model.kinds import MIRRORED
from soulbox.model.states import Kind
from soulbox.model.times import format_time
from soulbox.pure.prices import PriceBook
from soulbox.reconcile.services import Memory
from soulbox.schema.settings import Settings
from soulbox.telemetry.metrics import Metrics
from tests.support.builders import make_execution, make_sandbox, stored
from tests.support.fake_api import FakeApi, Refusal, serving
from tests.support.fix_clock import NOW, settle, virtual_time
from tests.unit.kube.scripted import write_kubeconfig

pytestmark = pytest.mark.usefixtures("logged")

BOX, RUN, POD, FUNCTION = Kind.SANDBOX, Kind.EXECUTION, Kind.POD, Kind.FUNCTION


@dataclass(frozen=True)
class Statistics:
    """What readiness asks of the mirror."""

    healthy: bool = True
    pending: int = 0


class Books:
    """A mirror that notes what it is given."""

    def __init__(self) -> None:
        self.offers: list[tuple[Kind, str, bool]] = []
        self.repaired: list[tuple[Kind, list[str]]] = []
        self.metered: dict[str, datetime | None] = {}
        self.now = Statistics()
        self.faults: list[Exception] = []
        self.repairs: list[float] = []
        self.meterings: list[float] = []

    def offer(self, kind: Kind, manifest: Mapping[str, Any], *, deleted: bool = False) -> None:
        self.offers.append((kind, manifest["metadata"]["name"], deleted))

    def is_recorded(self, uid: str) -> bool:
        return False

    def is_spooled(self, uid: str) -> bool:
        return False

    def price_book(self) -> PriceBook | None:
        return None

    def tenant_of(self, namespace: str) -> str:
        return namespace

    async def repair(self, lists: AsyncIterator[tuple[Kind, Iterable[Any]]]) -> None:
        self.repairs.append(asyncio.get_running_loop().time())
        if self.faults:
            raise self.faults.pop(0)
        async for kind, manifests in lists:
            self.repaired.append((kind, [one["metadata"]["name"] for one in manifests]))

    async def meter_running(
        self,
        pods: Iterable[Mapping[str, Any]],
        renewed: Callable[[str], datetime | None],
        ask: Callable[[Sequence[Any]], Awaitable[Iterable[Any]]],
    ) -> None:
        self.meterings.append(asyncio.get_running_loop().time())
        for pod in await ask(list(pods)):
            self.metered[pod["metadata"]["name"]] = renewed(str(pod["spec"].get("nodeName")))

    def statistics(self) -> Statistics:
        return self.now


class EmptyCluster:
    """A client of an API server that has nothing; for virtual time, which sockets do not
    know."""

    async def pages(self, *_: Any, **__: Any) -> AsyncIterator[list[Any]]:
        """No object at all."""
        yield []

    async def get(self, *_: Any) -> None:
        """None of any name either."""
        raise KubeNotFound("no such object")


class Bench:
    """The clockwork on an API server at HTTP level."""

    def __init__(self, api: FakeApi | None, kube: Any) -> None:
        self.api = api
        self.books = Books()
        self.cache = Objects()
        self.memory = Memory()
        metrics = Metrics()
        clock = ServerClock(lambda: 0.0, NOW.timestamp)
        queue = WorkQueue({}, metrics, workers=1)
        followers = build_followers(self.cache, queue, Turns(self.cache.executions), clock)
        self.intake = Intake(
            self.cache,
            self.books,
            queue,
            metrics,
            on_stripped=lambda _: None,
            followers=followers.by_kind,
        )
        settings = Settings(dsn=SecretStr("postgresql:///x"), repair_period_seconds=600)
        self.periodic = Periodic(
            kube,
            self.cache,
            self.books,  # type: ignore[arg-type]
            self.intake,
            settings,
            clock,
            self.memory,
        )
        self.periodic.before_object = Namespaces(kube, self.cache).look_up
        self.intake.on_listed = self.periodic.listed


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving() as api:
        credentials = Credentials(write_kubeconfig(tmp_path, api.url, token="t"))
        yield Bench(api, KubeClient(credentials, ServerClock()))
        await credentials.close()


def add(bench: Bench, kind: Kind, manifest: dict[str, Any], *, known: bool = True) -> Any:
    """An object on the server; with `known` the cache has it."""
    assert bench.api is not None
    plural = {BOX: "sandboxes", RUN: "executions", POD: "pods"}[kind]
    created = bench.api.add(plural, manifest)
    if known:
        bench.cache.put(kind, created)
    return created


def pod(name: str, node: str = "node-1", **metadata: Any) -> dict[str, Any]:
    """A pod of ours that runs."""
    running = {"name": "runner", "state": {"running": {"startedAt": "2026-01-02T03:00:00Z"}}}
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "labels": {MANAGED_BY_LABEL: "soulbox"},
            **metadata,
        },
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "containerStatuses": [running]},
    }


def add_lease(bench: Bench, node: str, renewed: datetime) -> None:
    """The node's sign of life."""
    assert bench.api is not None
    metadata = {"name": node, "namespace": "kube-node-lease"}
    bench.api.add("leases", {"metadata": metadata, "spec": {"renewTime": format_time(renewed)}})


# Repair.


async def test_added_event_that_never_came_is_made_up_for(bench: Bench) -> None:
    created = add(bench, BOX, make_sandbox(), known=False)
    await bench.periodic.repair()
    assert bench.cache.get(BOX, created["metadata"]["uid"]) is not None
    assert bench.books.repaired == [
        (info.kind, ["box"] if info.kind is BOX else []) for info in MIRRORED
    ]
    assert (BOX, "box", False) in bench.books.offers


async def test_namespaces_are_known_before_what_is_in_them(bench: Bench) -> None:
    assert bench.api is not None
    add(bench, BOX, make_sandbox(), known=False)
    labels = {TENANT_LABEL: "acme"}
    bench.api.add("namespaces", {"metadata": {"name": "default", "labels": labels}})
    gone = stored({"metadata": {"name": "gone"}}, uid="gone")
    bench.cache.put(Kind.NAMESPACE, gone)
    seen: list[str] = []

    def offer(kind: Kind, manifest: Mapping[str, Any], *, deleted: bool = False) -> None:
        namespace = bench.cache.by_name(Kind.NAMESPACE, "", manifest["metadata"]["namespace"])
        assert namespace is not None
        seen.append(namespace["metadata"]["labels"][TENANT_LABEL])

    bench.books.offer = offer  # type: ignore[method-assign]
    await bench.periodic.repair()
    assert seen == ["acme"]
    assert bench.cache.by_name(Kind.NAMESPACE, "", "gone") is None


async def test_modified_event_that_never_came_is_made_up_for(bench: Bench) -> None:
    created = add(bench, RUN, make_execution())
    assert bench.api is not None
    bench.api.edit("executions", "default", "run", {"spec": {"cancel": True}})
    await bench.periodic.repair()
    known = bench.cache.get(RUN, created["metadata"]["uid"])
    assert known is not None
    assert known["spec"]["cancel"] is True


async def test_deleted_event_that_never_came_is_made_up_for(bench: Bench) -> None:
    created = add(bench, RUN, make_execution())
    assert bench.api is not None
    bench.api.delete("executions", "default", "run")
    await bench.periodic.repair()
    assert bench.cache.get(RUN, created["metadata"]["uid"]) is None
    assert (RUN, "run", True) in bench.books.offers


async def test_object_made_again_under_its_name_is_told_from_the_old_one(bench: Bench) -> None:
    old = add(bench, BOX, make_sandbox())
    assert bench.api is not None
    bench.api.delete("sandboxes", "default", "box")
    new = add(bench, BOX, make_sandbox(), known=False)
    await bench.periodic.repair()
    assert bench.cache.get(BOX, old["metadata"]["uid"]) is None
    assert bench.cache.get(BOX, new["metadata"]["uid"]) is not None


async def test_object_that_was_made_after_the_list_is_not_called_gone(bench: Bench) -> None:
    # The list does not have it (its label came later), the API server does.
    unlabelled = pod("p", labels={})
    created = add(bench, POD, unlabelled)
    await bench.periodic.repair()
    assert bench.cache.get(POD, created["metadata"]["uid"]) is not None
    assert (POD, "p", True) not in bench.books.offers


async def test_name_that_is_another_s_by_now_is_asked_for_by_uid(bench: Bench) -> None:
    assert bench.api is not None
    old = add(bench, POD, pod("p"))
    bench.api.edit("pods", "ns", "p", {"metadata": {"deletionGracePeriodSeconds": 0}})
    bench.api.delete("pods", "ns", "p")
    bench.api.objects.pop(("pods", "ns", "p"), None)
    foreign = bench.api.add("pods", pod("p", labels={}))
    await bench.periodic.repair()
    assert bench.cache.get(POD, old["metadata"]["uid"]) is None
    assert bench.cache.get(POD, foreign["metadata"]["uid"]) is not None


async def test_runners_of_pods_that_are_gone_are_forgotten(bench: Bench) -> None:
    created = add(bench, POD, pod("p"))
    uid = created["metadata"]["uid"]
    bench.memory.runner_versions.update({uid: "0.1.0", "gone": "0.1.0"})
    await bench.periodic.repair()
    assert set(bench.memory.runner_versions) == {uid}


# Metering.


async def test_running_pods_are_metered_up_to_their_node_s_sign_of_life(bench: Bench) -> None:
    add_lease(bench, "node-1", NOW)
    add(bench, POD, pod("a"))
    add(bench, POD, pod("b", node="node-2"))
    add(bench, POD, replace_status(pod("c"), {"phase": "Pending"}))
    await bench.periodic.meter()
    assert bench.books.metered == {"a": NOW, "b": None}


@pytest.mark.parametrize("others", [0, 30], ids=["asked one by one", "asked by a list"])
async def test_pod_that_ended_while_the_watch_was_late_ran_no_full_hour(
    bench: Bench, others: int
) -> None:
    assert bench.api is not None
    add_lease(bench, "node-1", NOW)
    for number in range(others):
        add(bench, POD, pod(f"other-{number}"))
    add(bench, POD, pod("lives"))
    ended = add(bench, POD, pod("ended"))
    terminated = [
        {"name": "runner", "state": {"terminated": {"finishedAt": "2026-01-02T03:01:00Z"}}}
    ]
    status = {"phase": "Failed", "containerStatuses": terminated}
    bench.api.edit("pods", "ns", "ended", {"status": status})
    add(bench, POD, pod("gone"))
    bench.api.edit("pods", "ns", "gone", {"metadata": {"deletionGracePeriodSeconds": 0}})
    bench.api.delete("pods", "ns", "gone")
    bench.api.objects.pop(("pods", "ns", "gone"), None)
    await bench.periodic.meter()
    assert bench.books.metered.keys() == {"lives", *(f"other-{n}" for n in range(others))}
    known = bench.cache.get(POD, ended["metadata"]["uid"])
    assert known is not None
    assert known["status"]["phase"] == "Failed", "what was learnt is kept"


def replace_status(manifest: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    """The pod with another status."""
    return {**manifest, "status": status}


async def test_lease_that_cannot_be_read_now_delays_its_node_only(bench: Bench) -> None:
    assert bench.api is not None
    add_lease(bench, "node-1", NOW)
    add(bench, POD, pod("a"))
    bench.api.refuse("get", "leases", Refusal(503, "", "away"))
    await bench.periodic.meter()
    assert bench.books.metered == {"a": None}
    await bench.periodic.meter()
    assert bench.books.metered == {"a": NOW}


LONG_AGO = NOW - timedelta(seconds=301)
DELETING = {"deletionTimestamp": "2026-01-02T03:04:00Z", "finalizers": ["soulbox.dev/recorded"]}


@pytest.mark.parametrize(
    ("metadata", "renewed", "want_lost"),
    [
        (DELETING, LONG_AGO, True),
        (DELETING, NOW - timedelta(seconds=299), False),
        ({}, LONG_AGO, False),
        (
            {**DELETING, "annotations": {LOST_TIME_ANNOTATION: "2026-01-01T00:00:00Z"}},
            LONG_AGO,
            False,
        ),
    ],
    ids=["silent for long", "silent for a while", "nobody deletes it", "written already"],
)
async def test_pod_of_a_silent_node_ends_with_the_last_sign_of_life(
    bench: Bench, metadata: dict[str, Any], renewed: datetime, want_lost: bool
) -> None:
    assert bench.api is not None
    add_lease(bench, "node-1", renewed)
    created = add(bench, POD, pod("p", **metadata))
    bench.api.take_writes()
    await bench.periodic.meter()
    assert bench.api.take_writes() == ([("patch", "pods")] if want_lost else [])
    if want_lost:
        known = bench.cache.get(POD, created["metadata"]["uid"])
        assert known is not None
        assert known["metadata"]["annotations"][LOST_TIME_ANNOTATION] == format_time(renewed)
        await bench.periodic.meter()
        assert bench.api.take_writes() == [], "once"


async def test_pod_whose_node_is_gone_ends_when_the_cluster_first_missed_it(bench: Bench) -> None:
    assert bench.api is not None
    manifest = pod("p", **DELETING)
    manifest["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T02:50:00Z"},
        {
            "type": "DisruptionTarget",
            "status": "True",
            "lastTransitionTime": "2026-01-02T02:55:00Z",
        },
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T02:00:00Z"},
        {"type": "Ready", "status": "False"},
    ]
    add(bench, POD, manifest)
    await bench.periodic.meter()
    stored_pod = bench.api.get("pods", "ns", "p")
    assert stored_pod["metadata"]["annotations"] == {
        LOST_TIME_ANNOTATION: "2026-01-02T02:50:00.000Z"
    }


async def test_pod_whose_node_is_gone_and_that_nothing_is_known_of_is_left(bench: Bench) -> None:
    assert bench.api is not None
    add(bench, POD, pod("p", **DELETING))
    bench.api.take_writes()
    await bench.periodic.meter()
    assert bench.api.take_writes() == []


UNKNOWN = {"terminated": {"reason": "ContainerStatusUnknown", "exitCode": 137}}
READY_UNTIL = [
    {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T02:50:00Z"},
]


def forgotten(
    state: dict[str, Any],
    phase: str = "Failed",
    last: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    """A pod whose container was gone when its kubelet looked for it."""
    manifest = pod("p", finalizers=["soulbox.dev/recorded"])
    statuses = [{"name": "runner", "state": state, "lastState": last or {}}]
    return replace_status(manifest, {"phase": phase, "containerStatuses": statuses, **status})


@pytest.mark.parametrize(
    ("manifest", "want"),
    [
        (forgotten(UNKNOWN, conditions=READY_UNTIL), "2026-01-02T02:50:00.000Z"),
        (forgotten(UNKNOWN), format_time(NOW - timedelta(seconds=5))),
        (
            forgotten({"terminated": {"finishedAt": "1970-01-01T00:00:00Z"}}),
            format_time(NOW - timedelta(seconds=5)),
        ),
        (forgotten({"waiting": {}}, last=UNKNOWN), format_time(NOW - timedelta(seconds=5))),
        (forgotten({"terminated": {"finishedAt": "2026-01-02T03:00:00Z"}}), None),
        (forgotten(UNKNOWN, phase="Running"), None),
        (forgotten({"waiting": {}}), None),
    ],
    ids=[
        "its conditions say",
        "its node's sign of life",
        "it ended in 1970",
        "its last state has no times",
        "told",
        "it lives on",
        "never began",
    ],
)
async def test_pod_whose_end_nobody_saw_on_a_living_node_gets_one(
    bench: Bench, manifest: dict[str, Any], want: str | None
) -> None:
    assert bench.api is not None
    add_lease(bench, "node-1", NOW - timedelta(seconds=5))
    add(bench, POD, manifest)
    bench.api.take_writes()
    await bench.periodic.meter()
    assert bench.api.take_writes() == ([] if want is None else [("patch", "pods")])
    annotations = bench.api.get("pods", "ns", "p")["metadata"].get("annotations") or {}
    assert annotations.get(LOST_TIME_ANNOTATION) == want
    await bench.periodic.meter()
    assert bench.api.take_writes() == [], "once"


async def test_lost_pod_that_went_meanwhile_stops_no_other(bench: Bench) -> None:
    assert bench.api is not None
    add_lease(bench, "node-1", LONG_AGO)
    for name in ("a", "b"):
        add(bench, POD, pod(name, **DELETING))
    bench.api.refuse("patch", "pods", Refusal(404, "NotFound", "gone"))
    await bench.periodic.meter()
    assert bench.api.take_writes() == [("patch", "pods")] * 2


# The round.


async def run_for(periodic: Periodic, seconds: float) -> None:
    """The clockwork, for so long of the loop's time."""
    task = asyncio.create_task(periodic.run())
    await asyncio.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@virtual_time
async def test_meters_each_minute_and_repairs_once_a_period() -> None:
    bench = Bench(None, EmptyCluster())
    await run_for(bench.periodic, 299)
    assert len(bench.books.meterings) == 5
    assert len(bench.books.repairs) == 1


@virtual_time
async def test_repair_is_made_at_once_when_asked_for() -> None:
    bench = Bench(None, EmptyCluster())
    task = asyncio.create_task(bench.periodic.run())
    await asyncio.sleep(10)
    bench.periodic.relist()
    await settle()
    assert [round(at - bench.books.repairs[0]) for at in bench.books.repairs] == [0, 8]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("fault", [KubeUnavailable("503"), StoreUnavailable("down")])
@virtual_time
async def test_repair_that_fails_comes_again_soon(fault: Exception) -> None:
    bench = Bench(None, EmptyCluster())
    bench.books.faults = [fault]
    await run_for(bench.periodic, 130)
    assert [round(at - bench.books.repairs[0]) for at in bench.books.repairs] == [0, 5]


@virtual_time
async def test_repair_that_was_asked_for_and_failed_is_not_forgotten() -> None:
    bench = Bench(None, EmptyCluster())
    task = asyncio.create_task(bench.periodic.run())
    await asyncio.sleep(10)
    bench.books.faults = [KubeUnavailable("503")]
    bench.periodic.relist()
    await asyncio.sleep(100)
    assert [round(at - bench.books.repairs[0]) for at in bench.books.repairs] == [0, 8, 13]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@virtual_time
async def test_repair_follows_lists_once_they_are_through() -> None:
    bench = Bench(None, EmptyCluster())
    now = asyncio.get_running_loop().time
    began = now()
    task = asyncio.create_task(bench.periodic.run())
    for _ in range(5):  # the lists that Kopf begins with, of many objects
        await asyncio.sleep(1)
        bench.intake.event(BOX, None, stored(make_sandbox()))
    await asyncio.sleep(30)
    bench.intake.event(BOX, "MODIFIED", stored(make_sandbox()))
    await asyncio.sleep(10)
    assert [round(at - began) for at in bench.books.repairs] == [7]
    listed_again = now()
    bench.intake.event(RUN, None, stored(make_execution()))  # the watch was lost
    await asyncio.sleep(10)
    assert [round(at - listed_again) for at in bench.books.repairs[1:]] == [2]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


# Probes.


async def test_readiness_is_the_mirror_s() -> None:
    bench = Bench(None, EmptyCluster())
    assert bench.periodic.ready() == {"mirror": ""}
    bench.books.now = replace(bench.books.now, healthy=False, pending=3)
    assert bench.periodic.ready() == {"mirror": "PostgreSQL is not taking rows; 3 objects wait"}


async def test_liveness_is_that_something_was_heard() -> None:
    bench = Bench(None, EmptyCluster())
    assert bench.periodic.live(bench.intake) == {"watch": ""}
    bench.intake.event(BOX, "ADDED", stored(make_sandbox()))
    assert bench.periodic.live(bench.intake) == {"watch": ""}
    # The last event of any watch is over watch_stale_seconds + repair_period_seconds ago.
    bench.intake.last_event[BOX] -= 700 + 600 + 1
    assert bench.periodic.live(bench.intake)["watch"].startswith("no watch event for 130")
    bench.intake.event(RUN, "ADDED", stored(make_execution()))
    assert bench.periodic.live(bench.intake) == {"watch": ""}
