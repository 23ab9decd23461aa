"""What a decision may ask for. Every action may be carried out twice with the effect of
once. `reconcile.apply` carries out those that kinds share, each reconciler those of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from soulbox.model.specs import NetworkProfile
from soulbox.model.terms import RunTerms

Status = Mapping[str, Any]

# A pod that starts well has started by then, but for a large image.
_PENDING_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFinalizer:
    """Put soulbox.dev/recorded on the object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFinalizer:
    """Take soulbox.dev/recorded off the object: its final rows are committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureNetworkPolicy:
    """The namespace's shared policy of this profile exists."""

    profile: NetworkProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePod:
    """Create the owner's pod of that incarnation; an existing one of ours is success."""

    incarnation: int
    # For the pod's activeDeadlineSeconds; None: the owner has no lifetime.
    lifetime_seconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePod:
    """Delete that pod (by uid); a pod that has ended goes at once."""

    pod_uid: str
    grace_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePod:
    """Take our finalizer off that pod: its times and ledger rows are committed."""

    pod_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRunner:
    """Ask the pod's runner until it answers; what it knows is kept for later passes."""

    pod_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskWhyPending:
    """Look in the Events of a pod that does not start for what its status does not say."""

    pod_uid: str


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
    # Paths of captured files as the status lists them; the place is the file's number.
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRun:
    """Tell the runner that the result is recorded."""

    pod_uid: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStatus:
    """Merge-patch /status, on the resourceVersion the decision was made on."""

    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObject:
    """Delete the object itself (its time to live after finishing is over)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostEvent:
    """An Event on the object."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    action: str


# What both kinds of objects may be asked for, and what only one may.
SharedAction = (
    AddFinalizer
    | RemoveFinalizer
    | EnsureNetworkPolicy
    | DeletePod
    | ReleasePod
    | ProbeRunner
    | AskWhyPending
    | PostEvent
)
RunAction = (
    Dispatch | ForgetDispatch | FollowRun | CancelRun | CollectOutput | ReleaseRun | DeleteObject
)
Action = SharedAction | RunAction | CreatePod | WriteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now, in order, and when to look again by the clock (None: only when
    something changes)."""

    actions: tuple[Action, ...] = ()
    requeue_after_seconds: float | None = None

    def no_later_than(self, seconds: float) -> "Decision":
        """The same, looked at again after `seconds` at the latest."""
        after = self.requeue_after_seconds
        return replace(
            self, requeue_after_seconds=seconds if after is None else min(seconds, after)
        )

    def asking_why_pending(self, pod_uid: str, age_seconds: float) -> "Decision":
        """The same; of a pod that has not started for long its Events are asked, now and then."""
        left = _PENDING_SECONDS - age_seconds
        if left > 0:
            return self.no_later_than(left)
        asked = replace(self, actions=(*self.actions, AskWhyPending(pod_uid=pod_uid)))
        return asked.no_later_than(_PENDING_SECONDS)

    def with_finalizer(self) -> "Decision":
        """The same, our finalizer put on first."""
        if any(isinstance(action, AddFinalizer | Dispatch) for action in self.actions):
            return self
        return replace(self, actions=(AddFinalizer(), *self.actions))


NOTHING = Decision()
