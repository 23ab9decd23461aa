"""Which of those that wait for one Sandbox comes next."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kinds.execution.decide.queueing import Waiting, order_queue


@dataclass(frozen=True)
class Case:
    """`waiting`: first come first, as "user" or "user+priority"; they are called a0, a1, …
    by user and arrival."""

    waiting: str
    want: str
    running: dict[str, int] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)


def queue(words: str) -> list[Waiting]:
    """ "a b a+5" as Waiting of uids a0, b0, a1."""
    found: list[Waiting] = []
    for word in words.split():
        user, _, priority = word.partition("+")
        number = sum(one.user == user for one in found)
        found.append(Waiting(uid=f"{user}{number}", user=user, priority=int(priority or 0)))
    return found


CASES = {
    "nobody waits": Case("", ""),
    "one user: first come, first served": Case("a a a", "a0 a1 a2"),
    "the higher priority first": Case("a+0 a+5 a+-5", "a1 a0 a2"),
    "equal priorities keep their order": Case("a+5 a+0 a+5", "a0 a2 a1"),
    "users take turns, however many one has": Case("a a a a b", "a0 b0 a1 a2 a3"),
    "who was served longer ago comes first": Case("a a b", "b0 a0 a1", served={"a": 1}),
    "two that were served take turns": Case("a b", "b0 a0", served={"a": 2, "b": 1}),
    "who runs already comes after who does not": Case("a b", "b0 a0", running={"a": 1}),
    "priority is stronger than turns": Case("a+1 b", "a0 b0", running={"a": 3}, served={"a": 9}),
    "turns are taken within a priority": Case("a+1 a a b", "a0 a1 b0 a2"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_order_of_the_queue(case: Case) -> None:
    assert order_queue(queue(case.waiting), case.running, case.served) == case.want.split()


@given(
    st.lists(
        st.builds(
            Waiting,
            uid=st.uuids().map(str),
            user=st.sampled_from("abc"),
            priority=st.integers(-100, 100),
        ),
        unique_by=lambda one: one.uid,
    )
)
def test_everybody_is_in_the_order_once_and_priorities_fall(waiting: list[Waiting]) -> None:
    order = order_queue(waiting, {}, {})
    assert sorted(order) == sorted(one.uid for one in waiting)
    priority = {one.uid: one.priority for one in waiting}
    assert [priority[uid] for uid in order] == sorted(priority.values(), reverse=True)


def test_a_crowd_of_one_user_holds_another_up_for_one_turn_only() -> None:
    """Played to the end: each turn the first is served."""
    waiting = queue("a " * 50 + "b b b")
    served: dict[str, int] = {}
    order = []
    for turn in range(1, 8):
        first = order_queue(waiting, {}, served)[0]
        (one,) = [each for each in waiting if each.uid == first]
        waiting.remove(one)
        served[one.user] = turn
        order.append(first)
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2", "a3"]
