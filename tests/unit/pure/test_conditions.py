"""Conditions: transition times are kept, others' conditions too, nothing else matters."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model.states import ConditionType
from soulbox.model.times import format_time
from soulbox.pure.conditions import (
    MAX_MESSAGE,
    Condition,
    ConditionStatus,
    merge_conditions,
    same_conditions,
)
from tests.support.fix_clock import NOW, at

STATUSES = st.sampled_from(get_args(ConditionStatus))
WANTED = st.lists(
    st.builds(
        Condition,
        type=st.sampled_from(ConditionType),
        status=STATUSES,
        reason=st.sampled_from(["A", "B"]),
        message=st.text(max_size=10),
    ),
    unique_by=lambda condition: condition.type,
)


def condition(**changes: Any) -> dict[str, Any]:
    """One as it is stored."""
    base = {
        "type": "Ready",
        "status": "False",
        "reason": "A",
        "message": "",
        "lastTransitionTime": "2020-01-01T00:00:00.000Z",
        "observedGeneration": 1,
    }
    return base | changes


@pytest.mark.slow
@given(WANTED, WANTED)
def test_transition_time_changes_exactly_with_the_status(
    first: list[Condition], second: list[Condition]
) -> None:
    old = merge_conditions([], first, generation=1, now=NOW)
    new = merge_conditions(old, second, generation=2, now=at(60))
    before = {one["type"]: one for one in old}
    for one in new:
        known = before.get(one["type"])
        kept = known is not None and known["status"] == one["status"]
        want: datetime = NOW if kept else at(60)
        assert one["lastTransitionTime"] == format_time(want)
        assert one["observedGeneration"] == 2
    assert [one["type"] for one in new] == [one.type.value for one in second]


@pytest.mark.slow
@given(WANTED)
def test_merging_the_same_again_says_the_same(wanted: list[Condition]) -> None:
    once = merge_conditions([], wanted, generation=1, now=NOW)
    again = merge_conditions(once, wanted, generation=1, now=at(60))
    assert again == once
    assert same_conditions(once, again)


def test_somebody_else_s_condition_is_kept_behind_ours() -> None:
    theirs = condition(type="example.com/Audited", status="True")
    wanted = [Condition(type=ConditionType.READY, status="True", reason="Running")]
    merged = merge_conditions([theirs, condition()], wanted, generation=3, now=NOW)
    assert [one["type"] for one in merged] == ["Ready", "example.com/Audited"]
    assert merged[1] == theirs


def test_condition_of_ours_that_is_no_longer_wanted_goes() -> None:
    stalled = condition(type="Stalled", status="True")
    assert merge_conditions([stalled], [], generation=1, now=NOW) == []


def test_transition_time_that_was_lost_is_set_again() -> None:
    broken = condition()
    del broken["lastTransitionTime"]
    wanted = [Condition(type=ConditionType.READY, status="False", reason="A")]
    (merged,) = merge_conditions([broken], wanted, generation=1, now=NOW)
    assert merged["lastTransitionTime"] == format_time(NOW)


def test_message_is_cut_to_what_the_api_server_takes() -> None:
    wanted = [Condition(type=ConditionType.READY, status="True", reason="A", message="x" * 40_000)]
    (merged,) = merge_conditions([], wanted, generation=1, now=NOW)
    assert len(merged["message"]) == MAX_MESSAGE


def test_lists_are_the_same_whatever_their_order_times_and_generations() -> None:
    ready, stalled = condition(), condition(type="Stalled")
    later = condition(lastTransitionTime="2026-01-01T00:00:00.000Z", observedGeneration=9)
    assert same_conditions([ready, stalled], [stalled, later])
    for changed in ({"status": "True"}, {"reason": "B"}, {"message": "m"}):
        assert not same_conditions([ready], [condition(**changed)])
    assert not same_conditions([ready], [ready, stalled])


def test_default_of_the_crd_is_no_transition() -> None:
    default = condition(status="Unknown", lastTransitionTime="1970-01-01T00:00:00Z")
    wanted = [Condition(type=ConditionType.READY, status="Unknown", reason="Queued")]
    (new,) = merge_conditions([default], wanted, generation=1, now=NOW)
    assert new["lastTransitionTime"] == format_time(NOW)
