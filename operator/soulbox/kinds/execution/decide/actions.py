"""What a decision about an Execution may ask for, beside what all kinds share."""

from dataclasses import dataclass
from typing import Final, Literal

from soulbox.kinds.execution.decide.seen import Callee
from soulbox.model.terms import RunTerms
from soulbox.pure import actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One metadata patch: finalizer, dispatched annotation, terms, sandbox label. Only after it
    is written may the runner be asked to start."""

    pod_uid: str
    attempt: int
    sandbox_uid: str | None
    terms: RunTerms
    # Hash of code that is not in the object, for the record; None for code that is.
    code_sha256: str | None = None
    # The version that is called; None: it has code of its own.
    callee: Callee | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetDispatch:
    """One metadata patch: the mark says that this many attempts were lost with their pods,
    and that the code may be dispatched again. Only of what is idempotent."""

    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRun:
    """Keep a task that starts the run if its runner does not know it (only when
    `may_start`), and long-polls it until it ends."""

    pod_uid: str
    attempt: int
    may_start: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRun:
    """Ask the runner to kill the run."""

    pod_uid: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectOutput:
    """Save the run's whole output and captured files to PostgreSQL, then have it released."""

    pod_uid: str
    attempt: int
    streams: tuple[Literal["stdout", "stderr"], ...]
    # Of a call: lines of a log in stderr are kept as such, too.
    keeps_log: bool = False
    # Paths of captured files as the status lists them; the place is the file's number.
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRun:
    """Tell the runner that the result is recorded."""

    pod_uid: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObject:
    """Delete the object itself (its time to live after finishing is over)."""


RunAction = (
    Dispatch | ForgetDispatch | FollowRun | CancelRun | CollectOutput | ReleaseRun | DeleteObject
)
Action = actions.PodAction | RunAction
Decision = actions.Decision[Action]
NOTHING: Final = Decision()
