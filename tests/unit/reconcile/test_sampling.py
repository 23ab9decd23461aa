"""Rounds of samples: who is asked, what a silent or lying runner costs, what becomes a row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from soulbox.box.transport import PodAddress
from soulbox.kinds.objects import Objects
from soulbox.kube.clock import ServerClock
from soulbox.model.errors import HostileReply, RunnerUnavailable, StoreUnavailable
from soulbox.model.rows import SampleRow
from soulbox.model.runs import RunStats
from soulbox.model.states import Kind
from soulbox.pure.fields import RowContext, RowError
from soulbox.pure.pods.samples import Reading, build_sample_row, cpu_cores, is_pressed
from soulbox.reconcile.sampling import Sampler
from soulbox.reconcile.services import Memory
from soulbox.telemetry.metrics import Metrics
from tests.support.fix_clock import NOW, FakeClock, passed, settle, virtual_time

CLUSTER = "0b0e7f0c-5a5e-4a55-9d5e-3f0a1c2b3d4e"
BOX_UID = "11111111-0000-4000-8000-000000000000"
RUN_UID = "22222222-0000-4000-8000-000000000000"
CONTEXT = RowContext(cluster_uid=CLUSTER, tenant_of=lambda namespace: f"tenant-{namespace}")
MIB = 2**20


def make_stats(**changes: Any) -> RunStats:
    base = RunStats(
        time=NOW,
        cgroup_version=1,
        cpu_seconds_total=Decimal("10"),
        memory_bytes=100 * MIB,
        memory_peak_bytes=110 * MIB,
        memory_unreclaimable_bytes=50 * MIB,
        memory_limit_bytes=256 * MIB,
        oom_kills=0,
        disk_used_bytes=0,
        disk_read_bytes=None,
        disk_write_bytes=None,
        network_rx_bytes=1,
        network_tx_bytes=2,
        network_rx_packets=3,
        network_tx_packets=4,
        processes=5,
        running_executions=(),
    )
    return replace(base, **changes)


def make_pod(uid: str | None = None, **changes: Any) -> dict[str, Any]:
    uid = uid or str(uuid4())
    metadata = {
        "name": f"pod-{uid[:8]}",
        "namespace": "team-a",
        "uid": uid,
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "annotations": {"soulbox.dev/user": "ada"},
        "ownerReferences": [
            {"apiVersion": "soulbox.dev/v1alpha1", "kind": "Sandbox", "uid": BOX_UID}
        ],
    }
    return {
        "metadata": metadata | changes.pop("metadata", {}),
        "status": {"phase": "Running", "podIP": "10.0.0.1"} | changes,
    }


def reading(seconds: float = 0.0, **changes: Any) -> Reading:
    return Reading(stats=make_stats(**changes), at=NOW, monotonic_seconds=seconds)


class Runners:
    """Answers for every pod, as the test says for each."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], RunStats]] = {}
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.gate: asyncio.Event | None = None

    async def stats(self, pod: PodAddress) -> RunStats:
        self.asked.append(pod.uid)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            else:
                await asyncio.sleep(0)
            return self.answers.get(pod.uid, make_stats)()
        finally:
            self.at_once -= 1


class Sink:
    """Keeps what it is offered."""

    def __init__(self) -> None:
        self.rounds: list[list[SampleRow]] = []
        self.flushes = 0
        self.error: Exception | None = None

    def offer(self, rows: Sequence[SampleRow]) -> None:
        self.rounds.append(list(rows))

    async def flush(self) -> None:
        self.flushes += 1
        if self.error is not None:
            raise self.error


class Bench:
    def __init__(self, pods: int = 1) -> None:
        self.cache, self.runner, self.sink = Objects(), Runners(), Sink()
        self.memory, self.metrics, self.clock = Memory(), Metrics(), FakeClock(1000.0)
        self.events: list[tuple[Kind, str]] = []
        self.uids = [self.add(make_pod()) for _ in range(pods)]
        services: Any = SimpleNamespace(
            cache=self.cache,
            runner=self.runner,
            memory=self.memory,
            metrics=self.metrics,
            clock=ServerClock(),
            events=SimpleNamespace(
                post=lambda manifest, kind, event: self.events.append((kind, event.message))
            ),
        )
        self.strangers: list[tuple[str, str, int]] = []

        async def meet(*stranger: Any) -> None:
            self.strangers.append(stranger)

        self.sampler = Sampler(
            services,
            CONTEXT,
            self.sink,
            interval_seconds=15,
            on_stranger=meet,
            monotonic=self.clock,
        )

    def add(self, pod: dict[str, Any]) -> str:
        uid = str(pod["metadata"]["uid"])
        self.cache.put(Kind.POD, pod)
        self.memory.runner_versions[uid] = "1"
        return uid

    def add_sandbox(self) -> None:
        metadata = {
            "name": "box", "namespace": "team-a", "uid": BOX_UID, "resourceVersion": "1",
            "creationTimestamp": "2026-01-02T03:04:05Z",
        }  # fmt: skip
        self.cache.put(Kind.SANDBOX, {"metadata": metadata, "spec": {}, "status": {}})

    def add_run(self, pod_uid: str) -> None:
        metadata = {
            "name": "run", "namespace": "team-a", "uid": RUN_UID, "resourceVersion": "1",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "annotations": {"soulbox.dev/dispatched": f"{pod_uid}/1"},
        }  # fmt: skip
        self.cache.put(Kind.EXECUTION, {"metadata": metadata, "spec": {}, "status": {}})

    async def round(self) -> list[SampleRow]:
        await self.sampler.round()
        self.clock.advance(15)
        return self.sink.rounds[-1]

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_all_pods_of_a_round_are_handed_over_together() -> None:
    bench = Bench(pods=50)
    rows = await bench.round()
    assert len(bench.sink.rounds) == 1
    assert {str(row.pod_uid) for row in rows} == set(bench.uids)
    assert bench.runner.most_at_once == 16
    row = rows[0]
    assert (row.sandbox_uid, row.tenant, row.user_name) == (UUID(BOX_UID), "tenant-team-a", "ada")
    assert (row.cpu_cores, row.cpu_seconds_total) == (None, Decimal("10.000000"))
    assert (row.disk_used_bytes, row.disk_read_bytes) == (0, None)


