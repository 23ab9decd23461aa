"""Which of those that wait for one Sandbox comes next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kinds.execution.decide.queueing import Line


@dataclass(frozen=True)
class Waiting:
    """One that waits; first come, first in a list of them."""

    uid: str
    user: str
    priority: int


def order_of(waiting: list[Waiting], running: dict[str, int], served: dict[str, int]) -> list[str]:
    """The order as the page says it, put together anew."""
    rounds: Counter[tuple[str, int]] = Counter()
    ranked = []
    for arrival, one in enumerate(waiting):
        turn = running.get(one.user, 0) + rounds[one.user, one.priority]
        rounds[one.user, one.priority] += 1
        ranked.append((-one.priority, turn, served.get(one.user, 0), arrival, one.uid))
    return [uid for *_, uid in sorted(ranked)]


def line_of(
    waiting: list[Waiting],
    running: dict[str, int] | None = None,
    served: dict[str, int] | None = None,
) -> Line:
    line = Line()
    for arrival, one in enumerate(waiting):
        line.waits(one.uid, one.user, one.priority, ("", arrival))
    for user, count in (running or {}).items():
        for number in range(count):
            line.runs(f"run-{user}-{number}", user)
    for user, number in (served or {}).items():
        line.serve(user, number)
    return line


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
    line = line_of(queue(case.waiting), case.running, case.served)
    want = case.want.split()
    assert line.first(100) == want
    assert [line.place(uid) for uid in want] == list(range(1, len(want) + 1))
    assert order_of(queue(case.waiting), case.running, case.served) == want


# What happens in a queue: somebody comes, is handed over, is lost or set aside and waits again,
# ends, or was served.
USERS = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("comes"), USERS, st.integers(0, 1)),
        st.tuples(st.just("comes"), st.just("a"), st.just(0)),
        st.tuples(st.sampled_from(["begins", "waits again", "goes"]), st.integers(0, 30)),
        st.tuples(st.just("next begins")),
        st.tuples(st.just("served"), USERS),
    ),
    max_size=100,
)


@given(STEPS, st.integers(1, 5))
@pytest.mark.slow
def test_order_is_that_of_a_queue_put_together_anew(
    steps: list[tuple[object, ...]], looks: int
) -> None:
    line, known = Line(), list[Waiting]()
    running: set[str] = set()
    served: dict[str, int] = {}

    def begin(one: Waiting) -> None:
        running.add(one.uid)
        line.runs(one.uid, one.user)

    def wait(one: Waiting) -> None:
        running.discard(one.uid)
        line.waits(one.uid, one.user, one.priority, ("", int(one.uid)))

    for number, step in enumerate(steps, 1):
        match step:
            case ("comes", str() as user, int() as priority):
                known.append(Waiting(str(number), user, priority))
                wait(known[-1])
            case ("next begins",):
                for uid in line.first(1):
                    one = next(each for each in known if each.uid == uid)
                    served[one.user] = number
                    line.serve(one.user, number)
                    begin(one)
            case ("served", str() as user):
                served[user] = number
                line.serve(user, number)
            case (str() as what, int() as index) if known:
                one = known[index % len(known)]
                if what == "goes":
                    known.remove(one)
                    running.discard(one.uid)
                    line.drop(one.uid)
                else:
                    (begin if what == "begins" else wait)(one)
        counts = Counter(one.user for one in known if one.uid in running)
        waiting = [one for one in known if one.uid not in running]
        want = order_of(waiting, dict(counts), served)
        assert line.first(looks) == want[:looks]
        assert line.running == len(running)
        assert [line.place(uid) for uid in want] == list(range(1, len(want) + 1))
    assert line.first(100) == want[:100] if steps else not line


def test_a_crowd_of_one_user_holds_another_up_for_one_turn_only() -> None:
    """Played to the end: each turn the first is served."""
    line = line_of(queue("a " * 50 + "b b b"))
    order = []
    for turn in range(1, 8):
        (first,) = line.first(1)
        line.drop(first)
        line.serve(first[0], turn)
        order.append(first)
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2", "a3"]
