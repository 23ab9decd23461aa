"""What one pass over an Execution looks at: one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from soulbox.model.billing import PricePlan
from soulbox.model.errors import InvalidManifest
from soulbox.model.runs import RunDocument
from soulbox.model.specs import (
    CodeMissing,
    EnvVar,
    ExecutionSpec,
    FileEncoding,
    Limits,
    SandboxClassSpec,
    SandboxSpec,
)
from soulbox.model.states import ExecutionReason, ExecutionState, SandboxState
from soulbox.model.terms import RunTerms
from soulbox.pure.pods.enforcement import Unenforced
from soulbox.pure.pods.view import PodView


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """The dispatched annotation: where the code was, or may have been, started."""

    pod_uid: str
    attempt: int
    # The receipt: under what terms. None: an earlier release, which kept none, dispatched it.
    terms: RunTerms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProblem:
    """The runner cannot be worked with for this run; `message` is for the status."""

    reason: ExecutionReason
    message: str
    # The runner says that it never heard of the run: no code has run.
    never_started: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSeen:
    """The Sandbox an Execution names, as far as the Execution cares."""

    uid: str
    state: SandboxState
    deleting: bool
    suspended: bool  # by spec.suspend: what runs goes on, nothing new begins
    message: str
    # Its current pod's uid, None while it has none that runs.
    pod_uid: str | None
    # None: it is malformed.
    spec: SandboxSpec | None = None
    # Since when it says that it cannot run as it is; None: it does not.
    stalled_since: datetime | None = None
    # Whom it is billed to; None: nobody by name, so that anybody's Executions may run in it.
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """An Execution's place among those that name its Sandbox."""

    # Among those that wait, 1 is next.
    position: int
    # How many run there, and how many may.
    running: int
    room: int

    @property
    def is_now(self) -> bool:
        """Whether it is among the first that the Sandbox has room for."""
        return self.position <= self.room - self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """The version of a Function that an Execution calls."""

    function_uid: str  # "": it is not known any more
    name: str  # of the Function
    version: str
    revision: str  # name of its ControllerRevision
    one_shot: bool = False  # its calls have pods of their own
    code_sha256: str | None = None
    # Why it waits, where none of the Function's Sandboxes has room.
    waits: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallProblem:
    """Why nothing is called."""

    reason: ExecutionReason
    message: str
    may_pass: bool = False  # what is missing may still come
    function_uid: str = ""  # of the Function, "": there is none
    version: str = ""  # what would have been called, "": none
    revision: str = ""  # its ControllerRevision


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultVerdict:
    """What the judge says of the result of a run, by outputSchema.

    Attributes:
        objection: what is wrong with it, "" nothing.
        waited_seconds: how long its answer was waited for, and is; None: it is there, or given up.
        unjudged: why there is none, and it is waited for no longer; "": it is there, or may come.
    """

    objection: str = ""
    waited_seconds: float | None = None
    unjudged: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenExecution:
    """Everything one pass looks at."""

    uid: str
    namespace: str
    name: str
    generation: int
    created_at: datetime
    deleting: bool
    has_finalizer: bool
    status: Mapping[str, Any]
    spec: ExecutionSpec | InvalidManifest
    dispatched: Dispatched | None
    # The class that rules the run: its own, or its sandbox's. None: it does not exist.
    sandbox_class: SandboxClassSpec | None
    class_name: str
    # Problem of the class with this spec (unknown language, over a maximum), "" for none.
    class_objection: str
    sandbox: SandboxSeen | None
    # The pod to run in, or run in already; None when there is none (any more).
    pod: PodView | None
    # Whether the pod's runner has answered this operator.
    pod_ready: bool
    # Since when this operator asks a pod's runner that has not answered yet, None: it does not.
    pod_asked_seconds: float | None
    # Whether the runner holds the run by its own list, and has not told of it yet.
    run_awaited: bool
    # One-shot pods of this Execution, the current one included.
    own_pods: tuple[PodView, ...]
    # Why the API server refused the one-shot's pod at the last try, or why each Sandbox of the
    # Function that is called is refused or cannot start; None: neither is so.
    pod_refusal: RunProblem | None
    # Its place in the Sandbox's queue; None: it waits for no other.
    turn: Turn | None
    # Seconds since its place was last written, None: never by this operator.
    told_seconds_ago: float | None
    # Attempts that were lost with their pods (idempotent Executions only).
    lost_attempts: int
    code_missing: CodeMissing | None
    # Of the code that codeFrom names, hex; None for code in the object itself.
    code_sha256: str | None = None
    # What codeFrom named, as the runner is sent it; None for code in the object itself.
    code_read: tuple[str, FileEncoding] | None = None
    # Of the code in the spec.
    code_encoding: FileEncoding = FileEncoding.UTF8
    # The Sandbox's variables, then its own, with their values; None: not read (yet).
    env_read: tuple[EnvVar, ...] | None = None
    run: RunDocument | RunProblem | None
    # Seconds since the runner last answered about the run, or was first asked; None: it is
    # not being asked.
    silent_seconds: float | None
    # Seconds since it first told of the run, by the operator's clock; None: it has not.
    followed_seconds: float | None
    # Once it was dispatched those it was dispatched under, as far as they are known; until then
    # those it would be run under now. None: its class is gone, or lacks its language.
    terms: RunTerms | None
    # Final rows of the Execution, and of which of its pods, are committed.
    recorded: bool
    recorded_pods: frozenset[str]
    output_saved: bool  # or given up
    price_plan: PricePlan | None
    runner_version: str | None
    sandbox_not_found_seconds: float
    # For how long that is so, and it waits for it.
    refused_seconds: float | None = None
    # Whether its pod's runner can be reached, and is of no use again and again.
    runner_hurt: bool = False
    # Its own pod's runner starts no code: the network policy was not seen in force. None: it may.
    unenforced: Unenforced | None = None
    # What it calls; None: it has code of its own.
    call: Callee | CallProblem | None = None
    # Of a run that has ended well, and whose Function has an outputSchema.
    verdict: ResultVerdict = ResultVerdict()
    # Whether its namespace is being deleted, and it with it.
    namespace_ending: bool = False

    @property
    def state(self) -> ExecutionState:
        """The state as written; Queued when nothing valid was."""
        try:
            return ExecutionState(self.status.get("state", ExecutionState.QUEUED))
        except ValueError:
            return ExecutionState.QUEUED

    @property
    def limits(self) -> Limits | None:
        """Of its pod; None: not known."""
        return None if self.terms is None else self.terms.limits

    @property
    def kept_bytes(self) -> int | None:
        """Of each stream at most; None: not known, as much as its runner kept."""
        if self.terms is not None:
            return self.terms.output_limit_bytes
        return self.spec.output_limit_bytes if isinstance(self.spec, ExecutionSpec) else None

    @property
    def cancel_wanted(self) -> bool:
        """Whether its owner wants it to end: spec.cancel, or deleted before its end, it or its
        namespace."""
        cancelled = isinstance(self.spec, ExecutionSpec) and self.spec.cancel
        return self.deleting or self.namespace_ending or cancelled