async def test_only_running_pods_whose_runner_answered_are_asked() -> None:
    bench = Bench(pods=0)
    known = bench.add(make_pod())
    bench.add(make_pod(phase="Succeeded"))
    bench.add(make_pod(podIP=None))
    bench.cache.put(Kind.POD, make_pod())  # its runner never answered
    bench.memory.runner_versions["gone"] = "1"
    assert [str(row.pod_uid) for row in await bench.round()] == [known]
    assert bench.runner.asked == [known]


async def test_cpu_is_told_from_the_second_sample_on() -> None:
    bench = Bench()
    (first,) = await bench.round()
    bench.runner.answers[bench.uids[0]] = lambda: make_stats(cpu_seconds_total=Decimal("13"))
    (second,) = await bench.round()
    assert (first.cpu_cores, second.cpu_cores) == (None, Decimal("0.200000"))


async def test_silent_runner_leaves_a_gap_and_is_asked_less_often() -> None:
    bench = Bench(pods=2)
    silent, other = bench.uids

    def fail() -> RunStats:
        raise RunnerUnavailable("no answer")

    bench.runner.answers[silent] = fail
    for _ in range(24):
        rows = await bench.round()
        assert [str(row.pod_uid) for row in rows] == [other]
    # Rounds 1, 3, 6, 11 and 20.
    assert bench.runner.asked.count(silent) == 5
    assert bench.counted("soulbox_samples_total", result="failed") == 5
    del bench.runner.answers[silent]
    for _ in range(9):
        rows = await bench.round()
    assert {str(row.pod_uid) for row in rows} == {silent, other}


async def test_hostile_runner_costs_its_own_samples_only() -> None:
    bench = Bench(pods=3)

    def lie() -> RunStats:
        raise HostileReply("nonsense")

    bench.runner.answers[bench.uids[0]] = lie
    assert len(await bench.round()) == 2
    assert bench.counted("soulbox_runner_errors_total", code="HostileReply") == 1


@virtual_time
async def test_runners_that_hang_hold_a_round_up_for_a_bounded_time() -> None:
    bench = Bench(pods=40)
    bench.runner.gate = asyncio.Event()
    assert await passed(bench.sampler.round()) == pytest.approx(3 * 2.0)
    assert bench.sink.rounds == [[]]


@virtual_time
async def test_rounds_go_on_whatever_fails_and_what_was_heard_is_written_at_the_end() -> None:
    bench = Bench()
    bench.sink.error = StoreUnavailable("away")
    task = asyncio.create_task(bench.sampler.run())
    await asyncio.sleep(31)
    assert len(bench.sink.rounds) == 3
    bench.sink.error = RuntimeError("a defect")
    await asyncio.sleep(30)
    assert len(bench.sink.rounds) == 5
    bench.sink.error = None
    flushes = bench.sink.flushes
    task.cancel()
    await settle()
    assert task.cancelled()
    assert bench.sink.flushes == flushes + 1


async def test_execution_is_named_only_if_it_alone_runs_and_was_handed_to_that_pod() -> None:
    bench = Bench()
    uid = bench.uids[0]
    both = (f"{RUN_UID}/1", "33333333-0000-4000-8000-000000000000/1")
    told: list[tuple[str, ...]] = [(), (f"{RUN_UID}/1",), both, ("no uid/1",), ("",)]
    for running in told:
        bench.runner.answers[uid] = lambda running=running: make_stats(running_executions=running)  # type: ignore[misc]
        (row,) = await bench.round()
        assert row.execution_uid is None, "it was handed to nobody"
    bench.add_run(uid)
    found = []
    for running in told:
        bench.runner.answers[uid] = lambda running=running: make_stats(running_executions=running)  # type: ignore[misc]
        (row,) = await bench.round()
        found.append(row.execution_uid)
    assert found == [None, UUID(RUN_UID), None, None, None]


