"""Whose turn it is, from the cache: what is handed over in this moment counts too."""

from __future__ import annotations

from typing import Any

from soulbox.kinds.execution.decide.seen import Turn
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.objects import Objects
from soulbox.model.keys import DISPATCHED_ANNOTATION, SANDBOX_ANNOTATION
from soulbox.model.states import Kind
from tests.support.builders import make_execution, stored

BOX = ("default", "box")


class Bench:
    """A cache and its turns."""

    def __init__(self) -> None:
        self.cache = Objects()
        self.turns = Turns(self.cache.executions)
        self.version = 0

    def put(self, name: str, *, mark: str | None = None, state: str = "Queued", **spec: Any) -> str:
        """An Execution in this version; its uid is its name."""
        self.version += 1
        annotations = {} if mark is None else {DISPATCHED_ANNOTATION: mark}
        manifest = stored(
            make_execution(name, **spec),
            uid=name,
            resourceVersion=str(self.version),
            annotations=annotations,
        )
        self.cache.put(Kind.EXECUTION, {**manifest, "status": {"state": state}})
        return name

    def turn(self, name: str, room: int = 1) -> Turn | None:
        return self.turns.turn(name, BOX, room)


def test_place_and_room() -> None:
    bench = Bench()
    for name in ("one", "two", "three"):
        bench.put(name)
    assert bench.turn("two") == Turn(position=2, running=0, room=1)
    assert [bench.turn(name).is_now for name in ("one", "two")] == [True, False]  # type: ignore[union-attr]
    assert bench.turn("two", 2).is_now  # type: ignore[union-attr]
    assert bench.turns.first(BOX, 2) == ["one", "two"]
    assert bench.turn("nobody") is None


def test_who_was_handed_over_runs_and_has_no_place() -> None:
    bench = Bench()
    bench.put("one"), bench.put("two")
    bench.put("one", mark="pod/1")
    assert bench.turn("one") is None
    assert bench.turn("two") == Turn(position=1, running=1, room=1)
    assert not bench.turn("two").is_now  # type: ignore[union-attr]
    bench.put("one", mark="pod/1", state="Completed")
    assert bench.turn("two").is_now  # type: ignore[union-attr]


def test_lost_one_waits_again() -> None:
    bench = Bench()
    bench.put("one", mark="/1")
    assert bench.turn("one") == Turn(position=1, running=0, room=1)


def test_claim_takes_the_place_before_the_annotation_is_there() -> None:
    bench = Bench()
    bench.put("one"), bench.put("late", priority=5)
    bench.turns.claim("one", BOX, "")
    assert not bench.turn("late").is_now  # type: ignore[union-attr]
    bench.turns.settle("one", BOX)
    assert bench.turn("late").is_now, "the write failed: nobody runs"  # type: ignore[union-attr]


def test_who_is_being_deleted_waits_for_nothing() -> None:
    bench = Bench()
    bench.put("one")
    bench.put("two")
    manifest = dict(bench.cache.get(Kind.EXECUTION, "one") or {})
    metadata = {
        **manifest["metadata"],
        "deletionTimestamp": "2026-01-02T03:04:05Z",
        "resourceVersion": "99",
        "finalizers": ["x"],
    }
    bench.cache.put(Kind.EXECUTION, {**manifest, "metadata": metadata})
    assert bench.turn("two") == Turn(position=1, running=0, room=1)


def test_status_of_one_that_waits_does_not_reorder_the_queue() -> None:
    bench = Bench()
    bench.put("one"), bench.put("two")
    told: list[object] = []
    bench.cache.executions.follow(lambda *change: told.append(change))
    bench.put("two")
    assert told == []
    bench.cache.executions.follow(bench.turns._look)
    bench.cache.remove(Kind.EXECUTION, "one")
    assert bench.turns.first(BOX, 5) == ["two"]
    bench.cache.remove(Kind.EXECUTION, "two")
    assert bench.turns.first(BOX, 5) == []
    assert bench.turns._lines == {}


def test_turns_of_a_sandbox_that_is_gone_are_forgotten() -> None:
    bench = Bench()
    bench.put("a0", user="a"), bench.put("b0", user="b")
    bench.turns.claim("x", BOX, "a")
    bench.turns.settle("x", BOX)
    assert bench.turns.first(BOX, 2) == ["b0", "a0"]
    bench.turns.forget(BOX)
    assert bench.turns.first(BOX, 2) == ["a0", "b0"]
    bench.turns.claim("x", BOX, "a")
    bench.turns.settle("x", BOX)
    for name in ("a0", "b0"):
        bench.cache.remove(Kind.EXECUTION, name)
    assert bench.turns._lines[BOX].has_served, "it may get others"
    bench.turns.forget(BOX)
    assert bench.turns._lines == {}


def test_who_cannot_run_holds_no_place_until_it_can() -> None:
    bench = Bench()
    for name in ("one", "two", "three"):
        bench.put(name)
    assert bench.turns.set_aside("one", BOX)
    assert not bench.turns.set_aside("one", BOX), "no news"
    assert bench.turn("one") is None
    assert bench.turn("two") == Turn(position=1, running=0, room=1)
    bench.turns.take_back("one", BOX)
    assert bench.turns.first(BOX, 3) == ["one", "two", "three"]


def test_nothing_is_remembered_of_who_was_set_aside_and_ended() -> None:
    bench = Bench()
    bench.put("one")
    bench.turns.set_aside("one", BOX)
    bench.turns.drop("one")
    assert bench.turn("one") == Turn(position=1, running=0, room=1)


def test_calls_leave_nothing_behind_in_the_index_and_the_turns() -> None:
    bench = Bench()
    call = {"functionRef": {"name": "resize"}, "sandboxRef": None, "code": None}
    bench.put("call", user="a", **call)
    queue = ("default", "resize@")
    assert bench.cache.executions.call_queues("default", "resize") == [queue]
    bench.turns.claim("call", BOX, "a", queue)
    bench.turns.settle("call", BOX, queue)
    assert bench.turns._lines[queue].has_served
    bench.cache.remove(Kind.EXECUTION, "call")
    assert bench.turns._lines == {}
    assert not bench.cache.executions._calls


def test_call_that_was_copied_or_lost_waits_with_the_others() -> None:
    bench = Bench()
    call = {"functionRef": {"name": "resize"}, "sandboxRef": None, "code": None}
    for name, mark in (("copy", "pod/1/another"), ("lost", "/1/lost"), ("runs", "pod/1/runs")):
        manifest = stored(make_execution(name, **call), uid=name)
        manifest["metadata"]["annotations"] = {DISPATCHED_ANNOTATION: mark, SANDBOX_ANNOTATION: "x"}
        bench.cache.put(Kind.EXECUTION, manifest)
    waiting = bench.cache.executions.unfinished("default", "resize@")
    assert [one["metadata"]["uid"] for one in waiting] == ["copy", "lost"]
