"""Following a run, in virtual time: started once, asked until it ends, never spun on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest

from soulbox.box.transport import PodAddress
from soulbox.kinds.execution.decide.seen import RunProblem
from soulbox.kinds.execution.runs import RunFollower
from soulbox.model.errors import HostileReply, RunnerUnavailable
from soulbox.model.runs import RunDocument
from soulbox.model.states import Kind, RunState
from tests.support.fix_clock import settle, virtual_time
from tests.support.scripted_runner import Answer, ScriptedRunner, refused
from tests.support.seen import make_finished, make_run, make_start_run

UID = "u1"
POD = PodAddress(uid="p", ip="127.0.0.1")
REQUEST = make_start_run()
RUNNING = make_run(uid=UID)
FINISHED = make_finished(uid=UID)
AWAY = RunnerUnavailable("no connection")


class Bench:
    """A follower of one scripted runner."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.runner = ScriptedRunner(seconds=seconds)
        self.woken: list[tuple[Kind, str]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.runs = RunFollower(
            self.runner,  # type: ignore[arg-type]
            wake=lambda kind, uid: self.woken.append((kind, uid)),
            spawn=self._spawn,
            poll_seconds=30.0,
        )

    def _spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self.tasks.append(task)
        return task

    def start(self) -> None:
        self.runs.follow(UID, POD, 1, REQUEST)

    def listen(self) -> None:
        self.runs.follow(UID, POD, 1, None)

    async def close(self) -> None:
        self.runs.forget(UID)
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def kinds(self) -> list[str]:
        return [call.what for call in self.runner.calls]


@virtual_time
async def test_run_that_ends_at_once_takes_one_call() -> None:
    bench = Bench()
    bench.runner.script("start", FINISHED)
    assert bench.runs.newest(UID) is None
    bench.start()
    await settle()
    assert bench.kinds == ["start"]
    assert bench.runner.calls[0].request == REQUEST
    assert bench.runner.calls[0].wait_seconds == 1.0
    assert bench.runs.newest(UID) is FINISHED
    assert bench.woken == [(Kind.EXECUTION, UID)]
    assert bench.runs.active == 0


@virtual_time
async def test_run_that_lasts_is_listened_to_with_the_long_poll() -> None:
    bench = Bench(seconds=1.0)
    bench.runner.script("start", RUNNING)
    bench.runner.script("get", RUNNING, RUNNING, FINISHED)
    bench.start()
    await asyncio.sleep(0.5)
    assert bench.runs.active == 1
    await asyncio.sleep(60)
    assert bench.kinds == ["start", "get", "get", "get"]
    assert {call.wait_seconds for call in bench.runner.said("get")} == {30.0}
    assert bench.runs.newest(UID) is FINISHED
    assert len(bench.woken) == 4


@virtual_time
async def test_listening_asks_at_once_first_and_then_waits() -> None:
    bench = Bench(seconds=1.0)
    bench.runner.script("get", RUNNING, FINISHED)
    bench.listen()
    await asyncio.sleep(60)
    assert [call.wait_seconds for call in bench.runner.said("get")] == [0.0, 30.0]
    assert bench.runner.said("start") == []


@pytest.mark.parametrize("code", ["Busy", "TableFull"])
@virtual_time
async def test_runner_that_has_no_room_is_asked_again_to_start(code: str) -> None:
    bench = Bench()
    bench.runner.script("start", refused(code, 429), refused(code, 429), FINISHED)
    bench.start()
    await asyncio.sleep(60)
    assert bench.kinds == ["start"] * 3
    assert bench.runs.newest(UID) is FINISHED


@virtual_time
async def test_runner_that_is_away_is_asked_with_pauses_that_double_to_two_seconds() -> None:
    bench = Bench()
    bench.runner.script("start", *[AWAY] * 12, FINISHED)
    bench.start()
    await asyncio.sleep(60)
    times = [call.at for call in bench.runner.calls]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses == [pytest.approx(min(2.0, 0.02 * 2**n)) for n in range(12)]
    assert bench.runs.newest(UID) is FINISHED
    assert bench.woken == [(Kind.EXECUTION, UID)], "nothing was heard before"


@virtual_time
async def test_word_from_the_runner_makes_the_pauses_short_again() -> None:
    bench = Bench()
    bench.runner.script("start", RUNNING)
    bench.runner.script("get", *[AWAY] * 8, RUNNING, AWAY, FINISHED)
    bench.start()
    await asyncio.sleep(120)
    times = [call.at for call in bench.runner.said("get")]
    assert times[-1] - times[-2] == pytest.approx(0.02)


@virtual_time
async def test_start_that_conflicts_is_a_run_that_is_known_and_is_listened_to() -> None:
    bench = Bench()
    bench.runner.script("start", refused("Conflict"))
    bench.runner.script("get", FINISHED)
    bench.start()
    await asyncio.sleep(60)
    assert bench.kinds == ["start", "get"]
    assert bench.runs.newest(UID) is FINISHED


PROBLEMS: dict[str, tuple[str, str, bool]] = {
    # code: (reason, words, whether no code has run)
    "NotFound": ("Lost", "the code was not started", True),
    "Released": ("Lost", "let go of the run's result", False),
    "Invalid": ("StartFailed", "refused the run (Invalid): is Invalid", False),
    "ClockSkew": ("StartFailed", "refused the run (ClockSkew)", False),
}


@pytest.mark.parametrize("code", PROBLEMS)
@virtual_time
async def test_refusal_that_no_repetition_cures_is_a_problem(code: str) -> None:
    want_reason, want_words, want_never_started = PROBLEMS[code]
    bench = Bench()
    bench.runner.script("get", refused(code, 400))
    bench.listen()
    await asyncio.sleep(60)
    assert bench.kinds == ["get"]
    problem = bench.runs.newest(UID)
    assert isinstance(problem, RunProblem)
    assert problem.reason == want_reason
    assert want_words in problem.message
    assert problem.never_started is want_never_started
    assert bench.woken == [(Kind.EXECUTION, UID)]


@virtual_time
async def test_three_hostile_replies_lose_the_run() -> None:
    bench = Bench()
    bench.runner.script("start", HostileReply("it is about another run"))
    bench.start()
    await asyncio.sleep(60)
    assert bench.kinds == ["start"] * 3
    problem = bench.runs.newest(UID)
    assert isinstance(problem, RunProblem)
    assert problem.reason == "Lost"
    assert problem.message == "it is about another run"
    assert not problem.never_started


@virtual_time
async def test_hostile_replies_with_good_ones_between_lose_nothing() -> None:
    bench = Bench()
    bad = HostileReply("cut")
    bench.runner.script("start", bad, bad, RUNNING)
    bench.runner.script("get", bad, bad, RUNNING, bad, FINISHED)
    bench.start()
    await asyncio.sleep(60)
    assert bench.runs.newest(UID) is FINISHED


@virtual_time
async def test_following_twice_is_following_once() -> None:
    bench = Bench(seconds=5.0)
    bench.runner.script("start", FINISHED)
    bench.start()
    bench.start()
    await settle()
    bench.start()
    assert len(bench.tasks) == 1
    await asyncio.sleep(10)
    bench.start()
    assert len(bench.tasks) == 1, "it is over"


@virtual_time
async def test_leave_to_start_that_is_taken_away_stops_starting() -> None:
    bench = Bench()
    bench.runner.script("start", AWAY)
    bench.runner.script("get", refused("NotFound", 404))
    bench.start()
    await asyncio.sleep(5)
    before = len(bench.runner.said("start"))
    assert before > 1
    bench.listen()
    await asyncio.sleep(60)
    assert len(bench.runner.said("start")) == before
    problem = bench.runs.newest(UID)
    assert isinstance(problem, RunProblem)
    assert problem.never_started


@virtual_time
async def test_run_of_an_execution_that_ended_is_never_started_any_more() -> None:
    bench = Bench()
    bench.runner.script("start", AWAY)
    bench.runner.script("get", refused("NotFound", 404))
    bench.start()
    await asyncio.sleep(5)
    before = len(bench.runner.said("start"))
    bench.runs.never_start(UID)
    bench.runs.never_start(UID)
    await asyncio.sleep(60)
    assert len(bench.runner.said("start")) == before
    assert len(bench.tasks) == 2
    bench.runs.never_start("another")


@virtual_time
async def test_following_counts_from_the_first_word_whatever_is_told_later() -> None:
    bench = Bench(seconds=1.0)
    bench.runner.script("start", RUNNING)
    bench.runner.script("get", RUNNING)
    assert bench.runs.followed_seconds(UID) is None
    bench.start()
    await asyncio.sleep(21)
    assert bench.runs.followed_seconds(UID) == pytest.approx(20.0)
    assert (bench.runs.silent_seconds(UID) or 0.0) < 2.0
    await bench.close()
    assert bench.runs.followed_seconds(UID) is None


@virtual_time
async def test_leave_to_start_is_never_given_back_to_who_listens() -> None:
    bench = Bench(seconds=10.0)
    bench.runner.script("get", FINISHED)
    bench.listen()
    await settle()
    bench.start()
    await asyncio.sleep(60)
    assert bench.kinds == ["get"]


@pytest.mark.parametrize("heard", [FINISHED, RunProblem(reason="Lost", message="x")])  # type: ignore[arg-type]
@virtual_time
async def test_run_that_is_over_is_not_followed_again(heard: Answer) -> None:
    bench = Bench()
    bench.runner.script("start", heard if isinstance(heard, RunDocument) else refused("Released"))
    bench.start()
    await asyncio.sleep(60)
    calls = len(bench.runner.calls)
    bench.start()
    bench.listen()
    await asyncio.sleep(60)
    assert len(bench.runner.calls) == calls


@virtual_time
async def test_task_that_was_lost_is_made_again_by_the_next_pass() -> None:
    bench = Bench(seconds=1.0)
    bench.runner.script("start", RUNNING)
    bench.runner.script("get", FINISHED)
    bench.start()
    await asyncio.sleep(0.5)
    bench.tasks[0].cancel()
    await settle()
    assert bench.runs.active == 0
    bench.start()
    await asyncio.sleep(60)
    assert bench.runs.newest(UID) is FINISHED


@virtual_time
async def test_forgetting_ends_the_task_and_what_was_heard() -> None:
    bench = Bench(seconds=1.0)
    bench.runner.script("start", RUNNING)
    bench.runner.script("get", RUNNING)
    bench.start()
    await asyncio.sleep(5)
    assert bench.runs.active == 1
    await bench.close()
    assert bench.runs.newest(UID) is None
    assert bench.runs.active == 0
    bench.runs.forget("never heard of")


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.ACCEPTED])
@virtual_time
async def test_runner_that_does_not_wait_as_asked_is_not_asked_without_end(
    state: RunState,
) -> None:
    bench = Bench(seconds=0.001)
    document = make_run(uid=UID, state=state)
    bench.runner.script("start", document)
    bench.runner.script("get", document)
    bench.start()
    await asyncio.sleep(10)
    assert len(bench.runner.calls) <= 50
    assert len(bench.woken) <= 50
    await bench.close()
