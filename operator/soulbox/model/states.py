"""Closed sets of the API: states, reasons and condition types.

The CRDs' enums, the CHECK constraints of the tables and the docs are compared with
these by tests.
"""

from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """Kinds the operator watches."""

    SANDBOX = "Sandbox"
    EXECUTION = "Execution"
    FUNCTION = "Function"
    SANDBOX_CLASS = "SandboxClass"
    POD = "Pod"
    NAMESPACE = "Namespace"


class SandboxState(StrEnum):
    """`status.state` of a Sandbox; it summarises the conditions.

    ::

        Created -> Starting -> Running -> Terminated
                      |  ^        |
                      v  |        v
                     Error <------+       (Error: waiting to try again, or never can)
        Stopped: suspended by its owner
    """

    CREATED = "Created"  # seen, nothing made yet
    STARTING = "Starting"  # its pod exists and is not ready
    RUNNING = "Running"  # its runner answers
    STOPPED = "Stopped"  # suspended by the owner
    ERROR = "Error"  # cannot run now; the reason says why
    TERMINATED = "Terminated"  # over for good; the object stays until it is deleted


class ExecutionState(StrEnum):
    """`status.state` of an Execution. ::

    Queued -> Running -> Completed | Failed | Timeout | Cancelled
       \\---------------> Failed | Timeout | Cancelled
    """

    QUEUED = "Queued"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TIMEOUT = "Timeout"
    CANCELLED = "Cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self not in (ExecutionState.QUEUED, ExecutionState.RUNNING)


class ExecutionKind(StrEnum):
    """What an Execution runs; in lower case in SQL alone."""

    PROGRAM = "program"  # code of its own
    FUNCTION = "function"  # a Function


class ExecutionReason(StrEnum):
    """Why an Execution is in its final state."""

    COMPLETED = "Completed"  # exit code 0
    TIMED_OUT = "TimedOut"  # timeoutSeconds passed; the run was killed
    QUEUE_TIMEOUT = "QueueTimeout"  # waited longer than queueTimeoutSeconds
    CANCELLED = "Cancelled"  # spec.cancel, or deleted before its end
    NON_ZERO_EXIT = "NonZeroExit"  # the program's own exit code
    SIGNALED = "Signaled"  # ended by a signal that was not ours
    OOM_KILLED = "OOMKilled"  # the kernel or the watchdog, for memory
    DISK_LIMIT = "DiskLimit"  # the workspace went over its size
    SANDBOX_NOT_FOUND = "SandboxNotFound"  # sandboxRef never appeared
    SANDBOX_TERMINATED = "SandboxTerminated"  # its sandbox ended or was deleted
    EVICTED = "Evicted"  # the kubelet evicted the pod
    NODE_LOST = "NodeLost"  # the node went away
    LOST = "Lost"  # the pod ended and with it the result
    START_FAILED = "StartFailed"  # the interpreter or the pod could not start
    IMAGE_PULL_FAILED = "ImagePullFailed"
    INVALID_SPEC = "InvalidSpec"  # what the schema could not refuse; the message names the field
    FUNCTION_NOT_FOUND = "FunctionNotFound"  # functionRef never appeared
    VERSION_NOT_FOUND = "VersionNotFound"  # the Function has, or no longer has, that version
    FUNCTION_SUSPENDED = "FunctionSuspended"  # the Function takes no calls
    INPUT_INVALID = "InputInvalid"  # the input does not match inputSchema; none of its code ran
    RESULT_INVALID = "ResultInvalid"  # exit code 0, but what it left as its result is none
    QUOTA_EXCEEDED = "QuotaExceeded"  # the namespace's ResourceQuota refused the pod
    BUDGET_EXCEEDED = "BudgetExceeded"
    NETWORK_NOT_ENFORCED = "NetworkNotEnforced"  # its policy was never seen to hold


