"""Calls of Functions that get no Sandbox, or whose Sandbox is about to end: none waits without end,
and none is given to a Sandbox that ends before it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from soulbox.judge.verdicts import Outcome, Verdict
from soulbox.model.errors import JudgeUnavailable
from soulbox.model.runs import ResultValue
from soulbox.model.states import Kind
from soulbox.reconcile.failing import Failure
from tests.support.builders import make_execution, make_function
from tests.support.fake_api import Refusal
from tests.support.fix_clock import settle
from tests.support.reconciling import NAMESPACE, Bench, uid_of, working
from tests.support.seen import make_finished

# More than are woken at once.
CROWD = 20
PASSES = 2_000
QUOTA = Refusal(403, "Forbidden", "exceeded quota: boxes, requested: count=1, limited: count=0")
SECURITY = Refusal(403, "Forbidden", 'violates PodSecurity "restricted:latest": seccompProfile')
PULLING: dict[str, Any] = {
    "status": {
        "phase": "Pending",
        "containerStatuses": [
            {
                "name": "runner",
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
            }
        ],
    }
}


def add_call(bench: Bench, name: str = "call", **spec: Any) -> str:
    spec = {"functionRef": {"name": "resize"}, "sandboxRef": None, "code": None} | spec
    return uid_of(bench.api.add("executions", make_execution(name, NAMESPACE, **spec)))


def told(bench: Bench, name: str = "call") -> tuple[str, str]:
    status = bench.execution(name)["status"]
    return str(status["state"]), str(status.get("reason"))


def boxes(bench: Bench) -> list[str]:
    return bench.api.named("sandboxes")


async def published(bench: Bench, lifetime: int = 100, **spec: Any) -> str:
    """A Function whose Sandboxes live that long; its uid."""
    bench.add_class(max={"lifetimeSeconds": lifetime})
    uid = uid_of(bench.api.add("functions", make_function("resize", NAMESPACE, **spec)))
    await bench.settle()
    return uid


async def run_pods(bench: Bench) -> None:
    """Those that were made begin."""
    for name in bench.api.named("pods"):
        if "phase" not in bench.api.get("pods", NAMESPACE, name).get("status", {}):
            bench.api.run_pod(name)
    await bench.settle(passes=PASSES)


async def busy(bench: Bench, **spec: Any) -> tuple[str, str]:
    """A call that goes on in the Function's one Sandbox; its uid and the Sandbox's name."""
    await published(bench, **spec)
    uid = add_call(bench, "first")
    await bench.settle()
    bench.runner.never_ends()
    await run_pods(bench)
    assert bench.runner.begun == [uid]
    (box,) = boxes(bench)
    return uid, box


REFUSED = {
    "no room for a Sandbox": ("sandboxes", QUOTA, "QuotaExceeded", "exceeded quota: boxes"),
    "Sandboxes are forbidden": ("sandboxes", SECURITY, "StartFailed", "violates PodSecurity"),
    "no room for its pod": ("pods", QUOTA, "QuotaExceeded", "exceeded quota: boxes"),
    "its pod is forbidden": ("pods", SECURITY, "StartFailed", "violates PodSecurity"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_calls_whose_sandbox_is_refused_for_ever_end_with_its_words(
    bench: Bench, case: tuple[str, Refusal, str, str]
) -> None:
    what, refusal, reason, words = case
    bench.api.refuse("create", what, refusal, times=100_000)
    await published(bench)
    names = [f"call-{number}" for number in range(CROWD)]
    for name in names:
        add_call(bench, name)
    await bench.settle(passes=PASSES)
    for _ in range(11):
        await bench.elapse(5)
        assert told(bench, names[0])[0] == "Queued"
    add_call(bench, "late")
    await bench.settle(passes=PASSES)
    for _ in range(3):
        bench.advance(5)
        for key in list(bench.keys.later):
            if bench.keys.later[key] <= 5:
                bench.keys.add(*key)
        await bench.settle(passes=PASSES)
    assert {told(bench, name) for name in names} == {("Failed", reason)}
    assert words in bench.execution(names[0])["status"]["message"]
    assert told(bench, "late")[0] == "Queued", "it has a minute of its own"


async def test_call_whose_image_cannot_be_pulled_ends(bench: Bench) -> None:
    await published(bench)
    add_call(bench)
    await bench.settle()
    bench.api.edit("pods", NAMESPACE, bench.pod_name, PULLING)
    for _ in range(14):
        await bench.elapse(5)
    assert told(bench) == ("Failed", "ImagePullFailed")
    assert "no such image" in bench.execution("call")["status"]["message"]


async def test_full_quota_is_waited_for_as_long_as_the_call_says(bench: Bench) -> None:
    bench.api.refuse("create", "sandboxes", QUOTA, times=100_000)
    await published(bench)
    add_call(bench, queueTimeoutSeconds=120)
    await bench.settle()
    for _ in range(20):
        await bench.elapse(5)
    assert told(bench)[0] == "Queued"
    for _ in range(5):
        await bench.elapse(5)
    assert told(bench) == ("Timeout", "QueueTimeout")


async def test_call_of_a_function_whose_passes_fail_ends_with_their_words(bench: Bench) -> None:
    function_uid = await published(bench)
    function = bench.cache.get(Kind.FUNCTION, function_uid)
    assert function is not None
    uid = add_call(bench)
    bench.watch()
    for second in range(0, 61, 5):
        words = "the webhook answers nobody"
        failure = Failure(words=words, seconds=second, is_due=False)
        await bench.controllers.failing[Kind.FUNCTION].actions_of_failing(function, failure)
        await bench.reconcile(Kind.EXECUTION, uid)
        assert told(bench)[0] == ("Queued" if second < 60 else "Failed")
        bench.advance(5)
    assert told(bench) == ("Failed", "StartFailed")
    assert words in bench.execution("call")["status"]["message"]


async def test_no_call_is_given_to_a_sandbox_that_ends_before_it(bench: Bench) -> None:
    """100 s of life, calls of 30 s, ten to hand over: none in the last 40."""
    first, box = await busy(bench)
    await bench.elapse(55)
    second = add_call(bench, "second")
    await bench.settle()
    await bench.elapse(7)
    await run_pods(bench)
    assert bench.runner.begun == [first, second]
    successor = bench.execution("second")["metadata"]["annotations"]["soulbox.dev/sandbox"]
    assert successor != box
    assert boxes(bench) == sorted([box, successor]), "what runs there goes on"
    bench.runner.end(first, make_finished())
    await bench.settle()
    await bench.elapse(1)
    assert bench.api.get("sandboxes", NAMESPACE, box)["metadata"].get("deletionTimestamp")
    assert told(bench, "first")[0] == "Completed"


async def test_idle_sandbox_that_is_always_kept_is_followed_before_its_end(bench: Bench) -> None:
    await published(bench, scale={"min": 1})
    await run_pods(bench)
    (box,) = boxes(bench)
    await bench.elapse(61)
    await run_pods(bench)
    left = [
        name
        for name in boxes(bench)
        if "deletionTimestamp" not in bench.api.get("sandboxes", NAMESPACE, name)["metadata"]
    ]
    assert left
    assert box not in left


async def test_calls_longer_than_half_a_life_are_given_to_young_sandboxes(bench: Bench) -> None:
    await published(bench, timeoutSeconds=99)
    uid = add_call(bench)
    await bench.settle()
    await run_pods(bench)
    assert bench.runner.begun == [uid]


async def test_new_version_is_called_while_the_old_one_ends_its_calls(bench: Bench) -> None:
    first, old = await busy(bench, lifetime=86_400)
    bench.api.edit("functions", NAMESPACE, "resize", {"spec": {"code": "def main(x): return 2"}})
    await bench.settle()
    second = add_call(bench, "second")
    await bench.settle()
    await run_pods(bench)
    assert bench.runner.begun == [first, second]
    bench.api.edit("functions", NAMESPACE, "resize", {"spec": {"code": "def main(x): return 3"}})
    await bench.settle()
    third = add_call(bench, "third")
    await bench.settle()
    await bench.elapse(2)
    assert len(boxes(bench)) == 2, "scale.max is 1"
    message = bench.execution("third")["status"]["message"]
    assert (
        "it has none of this version yet; those of others count towards spec.scale.max" in message
    )
    bench.runner.end(first, make_finished())
    await bench.settle()
    await bench.elapse(1)
    assert bench.api.get("sandboxes", NAMESPACE, old)["metadata"].get("deletionTimestamp")
    await run_pods(bench)
    assert bench.runner.begun == [first, second, third]


async def test_sandbox_that_is_being_deleted_takes_no_call(bench: Bench) -> None:
    """The API server is slow, the watch late: nothing but the operator knows yet."""
    await published(bench, lifetime=86_400, scale={"max": 2})
    for name in ("one", "two"):
        add_call(bench, name)
    await bench.settle()
    bench.runner.never_ends()
    await run_pods(bench)
    for uid in list(bench.runner.begun):
        bench.runner.end(uid, make_finished())
    await bench.settle()
    kept, gone = boxes(bench)
    deleted = Refusal(500, "InternalError", "it will be, later")
    bench.api.refuse("delete", "sandboxes", deleted, times=100)
    bench.api.edit("functions", NAMESPACE, "resize", {"spec": {"scale": {"max": 1}}})
    with pytest.raises(Exception, match="later"):
        await bench.settle()
    for name in ("three", "four"):
        add_call(bench, name)
    bench.watch()
    bench.keys.ready = {key: None for key in bench.keys.ready if key[0] is Kind.EXECUTION}
    for kind, uid in list(bench.keys.ready):
        await bench.reconcile(kind, uid)
    places = [
        bench.execution(name)["metadata"].get("annotations", {}).get("soulbox.dev/sandbox")
        for name in ("three", "four")
    ]
    assert places == [kept, None], gone


async def test_malformed_function_does_not_stop_versions_that_were_published(bench: Bench) -> None:
    await published(bench)
    bench.api.edit("functions", NAMESPACE, "resize", {"spec": {"timeoutSeconds": "soon"}})
    await bench.settle()
    function = bench.api.get("functions", NAMESPACE, "resize")
    assert function["status"]["reason"] == "InvalidSpec"
    uid = add_call(bench)
    await bench.settle()
    await run_pods(bench)
    assert bench.runner.begun == [uid]
    assert told(bench)[0] == "Completed"
    bench.api.edit("functions", NAMESPACE, "resize", {"spec": {"scale": {"max": "two"}}})
    await bench.settle()
    add_call(bench, "another")
    await bench.settle()
    assert told(bench, "another") == ("Failed", "InvalidSpec"), "nobody knows how many"


class AwayJudge:
    """Answers never, or cannot be started."""

    def __init__(self) -> None:
        self.is_away = False

    async def check_schema(self, *_: Any, **__: Any) -> Any:
        if self.is_away:
            raise JudgeUnavailable("it cannot be started")
        await asyncio.Event().wait()


async def settle_without(bench: Bench) -> None:
    """As `Bench.settle`; passes that fail for want of the judge are not tried again."""
    for _ in range(PASSES):
        await settle(10)
        bench.watch()
        if not bench.keys.ready:
            return
        key = next(iter(bench.keys.ready))
        del bench.keys.ready[key]
        with contextlib.suppress(JudgeUnavailable):
            await bench.reconcile(*key)


@pytest.mark.parametrize("is_away", [True, False])
async def test_published_version_is_called_while_the_next_one_is_not_judged(
    tmp_path: Path, is_away: bool
) -> None:
    judge = AwayJudge()
    judge.is_away = is_away
    async with working(tmp_path, judge=judge) as bench:
        await published(bench)
        change = {"spec": {"inputSchema": {"type": "object"}}}
        bench.api.edit("functions", NAMESPACE, "resize", change)
        uid = add_call(bench)
        await settle_without(bench)
        bench.api.run_pod(bench.pod_name)
        await settle_without(bench)
        assert bench.runner.begun == [uid]
        assert bench.execution("call")["status"]["functionVersion"] == "1"


class LostJudge:
    """Judges inputs, and then cannot be started or says nothing."""

    def __init__(self, *, says_nothing: bool) -> None:
        self.says_nothing = says_nothing
        self.asked = 0

    async def check_schema(self, *_: Any, **__: Any) -> Verdict:
        return Verdict(outcome=Outcome.GOOD)

    async def validate(self, *_: Any, **__: Any) -> Verdict:
        self.asked += 1
        if self.says_nothing:
            await asyncio.Event().wait()
        raise JudgeUnavailable("its process cannot be started: no memory")


async def test_call_whose_input_is_never_judged_ends(tmp_path: Path) -> None:
    """A judge that says nothing fails no pass: nobody else counts how long that is so."""
    async with working(tmp_path, judge=LostJudge(says_nothing=True)) as bench:
        await published(bench, inputSchema={"type": "object"})
        add_call(bench, input={})
        await bench.settle()
        for _ in range(11):
            await bench.elapse(5)
        assert told(bench)[0] == "Queued"
        for _ in range(3):
            await bench.elapse(5)
        assert told(bench) == ("Failed", "StartFailed")
        message = bench.execution("call")["status"]["message"]
        assert "could not be judged by inputSchema: the judge gave no answer for 6" in message
        assert boxes(bench) == []


@pytest.mark.parametrize("says_nothing", [True, False])
async def test_finished_call_does_not_wait_for_a_lost_judge_for_ever(
    tmp_path: Path, says_nothing: bool
) -> None:
    judge = LostJudge(says_nothing=says_nothing)
    async with working(tmp_path, judge=judge) as bench:
        await published(bench, lifetime=86_400, outputSchema={"type": "object"})
        add_call(bench)
        await bench.settle()
        bench.runner.outcome = make_finished(left=ResultValue({"a": 1}))
        await run_pods(bench)
        for _ in range(59):
            await bench.elapse(1)
        assert told(bench)[0] == "Queued"
        assert judge.asked <= 8, "a judge that cannot be started is asked less and less often"
        for _ in range(16):
            await bench.elapse(1)
        status = bench.execution("call")["status"]
        assert (status["state"], status["result"]) == ("Completed", {"a": 1})
        words = "gave no answer" if says_nothing else "no memory"
        assert "Its result was not judged by outputSchema" in status["message"]
        assert words in status["message"]
        (judged,) = [one for one in status["conditions"] if one["type"] == "ResultJudged"]
        assert (judged["status"], judged["reason"]) == ("False", "ResultUnjudged")
        assert ("Warning", "ResultUnjudged") in bench.posted()
        assert b"soulbox_results_unjudged_total 1.0" in bench.metrics.render()


async def test_refusal_of_a_pod_of_its_own_is_none_of_its_function_s_sandboxes(
    bench: Bench,
) -> None:
    await published(bench, scale={"max": 0})
    bench.api.refuse("create", "pods", SECURITY, times=3)
    add_call(bench)
    await bench.settle()
    bench.api.stop_refusing()
    bench.api.edit("functions", NAMESPACE, "resize", {"spec": {"scale": {"max": 1}}})
    await bench.settle()
    for _ in range(14):
        await bench.elapse(5)
    assert told(bench)[0] == "Queued", "its Sandbox starts, slowly"
    await run_pods(bench)
    assert told(bench)[0] == "Completed"
