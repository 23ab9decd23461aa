"""A finding: what was looked at, how bad it is, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Times in objects are compared with ours for people only; the operator uses the API
# server's clock. A guess of what starts to confuse.
SKEW_WARN_SECONDS: Final = 5.0
# A runner takes a call signed within 30 s of its node's clock (runner/internal/sign).
RUNNER_WINDOW_SECONDS: Final = 30.0


class Verdict(StrEnum):
    """How bad a finding is; the worst is the answer as a whole."""

    OK = "OK"
    # It works, or could not be looked at; a person should know.
    WARN = "WARN"
    # SoulBox does not work, or not safely.
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at.

    Attributes:
        check: whose finding it is, "cluster" for example.
        remedy: what to do, one line; "" when nothing is.
    """

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """It could not be looked at. `denied`: the person lacks the right to."""

    why: str
    denied: bool = False


def worst(findings: Sequence[Finding]) -> Verdict:
    """The verdict over all."""
    order = list(Verdict)
    return max((f.verdict for f in findings), key=order.index, default=Verdict.OK)


def ok(check: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check=check, verdict=Verdict.OK, found=found)


def warn(check: str, found: str, remedy: str) -> Finding:
    """It works; a person should know."""
    return Finding(check=check, verdict=Verdict.WARN, found=found, remedy=remedy)


def fail(check: str, found: str, remedy: str) -> Finding:
    """SoulBox does not work, or not safely."""
    return Finding(check=check, verdict=Verdict.FAIL, found=found, remedy=remedy)


def unseen(check: str, seen: Unseen) -> Finding:
    """A look that was not possible."""
    remedy = (
        "run soulbox doctor as an administrator of the cluster"
        if seen.denied
        else "fix that, then run soulbox doctor again"
    )
    return warn(check, f"could not be checked: {seen.why}", remedy)
