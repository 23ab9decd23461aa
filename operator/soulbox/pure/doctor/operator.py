"""The operator: its signing key, its leader, what it waits to record, its settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from soulbox.pure.doctor.finding import Finding, Unseen, fail, ok, unseen, warn


def judge_signing_key(seen: bool | str | Unseen) -> list[Finding]:
    """Args:
    seen: True: there and good; False: not there yet; text: what is wrong with it.
    """
    match seen:
        case Unseen():
            return [unseen("signing-key", seen)]
        case True:
            return [ok("signing-key", "there and well-formed")]
        case False:
            remedy = "none: the operator creates it when it first starts"
            return [warn("signing-key", "there is none yet", remedy)]
        case problem:
            remedy = (
                "restore the Secret from a backup, or delete it: docs/operations.md#signing-key"
            )
            return [fail("signing-key", problem, remedy)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderSeen:
    """The operator's Lease; holder None: released, or never taken."""

    holder: str | None
    age_seconds: float
    duration_seconds: float


class Election(StrEnum):
    """Whether there is one."""

    OFF = "off"  # leader_elect is false


def judge_leader(seen: LeaderSeen | Election | Unseen | None) -> list[Finding]:
    """Somebody leads now. None: there is no Lease."""
    remedy = "start the operator; if it runs, its log says why it does not lead"
    match seen:
        case Election.OFF:
            return [ok("leader", "leader_elect is off: one operator alone, without a Lease")]
        case Unseen():
            return [unseen("leader", seen)]
        case None:
            return [warn("leader", "no operator has ever led here", remedy)]
        case LeaderSeen(holder=None):
            return [warn("leader", "nobody leads", remedy)]
    found = f"{seen.holder} leads, last renewed {max(0.0, seen.age_seconds):.0f} s ago"
    if seen.age_seconds > seen.duration_seconds:
        return [fail("leader", f"{found}: it is dead and nobody took over", remedy)]
    return [ok("leader", found)]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSeen:
    """Deleted objects that still wait for their records.

    Attributes:
        objects: those whose deletion was asked for over `deadline_seconds` ago.
        oldest_seconds: how long ago that was of the oldest; 0 when there is none.
    """

    objects: int
    oldest_seconds: float
    deadline_seconds: float


def judge_records(seen: HeldSeen | Unseen, spool_directory: str) -> list[Finding]:
    """What was deleted is gone. `spool_directory`: the setting; "" for none."""
    if isinstance(seen, Unseen):
        return [unseen("records", seen)]
    spool = f"spool volume at {spool_directory}" if spool_directory else "no spool volume"
    if not seen.objects:
        return [ok("records", f"no deleted object waits for its record; {spool}")]
    found = (
        f"{seen.objects} objects deleted over {seen.deadline_seconds:.0f} s ago are still there,"
        f" the oldest for {seen.oldest_seconds:.0f} s; {spool}"
    )
    remedy = "see the checks database and leader; kubectl describe says what each object waits for"
    return [warn("records", found, remedy)]


def judge_settings(problem: str, profile: Mapping[str, str]) -> list[Finding]:
    """Args:
    problem: why they were refused; "" if they were not.
    profile: what is worth a word of those in force.
    """
    if problem:
        return [fail("settings", problem, "docs/reference/configuration.md lists them all")]
    return [ok("settings", ", ".join(f"{name} {value}" for name, value in profile.items()))]
