"""The bounded map of waiting objects, against a plain model of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.mirror.pending import PendingMap, Sighting
from soulbox.model.states import Kind

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def sighting(
    uid: str, version: int, *, deleted: bool = False, waiting_since: float = 0.0
) -> Sighting:
    return Sighting(
        kind=Kind.SANDBOX,
        uid=uid,
        manifest={},
        version=version,
        deleted=deleted,
        seen_at=NOW,
        waiting_since=waiting_since,
    )


def test_newest_version_wins_in_any_order() -> None:
    pending = PendingMap(10)
    for version in (2, 3, 1):
        assert pending.offer(sighting("a", version))
    assert [one.version for one in pending.take(10)] == [3]
    assert len(pending) == 0


@pytest.mark.parametrize(
    ("waiting", "offered", "want_deleted"),
    [
        pytest.param(False, True, True, id="the news that it is gone"),
        pytest.param(True, False, True, id="an older look at what is gone"),
    ],
)
def test_same_version_is_replaced_only_by_its_deletion(
    waiting: bool, offered: bool, want_deleted: bool
) -> None:
    pending = PendingMap(10)
    pending.offer(sighting("a", 5, deleted=waiting))
    pending.offer(sighting("a", 5, deleted=offered))
    assert [one.deleted for one in pending.take(10)] == [want_deleted]


def test_version_that_is_no_number_counts_as_newer() -> None:
    pending = PendingMap(10)
    pending.offer(sighting("a", 5))
    pending.offer(sighting("a", -1))
    assert [one.version for one in pending.take(1)] == [-1]


def test_full_map_takes_only_what_it_knows() -> None:
    pending = PendingMap(2)
    assert pending.offer(sighting("a", 1))
    assert pending.offer(sighting("b", 1))
    assert not pending.offer(sighting("c", 1))
    assert pending.offer(sighting("a", 2))
    assert "c" not in pending
    assert "a" in pending
    assert [(one.uid, one.version) for one in pending.take(9)] == [("a", 2), ("b", 1)]


def test_oldest_go_first_and_replacing_keeps_the_place() -> None:
    pending = PendingMap(10)
    for index, uid in enumerate("abc"):
        pending.offer(sighting(uid, 1, waiting_since=float(index)))
    pending.offer(sighting("a", 2, waiting_since=9.0))
    assert [one.uid for one in pending.take(2)] == ["a", "b"]
    assert pending.waiting_since == 2.0
    pending.take(1)
    assert pending.waiting_since is None


def test_put_back_goes_to_the_front_unless_newer_waits() -> None:
    pending = PendingMap(2)
    pending.offer(sighting("a", 1))
    pending.offer(sighting("b", 1))
    taken = pending.take(2)
    pending.offer(sighting("c", 1))
    pending.offer(sighting("b", 2))
    pending.put_back(taken)
    assert [(one.uid, one.version) for one in pending.take(9)] == [("a", 1), ("b", 2), ("c", 1)]


def test_put_back_wins_over_an_older_look_that_came_meanwhile() -> None:
    pending = PendingMap(2)
    pending.offer(sighting("a", 5))
    taken = pending.take(1)
    pending.offer(sighting("a", 4))
    pending.put_back(taken)
    assert [one.version for one in pending.take(9)] == [5]


offers = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 6), st.booleans()))


@given(offers, st.integers(1, 6))
def test_nothing_is_lost_while_there_is_room(offered: list[tuple[str, int, bool]], n: int) -> None:
    """Taking and putting back at any point never loses or ages an object."""
    pending = PendingMap(6)
    newest: dict[str, tuple[int, bool]] = {}
    for uid, version, deleted in offered:
        assert pending.offer(sighting(uid, version, deleted=deleted))
        newest[uid] = max(newest.get(uid, (0, False)), (version, deleted))
        taken = pending.take(n)
        pending.put_back(taken)
    assert {one.uid: (one.version, one.deleted) for one in pending.take(99)} == newest
