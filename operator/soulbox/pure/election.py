"""Leader election: what the Lease says and since when goes in; what to do about it comes out.

Clocks of machines are never compared. A holder is believed for its Lease's duration from
the moment *we* first saw its last renewal, by our own monotonic clock (client-go's way,
tools/leaderelection). The holder's own deadline counts from before its renewal was sent and
is shorter, so it is silent before anybody may take over::

    holder   send renewal ──── silent from here (renew deadline)
    others        └─ see it ─────────────────────── may take over (duration)
"""

from dataclasses import dataclass
from typing import Final

# A Lease edited by hand must not lock everybody out for years; the settings' own bound.
MAX_DURATION_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """The Lease as stored.

    Attributes:
        holder: identity of its holder, "" for nobody (released).
        duration_seconds: how long a renewal is good for; 0 where the Lease does not say.
        transitions: how often it changed hands.
        renew_time: of the last renewal, the holder's clock, RFC 3339; only ever compared
            for equality and shown to people.
        resource_version: to write on exactly this version.
    """

    holder: str
    duration_seconds: float
    transitions: int
    renew_time: str
    resource_version: str

    def says_the_same_as(self, other: "LeaseRecord") -> bool:
        """Whether the holder did nothing in between; a label put on by somebody is nothing."""
        return (self.holder, self.duration_seconds, self.transitions, self.renew_time) == (
            other.holder,
            other.duration_seconds,
            other.transitions,
            other.renew_time,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSeen:
    """What is known of the Lease.

    Attributes:
        record: as last read, None where there is no Lease.
        since: monotonic seconds when what it says was first seen.
        held_before: the record that was there before the Lease went away by somebody's
            hand: its holder is believed for its duration from then on.
    """

    record: LeaseRecord | None
    since: float
    held_before: LeaseRecord | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """Make the Lease, held by us; of several that try, one succeeds."""


@dataclass(frozen=True, slots=True)
class Take:
    """Write ourselves into this version of the Lease; of several that try, one succeeds.

    Attributes:
        why: "released", "expired" or "own" (an earlier process of this identity held it).
    """

    record: LeaseRecord
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody else holds it, for so long unless it is renewed.

    Attributes:
        holder: identity of the other process.
        seconds: until it may be taken, more than 0.
    """

    holder: str
    seconds: float


Acquire = Create | Take | Wait


def observe_lease(before: LeaseSeen | None, record: LeaseRecord | None, now: float) -> LeaseSeen:
    """What is known after one more look.

    Args:
        before: what was known, None at the first look.
        now: monotonic seconds *after* the reply came.
    """
    if before is None:
        return LeaseSeen(record=record, since=now)
    if record is None:
        if before.record is None:
            return before
        # From now on: its holder may have renewed it right before it went away.
        return LeaseSeen(record=None, since=now, held_before=before.record)
    known = before.record if before.record is not None else before.held_before
    if known is not None and record.says_the_same_as(known):
        return LeaseSeen(record=record, since=before.since)
    return LeaseSeen(record=record, since=now)


def decide_acquire(
    seen: LeaseSeen, identity: str, now: float, default_duration_seconds: float
) -> Acquire:
    """What a process that does not lead does.

    Args:
        now: monotonic seconds.
        default_duration_seconds: of a Lease that does not say its own.
    """
    record = seen.record if seen.record is not None else seen.held_before
    if record is None:
        return Create()
    left = seen.since + _duration(record, default_duration_seconds) - now
    if seen.record is None:
        held = record.holder not in ("", identity) and left > 0
        return Wait(record.holder, left) if held else Create()
    if record.holder == "":
        return Take(record, "released")
    if record.holder == identity:
        return Take(record, "own")
    if left > 0:
        return Wait(record.holder, left)
    return Take(record, "expired")


def _duration(record: LeaseRecord, default_seconds: float) -> float:
    said = record.duration_seconds
    return min(said if said > 0 else default_seconds, MAX_DURATION_SECONDS)


@dataclass(frozen=True, slots=True)
class Renew:
    """Renew on this version."""

    record: LeaseRecord


@dataclass(frozen=True, slots=True)
class Recreate:
    """Somebody deleted the Lease while we certainly held it: make it again."""


@dataclass(frozen=True, slots=True)
class Lost:
    """We no longer lead.

    Attributes:
        why: for people.
    """

    why: str


Keep = Renew | Recreate | Lost


def decide_keep(mine: LeaseRecord, found: LeaseRecord | None, *, in_time: bool) -> Keep:
    """What the leader does about a Lease that it has just read again.

    It read it because a renewal failed or came too late. As long as the Lease names us with
    the same count of transitions nobody else has held it in between, however long that was:
    every taking raises the count. So a leader that could not reach the API server for an
    hour leads on if nobody took over; until it knows, it is silent.

    Args:
        mine: as we last wrote it.
        found: as it is now, None where there is none.
        in_time: our deadline has not passed.
    """
    if found is None:
        return Recreate() if in_time else Lost("the Lease was deleted")
    if found.holder != mine.holder:
        return Lost(f"{found.holder} holds it" if found.holder else "it was released")
    if found.transitions != mine.transitions:
        return Lost("a later process of the same identity holds it")
    return Renew(found)
