"""Turns, and what is remembered of whom."""

from __future__ import annotations

import pytest

from soulbox.judge import limits
from soulbox.judge.fair import Ask, FairQueue, Recent
from soulbox.model.errors import JudgeUnavailable


def ask(owner: str, name: str = "") -> Ask:
    return Ask(owner=owner, header=name.encode(), subject=b"", document=b"")


async def test_owners_take_turns_and_keep_their_own_order() -> None:
    queue = FairQueue()
    for name in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(ask(name[0], name))
    served = [(await queue.get()).header.decode() for _ in range(6)]
    assert served == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert len(queue) == 0


async def test_newcomer_comes_before_the_next_of_a_crowd() -> None:
    queue = FairQueue()
    for number in range(3):
        queue.put(ask("crowd", f"crowd{number}"))
    assert (await queue.get()).header == b"crowd0"
    queue.put(ask("new", "new"))
    assert [(await queue.get()).header for _ in range(3)] == [b"new", b"crowd1", b"crowd2"]


async def test_too_many_of_one_owner_are_sent_away_and_others_are_not() -> None:
    queue = FairQueue()
    asks = [ask("crowd") for _ in range(limits.WAITING_OF_ONE + 1)]
    for one in asks:
        queue.put(one)
    with pytest.raises(JudgeUnavailable, match="too much waits"):
        await asks[-1].answer
    assert not any(one.answer.done() for one in asks[:-1])
    queue.put(other := ask("other"))
    assert not other.answer.done()
    assert len(queue) == limits.WAITING_OF_ONE + 1


async def test_asks_of_one_owner_can_be_taken_away() -> None:
    queue = FairQueue()
    for name in ("a1", "b1", "a2"):
        queue.put(ask(name[0], name))
    assert [one.header for one in queue.take("a")] == [b"a1", b"a2"]
    assert not queue.take("nobody")
    assert len(queue) == 1
    assert (await queue.get()).header == b"b1"


async def test_all_that_wait_fail_together() -> None:
    queue = FairQueue()
    asks = [ask("a"), ask("b")]
    for one in asks:
        queue.put(one)
    asks[0].answer.cancel()  # its caller has gone
    queue.fail(JudgeUnavailable("the operator ends"))
    with pytest.raises(JudgeUnavailable, match="the operator ends"):
        await asks[1].answer
    assert len(queue) == 0
    # A child that could not start may start for the next.
    queue.put(later := ask("a"))
    assert not later.answer.done()
    queue.close(JudgeUnavailable("closed"))
    queue.put(last := ask("b"))
    for one in (later, last):
        with pytest.raises(JudgeUnavailable, match="closed"):
            await one.answer


def test_what_is_remembered_is_forgotten_by_time_and_by_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REMEMBERED", 2)
    now = 0.0
    recent: Recent[int] = Recent(lambda: now)
    recent.put("a", 1)
    now = 1.0
    recent.put("b", 2)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, 2, None)
    recent.put("c", 3)
    assert recent.get("a") is None, "the oldest made room"
    now = 1.0 + limits.REMEMBERED_SECONDS
    assert recent.get("b") is None
    assert len(recent) == 0
    recent.put("b", 4)
    now += limits.REMEMBERED_SECONDS - 1
    recent.put("b", 5)  # seen again: remembered from now on
    now += 2
    assert recent.get("b") == 5