async def test_execution_of_another_pod_is_not_believed() -> None:
    bench = Bench()
    bench.add_run(str(uuid4()))
    bench.runner.answers[bench.uids[0]] = lambda: make_stats(running_executions=(f"{RUN_UID}/1",))
    (row,) = await bench.round()
    assert row.execution_uid is None


async def test_run_that_no_execution_is_known_of_is_told_once_it_was_there_twice() -> None:
    bench = Bench()
    uid, gone = bench.uids[0], str(uuid4())
    bench.add_run(uid)
    odd = ("", "no attempt", f"{gone}/x")
    running = (f"{RUN_UID}/1", f"{gone}/2", *odd)
    bench.runner.answers[uid] = lambda: make_stats(running_executions=running)
    await bench.round()
    assert bench.strangers == [], "the watch may be late"
    await bench.round()
    assert bench.strangers == [(uid, gone, 2)]
    bench.memory.farewells.add(gone)
    for _ in range(2):
        await bench.round()
    assert len(bench.strangers) == 1, "it is being ended"


async def test_memory_pressure_is_counted_each_time_and_told_once_in_ten_minutes() -> None:
    bench = Bench()
    bench.add_sandbox()
    pressed = make_stats(memory_unreclaimable_bytes=240 * MIB)
    bench.runner.answers[bench.uids[0]] = lambda: pressed
    for _ in range(41):  # 600 s lie between the first and the last
        await bench.round()
    assert bench.counted("soulbox_memory_pressure_samples_total") == 41
    assert [kind for kind, _ in bench.events] == [Kind.SANDBOX] * 2
    assert "240 of its 256 MiB" in bench.events[0][1]


PRESSED: dict[str, tuple[dict[str, Any], bool]] = {
    "at 90 % it is well": ({"memory_unreclaimable_bytes": 90, "memory_limit_bytes": 100}, False),
    "over 90 %": ({"memory_unreclaimable_bytes": 91, "memory_limit_bytes": 100}, True),
    "page cache is no pressure": (
        {
            "memory_bytes": 100,
            "memory_unreclaimable_bytes": 10,
            "memory_limit_bytes": 100,
        },
        False,
    ),
    "an older runner tells only all": (
        {"memory_bytes": 95, "memory_unreclaimable_bytes": None, "memory_limit_bytes": 100},
        True,
    ),
    "no limit": ({"memory_limit_bytes": None}, False),
    "a limit of nothing": ({"memory_limit_bytes": 0}, False),
    "nothing known": ({"memory_bytes": None, "memory_unreclaimable_bytes": None}, False),
}


@pytest.mark.parametrize("name", PRESSED)
def test_pressure_is_what_cannot_be_given_back(name: str) -> None:
    changes, want = PRESSED[name]
    assert is_pressed(make_stats(**changes)) is want


CORES: dict[str, tuple[Reading | None, Reading, Decimal | None]] = {
    "the first": (None, reading(0), None),
    "two in fifteen seconds": (
        reading(0, cpu_seconds_total=Decimal(1)),
        reading(15, cpu_seconds_total=Decimal(31)),
        Decimal("2.000000"),
    ),
    "nothing was used": (reading(0), reading(15), Decimal("0.000000")),
    "a counter that went back": (
        reading(0, cpu_seconds_total=Decimal(5)),
        reading(15, cpu_seconds_total=Decimal(4)),
        None,
    ),
    "more than any machine has": (
        reading(0, cpu_seconds_total=Decimal(0)),
        reading(15, cpu_seconds_total=Decimal(10**12)),
        None,
    ),
    "not known now": (reading(0), reading(15, cpu_seconds_total=None), None),
    "not known before": (reading(0, cpu_seconds_total=None), reading(15), None),
    "too near": (reading(0), reading(0.1), None),
}


@pytest.mark.parametrize("name", CORES)
def test_cpu_rate_is_told_only_where_it_can_be(name: str) -> None:
    before, now, want = CORES[name]
    assert cpu_cores(now, before) == want


def test_owner_is_found_by_reference_else_by_label_else_there_is_no_row() -> None:
    def owner(pod: dict[str, Any]) -> UUID:
        return build_sample_row(pod, CONTEXT, reading(), None, lambda *_: False).sandbox_uid

    assert owner(make_pod()) == UUID(BOX_UID)
    labels = {"soulbox.dev/execution-uid": RUN_UID}
    assert owner(make_pod(metadata={"ownerReferences": [], "labels": labels})) == UUID(RUN_UID)
    foreign = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": str(uuid4())}]
    with pytest.raises(RowError):
        owner(make_pod(metadata={"ownerReferences": foreign, "labels": {}}))
