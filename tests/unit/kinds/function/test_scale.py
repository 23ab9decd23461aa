"""How many Sandboxes a Function has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kinds.function.decide.scale import Scaling, SeenBox, decide_scale
from soulbox.model.functions import Scale


def box(name: str, **changes: Any) -> SeenBox:
    """One of the current version, that is ready and has nothing to do."""
    return SeenBox(**{"uid": name, "name": name, "revision": "new"} | changes)


def scaled(
    boxes: list[SeenBox], scale: Scale, *, suspended: bool = False, **waiting: int
) -> tuple[dict[str, int], list[str]]:
    """What to make, by revision, and whom to delete."""
    found: Scaling = decide_scale(boxes, waiting, scale, current="new", suspended=suspended)
    return dict(found.create), [one.name for one in found.delete]


def test_first_call_makes_one_and_no_call_none() -> None:
    assert scaled([], Scale(), new=1) == ({"new": 1}, [])
    assert scaled([], Scale()) == ({}, [])
    assert scaled([], Scale(min=2, max=4)) == ({"new": 2}, [])


def test_more_calls_make_more_up_to_the_most() -> None:
    scale = Scale(max=3, concurrency=2)
    assert scaled([], scale, new=3) == ({"new": 2}, [])
    assert scaled([], scale, new=100) == ({"new": 3}, [])
    assert scaled([box("a", running=2)], scale, new=1) == ({"new": 1}, [])


def test_what_starts_counts_as_room() -> None:
    assert scaled([box("a")], Scale(max=5), new=1) == ({}, [])
    assert scaled([box("a")], Scale(max=5), new=2) == ({"new": 1}, [])


def test_what_ended_goes_and_is_followed() -> None:
    ended = [box("a", over=True)]
    assert scaled(ended, Scale()) == ({}, ["a"])
    assert scaled(ended, Scale(), new=1) == ({"new": 1}, ["a"])
    assert scaled([box("a", deleting=True, running=1)], Scale(), new=1) == ({"new": 1}, [])


def test_another_version_drains() -> None:
    old = box("old-1", revision="old", running=1)
    assert scaled([old], Scale()) == ({}, []), "its call runs on"
    idle = box("old-1", revision="old")
    assert scaled([idle], Scale(min=1)) == ({"new": 1}, ["old-1"])
    assert scaled([idle], Scale(), old=1) == ({}, []), "a call that names the version"
    assert scaled([], Scale(min=1), old=2) == ({"new": 1, "old": 1}, [])


def test_most_is_of_all_versions_and_one_that_goes_is_beside_it() -> None:
    scale = Scale(max=3)
    old = [box(f"old-{number}", revision="old", running=1) for number in range(3)]
    assert scaled(old, scale, new=9) == ({"new": 1}, []), "one, though there are three"
    begun = [*old, box("new-1", running=1)]
    assert scaled(begun, scale, new=9) == ({}, []), "four are there, three of which go"
    assert scaled(begun[1:], scale, new=9) == ({}, [])
    assert scaled(begun[2:], scale, new=9) == ({"new": 1}, [])


def test_versions_that_follow_one_another_fast_do_not_pile_up() -> None:
    going = [box(f"{name}-1", revision=name, running=1) for name in ("first", "second")]
    assert scaled(going[:1], Scale(), new=5) == ({"new": 1}, [])
    assert scaled(going, Scale(), new=5) == ({}, []), "their calls end in time"


def test_each_version_that_calls_name_has_one() -> None:
    busy = [box("new-1", running=1), box("a-1", revision="a", running=1)]
    assert scaled(busy, Scale(), new=5, a=5, b=5) == ({"b": 1}, [])


def test_one_whose_lifetime_ends_is_followed_and_goes_when_nothing_runs_in_it() -> None:
    ending = box("a", takes=False, running=1)
    assert scaled([ending], Scale()) == ({}, [])
    assert scaled([ending], Scale(), new=1) == ({"new": 1}, [])
    assert scaled([ending, box("b", idles=False)], Scale(min=1)) == ({}, []), "b is no surplus"
    assert scaled([box("a", takes=False)], Scale(min=1)) == ({"new": 1}, ["a"])
    found = decide_scale([ending], {}, Scale(), current="new", suspended=False)
    assert found.draining == (ending,)


def test_suspended_one_makes_none_and_keeps_what_runs() -> None:
    boxes = [box("a", running=1), box("b")]
    assert scaled(boxes, Scale(min=1, max=3), suspended=True, new=5) == ({}, ["b"])


def test_surplus_goes_once_it_is_idle() -> None:
    boxes = [box("a", running=1), box("b"), box("c")]
    assert scaled(boxes, Scale(max=2)) == ({}, ["c"])
    lasting = [box("a", idles=False), box("b", idles=False)]
    assert scaled(lasting, Scale(min=1, max=3)) == ({}, ["b"]), "min was lowered"


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[SeenBox], dict[str, int], Scale, bool]:
    revisions = st.sampled_from(["new", "old"])
    most = draw(st.integers(1, 4))
    boxes = [
        box(
            f"b{number}",
            revision=draw(revisions),
            over=draw(st.booleans()),
            deleting=draw(st.booleans()),
            takes=draw(st.booleans()),
            running=draw(st.integers(0, 3)),
            idles=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    scale = Scale(min=draw(st.integers(0, most)), max=most, concurrency=draw(st.integers(1, 3)))
    waiting = draw(st.dictionaries(revisions, st.integers(0, 9)))
    return boxes, waiting, scale, draw(st.booleans())


@given(situations())
@pytest.mark.slow
def test_scale_is_kept_and_no_running_call_loses_its_place(
    situation: tuple[list[SeenBox], dict[str, int], Scale, bool],
) -> None:
    boxes, waiting, scale, suspended = situation
    found = decide_scale(boxes, waiting, scale, current="new", suspended=suspended)
    assert all(one.over or not one.running for one in found.delete)
    assert not any(one.deleting for one in found.delete)
    living = [one for one in boxes if not (one.over or one.deleting or one in found.delete)]
    called = {name for name, count in waiting.items() if count} | {"new"}
    going = [one for one in living if one in found.draining]
    total = len(living) + sum(found.create.values())
    assert total <= max(len(living), scale.max + len(called))
    assert not (suspended and found.create)
    for revision, count in found.create.items():
        taking = [one for one in living if one.takes and one.revision == revision]
        assert 0 < count <= scale.max - len(taking)
        assert len(living) < scale.max or (count, taking) == (1, [])
    if not suspended:
        for revision in called & waiting.keys():
            taking = [one for one in living if one.takes and one.revision == revision]
            waits_for_ends = len(going) > scale.max and all(one.running for one in going)
            served = taking or found.create.get(revision) or waits_for_ends
            assert served or not waiting[revision], "somebody will take the call"


def test_room_is_what_a_sandbox_was_made_with() -> None:
    full = box("a", running=1, concurrency=1)
    scale = Scale(max=3, concurrency=10)
    found = decide_scale([full], {"new": 5}, scale, current="new", suspended=False)
    assert found.create == {"new": 1}
