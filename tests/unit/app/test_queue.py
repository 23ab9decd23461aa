"""The work queue, in virtual time: one worker a key, newest wins, back-off, delays."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest

from soulbox.app.queue import QueueStatistics, Reconcile, WorkQueue
from soulbox.model.errors import (
    HostileReply,
    KubeConflict,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
    NotLeader,
    Terminal,
)
from soulbox.model.states import Kind
from soulbox.telemetry.metrics import Metrics
from tests.support.fix_clock import settle, virtual_time

pytestmark = pytest.mark.usefixtures("logged")

BOX = Kind.SANDBOX
RUN = Kind.EXECUTION


class Bench:
    """A queue and what its one reconciler was asked, by key and virtual time."""

    def __init__(self, work: Callable[[str], Awaitable[float | None]], workers: int) -> None:
        self.passes: defaultdict[str, list[float]] = defaultdict(list)
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self._work = work
        self.metrics = Metrics()
        reconcilers: dict[Kind, Reconcile] = {BOX: self._reconcile, RUN: self._reconcile}
        self.queue = WorkQueue(reconcilers, self.metrics, workers=workers)

    async def _reconcile(self, uid: str) -> float | None:
        self.passes[uid].append(asyncio.get_running_loop().time())
        self.at_once[uid] += 1
        self.most_at_once[uid] = max(self.most_at_once[uid], self.at_once[uid])
        try:
            return await self._work(uid)
        finally:
            self.at_once[uid] -= 1

    def waits(self, uid: str) -> list[float]:
        """Seconds between the passes of a key."""
        times = self.passes[uid]
        return [later - earlier for earlier, later in pairwise(times)]


@asynccontextmanager
async def working(
    work: Callable[[str], Awaitable[float | None]], *, workers: int = 4
) -> AsyncIterator[Bench]:
    bench = Bench(work, workers)
    task = asyncio.create_task(bench.queue.run())
    try:
        yield bench
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def nothing(_: str) -> float | None:
    """A pass with nothing to do."""
    return None


def failing(*errors: BaseException | None) -> Callable[[str], Awaitable[float | None]]:
    """Passes that fail so, one after the other; then they succeed."""
    left: defaultdict[str, list[BaseException | None]] = defaultdict(lambda: list(errors))

    async def work(uid: str) -> float | None:
        error = left[uid].pop(0) if left[uid] else None
        if error is not None:
            raise error
        return None

    return work


@virtual_time
async def test_key_added_many_times_is_worked_on_once() -> None:
    async with working(nothing) as bench:
        for _ in range(10):
            bench.queue.add(BOX, "u")
        await settle()
        assert len(bench.passes["u"]) == 1
        assert bench.queue.statistics() == QueueStatistics(0, 0, 0, 0)


@virtual_time
async def test_same_uid_of_two_kinds_is_two_keys() -> None:
    async with working(nothing) as bench:
        bench.queue.add(BOX, "u")
        bench.queue.add(RUN, "u")
        await settle()
        assert len(bench.passes["u"]) == 2


@virtual_time
async def test_one_worker_a_key_and_once_more_for_what_came_meanwhile() -> None:
    async def slow(_: str) -> None:
        await asyncio.sleep(1)

    async with working(slow) as bench:
        bench.queue.add(BOX, "u")
        await settle()
        for _ in range(5):
            bench.queue.add(BOX, "u")
            await settle()
        assert len(bench.passes["u"]) == 1
        await asyncio.sleep(10)
        assert len(bench.passes["u"]) == 2
        assert bench.most_at_once["u"] == 1


@virtual_time
async def test_keys_are_worked_on_at_once_up_to_the_number_of_workers() -> None:
    async def slow(_: str) -> None:
        await asyncio.sleep(1)

    async with working(slow, workers=3) as bench:
        for number in range(7):
            bench.queue.add(BOX, str(number))
        await settle()
        assert bench.queue.statistics().active == 3
        assert bench.queue.statistics().ready == 4
        await asyncio.sleep(3.5)
        assert len(bench.passes) == 7
        assert bench.queue.statistics() == QueueStatistics(0, 0, 0, 0)


@virtual_time
async def test_pass_that_asks_to_be_looked_at_later_is() -> None:
    async def once_more(_: str) -> float | None:
        return 30.0 if len(bench.passes["u"]) == 1 else None

    async with working(once_more) as bench:
        bench.queue.add(BOX, "u")
        await asyncio.sleep(29)
        assert bench.queue.statistics().delayed == 1
        await asyncio.sleep(3600)
        assert bench.waits("u") == [pytest.approx(30.0)]


@virtual_time
async def test_earlier_of_two_times_counts_and_a_negative_one_is_now() -> None:
    async with working(nothing) as bench:
        bench.queue.add_later(BOX, "u", 60)
        bench.queue.add_later(BOX, "u", 5)
        bench.queue.add_later(BOX, "u", 30)
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        assert bench.passes["u"] == [pytest.approx(start + 5)]
        bench.queue.add_later(BOX, "v", -1)
        await settle()
        assert len(bench.passes["v"]) == 1


@virtual_time
async def test_work_now_does_not_cancel_work_later() -> None:
    async with working(nothing) as bench:
        bench.queue.add_later(BOX, "u", 60)
        bench.queue.add(BOX, "u")
        await asyncio.sleep(61)
        assert len(bench.passes["u"]) == 2


@virtual_time
async def test_key_that_is_due_while_it_is_worked_on_is_worked_on_again() -> None:
    async def slow(_: str) -> None:
        await asyncio.sleep(2)

    async with working(slow) as bench:
        bench.queue.add(BOX, "u")
        bench.queue.add_later(BOX, "u", 1)
        await asyncio.sleep(10)
        assert bench.waits("u") == [pytest.approx(2.0)]
        assert bench.most_at_once["u"] == 1


FAILURES: dict[str, BaseException] = {
    "API server away": KubeUnavailable("503"),
    "refused": KubeRefused(403, "Forbidden", "no"),
    "hostile": HostileReply("no"),
    "a bug of ours": ZeroDivisionError("x"),
}


@pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES.keys())
@virtual_time
async def test_failure_comes_back_after_a_delay_that_doubles_to_a_minute(
    error: BaseException,
) -> None:
    async with working(failing(*[error] * 14)) as bench:
        bench.queue.add(BOX, "u")
        await settle()
        assert bench.queue.statistics().failing == 1
        await asyncio.sleep(3600)
        waits = bench.waits("u")
        assert len(waits) == 14
        for count, wait in enumerate(waits):
            base = min(60.0, 0.05 * 2**count)
            assert base * 0.5 <= wait <= base * 1.5, "half of it is jitter"
        assert bench.queue.statistics() == QueueStatistics(0, 0, 0, 0)


@virtual_time
async def test_keys_that_failed_together_do_not_come_back_together() -> None:
    async with working(failing(KubeUnavailable("503")), workers=64) as bench:
        for number in range(50):
            bench.queue.add(BOX, str(number))
        await asyncio.sleep(1)
        returned = {round(times[1], 6) for times in bench.passes.values()}
        assert len(returned) > 40


@virtual_time
async def test_success_makes_the_delay_short_again() -> None:
    error = KubeUnavailable("503")
    async with working(failing(error, error, error, None, error)) as bench:
        bench.queue.add(BOX, "u")
        await asyncio.sleep(60)
        assert bench.queue.statistics().failing == 0
        bench.queue.add(BOX, "u")
        await asyncio.sleep(60)
        assert bench.waits("u")[-1] <= 0.075


@virtual_time
async def test_delay_that_the_server_asks_for_is_kept() -> None:
    async with working(failing(KubeUnavailable("429", delay_seconds=7))) as bench:
        bench.queue.add(BOX, "u")
        await asyncio.sleep(60)
        assert bench.waits("u") == [pytest.approx(7.0)]


@virtual_time
async def test_conflict_is_observed_again_at_once_and_is_no_failure() -> None:
    async with working(failing(KubeConflict("409"), KubeConflict("409"))) as bench:
        bench.queue.add(BOX, "u")
        await settle()
        assert bench.queue.statistics().failing == 0
        await asyncio.sleep(1)
        assert bench.waits("u") == [pytest.approx(0.02), pytest.approx(0.02)]


def test_silent_leader_comes_back_to_its_objects_and_says_nothing_of_each(
    logged: list[MutableMapping[str, Any]],
) -> None:
    @virtual_time
    async def run() -> list[float]:
        async with working(failing(*[NotLeader("not now")] * 3)) as bench:
            bench.queue.add(BOX, "u")
            await asyncio.sleep(10)
            assert bench.queue.statistics().failing == 0
            return bench.waits("u")

    assert run() == [pytest.approx(1), pytest.approx(1), pytest.approx(1)]
    assert logged == []


@virtual_time
async def test_object_that_went_away_is_left_to_its_event() -> None:
    async with working(failing(KubeNotFound("404"))) as bench:
        bench.queue.add(BOX, "u")
        await asyncio.sleep(3600)
        assert len(bench.passes["u"]) == 1
        assert bench.queue.statistics() == QueueStatistics(0, 0, 0, 0)


CRASHES: dict[str, BaseException] = {
    "a bug of ours": ValueError("bad object"),
    "an end that no pass should have": Terminal("no"),
    "a task it waited for was cancelled": asyncio.CancelledError(),
}


@virtual_time
async def test_what_the_api_server_forbids_is_no_bug() -> None:
    error = KubeRefused(403, "Forbidden", "the namespace is being terminated")
    async with working(failing(error)) as bench:
        bench.queue.add(BOX, "a")
        await settle()
        text = bench.metrics.render().decode()
    assert 'soulbox_reconciles_total{kind="Sandbox",result="refused"} 1.0' in text
    assert 'soulbox_reconciles_total{kind="Sandbox",result="error"} 0.0' in text


@pytest.mark.parametrize("error", CRASHES.values(), ids=CRASHES.keys())
@virtual_time
async def test_reconciler_that_crashes_stops_nothing_else(error: BaseException) -> None:
    async def work(uid: str) -> float | None:
        if uid == "bad":
            raise error
        return None

    async with working(work, workers=2) as bench:
        for _ in range(5):  # more often than there are workers
            bench.queue.add(BOX, "bad")
            await asyncio.sleep(120)
        bench.queue.add(BOX, "good")
        await settle()
        assert len(bench.passes["good"]) == 1
        assert len(bench.passes["bad"]) >= 5


@virtual_time
async def test_queue_ends_when_it_is_cancelled_in_the_middle_of_a_pass() -> None:
    async def forever(_: str) -> None:
        await asyncio.sleep(1e9)

    async with working(forever) as bench:
        bench.queue.add(BOX, "u")
        await settle()
    assert bench.queue.statistics().active == 0


@virtual_time
async def test_passes_are_counted_by_how_they_ended() -> None:
    errors = (KubeConflict("1"), KubeNotFound("2"), KubeUnavailable("3"), ValueError("4"))
    async with working(failing(*errors)) as bench:
        for _ in range(6):
            bench.queue.add(RUN, "u")
            await asyncio.sleep(200)
        text = bench.metrics.render().decode()
    assert 'soulbox_reconciles_total{kind="Execution",result="retry"} 3.0' in text
    assert 'soulbox_reconciles_total{kind="Execution",result="error"} 1.0' in text
    assert 'soulbox_reconciles_total{kind="Execution",result="ok"}' in text
