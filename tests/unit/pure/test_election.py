"""Who may take the Lease when, and what its holder does about what it reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soulbox.pure.election import (
    MAX_DURATION_SECONDS,
    Acquire,
    Create,
    Keep,
    LeaseRecord,
    LeaseSeen,
    Lost,
    Recreate,
    Renew,
    Take,
    Wait,
    decide_acquire,
    decide_keep,
    observe_lease,
)

ME = "me"
HELD = LeaseRecord(
    holder="other",
    duration_seconds=15,
    transitions=3,
    renew_time="2026-01-02T03:04:05.000000Z",
    resource_version="7",
)
MINE = replace(HELD, holder=ME)
RELEASED = replace(HELD, holder="", duration_seconds=1)
EXPIRED_BY_ITS_TIMES = replace(HELD, renew_time="2001-01-01T00:00:00.000000Z")
FROM_THE_FUTURE = replace(HELD, renew_time="2101-01-01T00:00:00.000000Z")
SHORT = replace(HELD, duration_seconds=4)
SILENT_ABOUT_DURATION = replace(HELD, duration_seconds=0)
ABSURD = replace(HELD, duration_seconds=1e9)


def seen(record: LeaseRecord | None, held_before: LeaseRecord | None = None) -> LeaseSeen:
    """What it says was first seen at 100 s."""
    return LeaseSeen(record=record, since=100.0, held_before=held_before)


# What is known, the time, what to do. Another duration than the record's is the default: 10 s.
ACQUIRE: dict[str, tuple[LeaseSeen, float, Acquire]] = {
    "no Lease was ever there": (seen(None), 100, Create()),
    "held by another, just seen": (seen(HELD), 100, Wait("other", 15)),
    "held by another, a moment before the end": (seen(HELD), 114.5, Wait("other", 0.5)),
    "held by another, not renewed for the duration": (seen(HELD), 115, Take(HELD, "expired")),
    "its times are long past: clocks are not compared": (
        seen(EXPIRED_BY_ITS_TIMES),
        100,
        Wait("other", 15),
    ),
    "its times are in the future: clocks are not compared": (
        seen(FROM_THE_FUTURE),
        115,
        Take(FROM_THE_FUTURE, "expired"),
    ),
    "its holder counts with another duration than ours": (
        seen(SHORT),
        104,
        Take(SHORT, "expired"),
    ),
    "it does not say its duration: ours": (
        seen(SILENT_ABOUT_DURATION),
        109,
        Wait("other", 1),
    ),
    "its duration is absurd: an hour at most": (
        seen(ABSURD),
        100 + MAX_DURATION_SECONDS,
        Take(ABSURD, "expired"),
    ),
    "released": (seen(RELEASED), 100, Take(RELEASED, "released")),
    "held by an earlier process of our identity": (seen(MINE), 100, Take(MINE, "own")),
    "deleted while another held it: he may not know yet": (
        seen(None, HELD),
        101,
        Wait("other", 14),
    ),
    "deleted, and its holder's time is over": (seen(None, HELD), 115, Create()),
    "deleted after it was released": (seen(None, RELEASED), 100, Create()),
    "deleted while it was ours": (seen(None, MINE), 100, Create()),
}


@pytest.mark.parametrize("case", ACQUIRE.values(), ids=ACQUIRE.keys())
def test_one_who_does_not_lead(case: tuple[LeaseSeen, float, Acquire]) -> None:
    known, now, want = case
    assert decide_acquire(known, ME, now, 10) == want


RENEWED = replace(HELD, renew_time="2026-01-02T03:04:07.000000Z", resource_version="8")
LABELLED = replace(HELD, resource_version="8")

# Known before, read now (at 105 s), known after.
OBSERVE: dict[str, tuple[LeaseSeen | None, LeaseRecord | None, LeaseSeen]] = {
    "the first look": (None, HELD, LeaseSeen(record=HELD, since=105)),
    "there is none": (None, None, LeaseSeen(record=None, since=105)),
    "nothing new": (seen(HELD), HELD, seen(HELD)),
    "renewed: its time begins again": (seen(HELD), RENEWED, LeaseSeen(record=RENEWED, since=105)),
    "taken by a third": (
        seen(HELD),
        replace(HELD, holder="third"),
        LeaseSeen(record=replace(HELD, holder="third"), since=105),
    ),
    "labelled by somebody: no sign of life, but the version to write on": (
        seen(HELD),
        LABELLED,
        seen(LABELLED),
    ),
    "deleted: renewed until then, for all we know": (
        seen(HELD),
        None,
        LeaseSeen(record=None, since=105, held_before=HELD),
    ),
    "still deleted": (seen(None, HELD), None, seen(None, HELD)),
    "made again, and its holder is alive": (
        seen(None, HELD),
        RENEWED,
        LeaseSeen(record=RENEWED, since=105),
    ),
    "restored by hand as it was: no sign of life": (seen(None, HELD), LABELLED, seen(LABELLED)),
}


@pytest.mark.parametrize("case", OBSERVE.values(), ids=OBSERVE.keys())
def test_what_is_known_after_a_look(
    case: tuple[LeaseSeen | None, LeaseRecord | None, LeaseSeen],
) -> None:
    before, record, want = case
    assert observe_lease(before, record, 105) == want


NEWER = replace(MINE, renew_time="2026-01-02T03:04:07.000000Z", resource_version="9")

# The Lease read again, whether our time is over, what to do.
KEEP: dict[str, tuple[LeaseRecord | None, bool, Keep]] = {
    "ours, changed by a try whose answer got lost": (NEWER, True, Renew(NEWER)),
    "ours still, though we are late: nobody was there in between": (MINE, False, Renew(MINE)),
    "another's": (HELD, True, Lost("other holds it")),
    "another's, and we are late": (HELD, False, Lost("other holds it")),
    "emptied by hand": (replace(HELD, holder=""), True, Lost("it was released")),
    "a later process of our identity": (
        replace(MINE, transitions=4),
        True,
        Lost("a later process of the same identity holds it"),
    ),
    "deleted while it was certainly ours": (None, True, Recreate()),
    "deleted, and we are late: who knows who led": (None, False, Lost("the Lease was deleted")),
}


@pytest.mark.parametrize("case", KEEP.values(), ids=KEEP.keys())
def test_the_holder_that_reads_it_again(case: tuple[LeaseRecord | None, bool, Keep]) -> None:
    found, in_time, want = case
    assert decide_keep(MINE, found, in_time=in_time) == want
