"""What decisions of any kind may ask for. Every action may be carried out twice with the effect of
once. `reconcile.apply` carries out those that kinds share, each reconciler those of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from soulbox.model.specs import NetworkProfile

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
class WriteStatus:
    """Merge-patch /status, on the resourceVersion the decision was made on."""

    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class PostEvent:
    """An Event on the object."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    action: str


# What any kind that owns pods may be asked for.
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
# And what each carries out in its own way.
PodAction = SharedAction | CreatePod | WriteStatus
_A = TypeVar("_A")


# Without slots: Python 3.11 cannot make a frozen generic one with them through an alias.
@dataclass(frozen=True, kw_only=True)
class Decision(Generic[_A]):
    """What to do now, in order, and when to look again by the clock (None: only when
    something changes)."""

    actions: tuple[_A | AskWhyPending | AddFinalizer, ...] = ()
    requeue_after_seconds: float | None = None

    def no_later_than(self, seconds: float) -> "Decision[_A]":
        """The same, looked at again after `seconds` at the latest."""
        after = self.requeue_after_seconds
        return replace(
            self, requeue_after_seconds=seconds if after is None else min(seconds, after)
        )

    def asking_why_pending(self, pod_uid: str, age_seconds: float) -> "Decision[_A]":
        """The same; of a pod that has not started for long its Events are asked, now and then."""
        left = _PENDING_SECONDS - age_seconds
        if left > 0:
            return self.no_later_than(left)
        asked = replace(self, actions=(*self.actions, AskWhyPending(pod_uid=pod_uid)))
        return asked.no_later_than(_PENDING_SECONDS)

    def with_finalizer(self) -> "Decision[_A]":
        """The same, our finalizer put on first."""
        if any(isinstance(action, AddFinalizer) for action in self.actions):
            return self
        return replace(self, actions=(AddFinalizer(), *self.actions))
