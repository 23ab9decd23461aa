"""What one pass over a Sandbox looks at: one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import SandboxClassSpec, SandboxSpec
from soulbox.model.states import SandboxReason, SandboxState
from soulbox.pure.pods.enforcement import Unenforced
from soulbox.pure.pods.view import PodView


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRefusal:
    """Why the API server refused the pod."""

    reason: SandboxReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the Executions that name a Sandbox are doing."""

    queued: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    last_time: str | None = None  # as written in their status; None before the first start

    def as_status(self) -> dict[str, Any]:
        """The members of `status`."""
        status: dict[str, Any] = {
            "executions": {
                "queued": self.queued,
                "running": self.running,
                "completed": self.completed,
                "failed": self.failed,
            }
        }
        if self.last_time is not None:
            status["lastActivityTime"] = self.last_time
        return status


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSandbox:
    """Everything one pass looks at."""

    uid: str
    namespace: str
    name: str
    generation: int
    created_at: datetime
    deletion_time: datetime | None  # None: not being deleted
    has_finalizer: bool
    status: Mapping[str, Any]
    spec: SandboxSpec | InvalidManifest
    sandbox_class: SandboxClassSpec | None  # None: it does not exist
    class_objection: str  # "" for none
    pods: tuple[PodView, ...]  # all pods of this Sandbox, old incarnations included
    ready_pods: frozenset[str]  # whose runner has answered this operator
    recorded_pods: frozenset[str]  # whose times and ledger rows are committed
    recorded: bool  # the final row of the Sandbox is committed
    running_executions: int  # dispatched and not final
    activity: Activity
    # Seconds until counters may be written again: they are coalesced to one write in 30 s.
    activity_due_seconds: float
    pod_refusal: PodRefusal | None
    # How many pods in a row ended within a minute; 0 when the last one lived longer.
    short_lives: int
    # When this operator saw the newest of its ended pods end; None: it saw none.
    last_end: datetime | None = None
    # Whose runner can be reached, and is of no use again and again.
    hurt_pods: frozenset[str] = frozenset()
    # Pods whose runner starts no code, because their network policy was not seen in force.
    unenforced: Mapping[str, Unenforced] = field(default_factory=dict)
    # When the deletion of its namespace was asked for; None: it was not.
    namespace_deletion_time: datetime | None = None

    @property
    def state(self) -> SandboxState:
        """The state as written; Created when nothing valid was."""
        try:
            return SandboxState(self.status.get("state", SandboxState.CREATED))
        except ValueError:
            return SandboxState.CREATED

    @property
    def incarnation(self) -> int:
        """The newest incarnation known, 0 before the first."""
        written = self.status.get("incarnation")
        return max(
            [written if isinstance(written, int) else 0, *(pod.incarnation for pod in self.pods)]
        )
