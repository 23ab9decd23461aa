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
    for revision, count in found.create.items():
        alive = sum(one.lives and one.revision == revision for one in boxes)
        assert 0 < count <= scale.max - alive
        assert not suspended
    if not suspended:
        for revision, count in waiting.items():
            alive = [one for one in boxes if one.lives and one.revision == revision]
            if count:
                assert alive or found.create.get(revision), "somebody will take the call"
                assert not {one.uid for one in alive} & {one.uid for one in found.delete}


def test_room_is_what_a_sandbox_was_made_with() -> None:
    full = box("a", running=1, concurrency=1)
    scale = Scale(max=3, concurrency=10)
    found = decide_scale([full], {"new": 5}, scale, current="new", suspended=False)
    assert found.create == {"new": 1}