class SandboxReason(StrEnum):
    """Why a Sandbox is in its state (also the reason of its conditions)."""

    PENDING = "Pending"  # not looked at yet
    POD_STARTING = "PodStarting"
    RUNNING = "Running"
    CLASS_NOT_FOUND = "ClassNotFound"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"  # a pod of that name exists that is not ours
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_REFUSED = "PodRefused"  # Pod Security, a webhook or a policy refused the pod
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    START_FAILED = "StartFailed"
    SUSPENDING = "Suspending"  # runs end, then its pod goes
    SUSPENDED = "Suspended"  # no pod, nothing billed; spec.suspend: false brings it back
    NETWORK_POLICY_REFUSED = "NetworkPolicyRefused"  # without it no pod is made
    RECONCILE_FAILED = "ReconcileFailed"  # the operator's passes fail; the message says at what
    NETWORK_NOT_ENFORCED = "NetworkNotEnforced"  # its policy is not seen to hold; no code starts
    STORAGE_REFUSED = "StorageRefused"  # the claim of its workspace was refused
    RUNNER_FAILED = "RunnerFailed"  # its runner is of no use any more: its pod is replaced
    POD_LOST = "PodLost"  # the pod ended; the next incarnation follows
    LIFETIME_EXPIRED = "LifetimeExpired"
    IDLE_EXPIRED = "IdleExpired"
    DELETED = "Deleted"


class FunctionState(StrEnum):
    """`status.state` of a Function."""

    READY = "Ready"  # its current version can be called
    SUSPENDED = "Suspended"  # by its owner: it is not called
    ERROR = "Error"  # the reason says why; a version published before is still called


class FunctionReason(StrEnum):
    """Why a Function is in its state."""

    PENDING = "Pending"  # not looked at yet
    PUBLISHED = "Published"  # the version that spec describes is the current one
    SUSPENDED = "Suspended"  # spec.suspend
    INVALID_SPEC = "InvalidSpec"  # what the CRD could not refuse; the message names the field
    SCHEMA_INVALID = "SchemaInvalid"  # inputSchema or outputSchema is none
    VERSION_CONFLICT = "VersionConflict"  # spec.version was published with another content
    CLASS_NOT_FOUND = "ClassNotFound"
    CODE_MISSING = "CodeMissing"  # codeFrom cannot be read
    QUOTA_EXCEEDED = "QuotaExceeded"  # a ResourceQuota refused the ControllerRevision


class ClassReason(StrEnum):
    """Why a SandboxClass is, or is not, Ready."""

    READY = "Ready"
    INVALID_SPEC = "InvalidSpec"  # malformed, though the CRD took it
    RUNTIME_CLASS_NOT_FOUND = "RuntimeClassNotFound"


# lastTransitionTime of the conditions that a CRD's default gives a new object: none was seen yet.
NO_TRANSITION: Final = "1970-01-01T00:00:00Z"


class ConditionType(StrEnum):
    """Condition types, after kstatus."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUCCEEDED = "Succeeded"  # Executions only: the program ended with exit code 0
    FINISHED = "Finished"  # Executions only: it is over, well or not
    RESULT_JUDGED = "ResultJudged"  # of a call only, and only False: outputSchema was not applied


class ResultProblem(StrEnum):
    """Why what a program left as its result is none, in the runner's words."""

    TOO_LARGE = "TooLarge"  # over 64 KiB; it was not read
    NOT_A_FILE = "NotAFile"  # a link, directory, FIFO or socket, or a file with a second name
    UNREADABLE = "Unreadable"  # it could not be read or kept


class HandlerLanguage(StrEnum):
    """What calls a handler: a program of the runner's that the class's interpreter runs."""

    PYTHON = "python"  # 3.8 or later
    NODE = "node"  # 18 or later


class RunnerFeature(StrEnum):
    """What a runner can that those of the first release cannot."""

    INPUT = "input"
    HANDLER = "handler"
    RESULT_FILE = "resultFile"


class RunOutcome(StrEnum):
    """How the runner says a run ended (docs/reference/runner-protocol.md)."""

    EXITED = "Exited"
    SIGNALED = "Signaled"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    OOM_KILLED = "OOMKilled"
    DISK_LIMIT = "DiskLimit"
    START_FAILED = "StartFailed"


class PolicyFinding(StrEnum):
    """What a runner found when it looked whether its pod's network policy is in force."""

    CONNECTED = "Connected"  # what the policy forbids came about
    BLOCKED = "Blocked"  # it did not; one more call proves why
    SEEN = "Seen"  # the policy is in force
    TRANSLATED = "Translated"  # the operator's address is another one there
    UNTRIED = "Untried"  # the runner could not try


class RunState(StrEnum):
    """State of a run inside its runner."""

    ACCEPTED = "Accepted"
    RUNNING = "Running"
    FINISHED = "Finished"
