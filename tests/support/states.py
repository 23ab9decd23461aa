"""Objects in every state and with every reason, their statuses made by decide's own functions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from soulbox.kinds.execution.decide.status import (
    Ending,
    final_status,
    queued_status,
    running_status,
)
from soulbox.kinds.function.decide.objection import Objection
from soulbox.kinds.function.decide.published import Published
from soulbox.kinds.function.decide.status import report as function_report
from soulbox.kinds.sandbox.decide.status import News, report
from soulbox.model.states import (
    ExecutionReason,
    ExecutionState,
    FunctionReason,
    SandboxReason,
    SandboxState,
)
from soulbox.pure.actions import WriteStatus
from tests.support.builders import (
    make_execution,
    make_function,
    make_sandbox,
    make_sandbox_class,
    stored,
)
from tests.support.fix_clock import NOW
from tests.support.seen import (
    make_dispatched,
    make_pod,
    make_run,
    make_seen,
    make_seen_function,
    make_seen_sandbox,
)

ROOT = Path(__file__).parents[2]
Manifest = dict[str, Any]

# design: which reasons a final state may have.
_ENDINGS = {
    ExecutionReason.COMPLETED: ExecutionState.COMPLETED,
    ExecutionReason.TIMED_OUT: ExecutionState.TIMEOUT,
    ExecutionReason.QUEUE_TIMEOUT: ExecutionState.TIMEOUT,
    ExecutionReason.CANCELLED: ExecutionState.CANCELLED,
}
# docs/concepts.md: in which state a Sandbox has a reason.
_SANDBOXES: dict[SandboxReason, SandboxState] = {
    SandboxReason.PENDING: SandboxState.CREATED,
    SandboxReason.POD_STARTING: SandboxState.STARTING,
    SandboxReason.RUNNING: SandboxState.RUNNING,
    SandboxReason.CLASS_NOT_FOUND: SandboxState.CREATED,
    SandboxReason.INVALID_SPEC: SandboxState.ERROR,
    SandboxReason.NAME_CONFLICT: SandboxState.ERROR,
    SandboxReason.QUOTA_EXCEEDED: SandboxState.ERROR,
    SandboxReason.POD_REFUSED: SandboxState.ERROR,
    SandboxReason.UNSCHEDULABLE: SandboxState.STARTING,
    SandboxReason.IMAGE_PULL_FAILED: SandboxState.STARTING,
    SandboxReason.START_FAILED: SandboxState.STARTING,
    SandboxReason.STORAGE_REFUSED: SandboxState.ERROR,
    SandboxReason.NETWORK_POLICY_REFUSED: SandboxState.ERROR,
    SandboxReason.NETWORK_NOT_ENFORCED: SandboxState.ERROR,
    SandboxReason.RECONCILE_FAILED: SandboxState.ERROR,
    SandboxReason.RUNNER_FAILED: SandboxState.ERROR,
    SandboxReason.SUSPENDING: SandboxState.RUNNING,
    SandboxReason.SUSPENDED: SandboxState.STOPPED,
    SandboxReason.POD_LOST: SandboxState.ERROR,
    SandboxReason.LIFETIME_EXPIRED: SandboxState.TERMINATED,
    SandboxReason.IDLE_EXPIRED: SandboxState.TERMINATED,
    SandboxReason.DELETED: SandboxState.TERMINATED,
}

# docs/gitops.md's table, in Argo CD's words. A case that is not named here is Degraded.
HEALTHY = {
    "Execution Completed Completed",
    "Execution Completed, then its TTL was set",
    "Sandbox Running Running",
    "Function Ready Published",
    "SandboxClass",
}
PROGRESSING = {
    "Execution fresh",
    "Execution Queued",
    "Execution Running",
    "Sandbox fresh",
    "Sandbox Running, then edited",
    "Sandbox Created Pending",
    "Sandbox Starting PodStarting",
    "Sandbox Created ClassNotFound",
    "Sandbox Error NameConflict",
    "Sandbox Error QuotaExceeded",
    "Sandbox Error PodRefused",
    "Sandbox Error NetworkPolicyRefused",
    "Sandbox Error NetworkNotEnforced",
    "Sandbox Error ReconcileFailed",
    "Sandbox Error RunnerFailed",
    "Sandbox Starting Unschedulable",
    "Sandbox Starting ImagePullFailed",
    "Sandbox Starting StartFailed",
    "Sandbox Error StorageRefused",
    "Sandbox Running Suspending",
    "Sandbox Error PodLost",
    "Function fresh",
    "Function Ready, then edited",
    "Function Error ClassNotFound",
    "Function Error CodeMissing",
    "Function Error QuotaExceeded",
}
SUSPENDED = {"Sandbox Stopped Suspended", "Function Suspended Suspended"}


@cache
def status_schema(plural: str) -> Manifest:
    """What the CRD says of `status`."""
    crd = yaml.safe_load((ROOT / f"crds/soulbox.dev_{plural}.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return dict(schema["properties"]["status"])


def default_status(plural: str) -> Manifest:
    """What the CRD gives a fresh object."""
    return dict(status_schema(plural)["default"])


def executions() -> Iterator[tuple[str, Manifest]]:
    """(name of the case, Execution)"""
    fresh = stored(make_execution())
    yield "Execution fresh", fresh | {"status": default_status("executions")}
    queued = queued_status(make_seen(), "Waiting for a free slot.", NOW)
    yield "Execution Queued", fresh | {"status": queued}
    running = running_status(make_dispatched(), make_run(), NOW)
    yield "Execution Running", fresh | {"status": running}
    for reason in ExecutionReason:
        state = _ENDINGS.get(reason, ExecutionState.FAILED)
        ending = Ending(state=state, reason=reason, message="What to do about it.")
        status = final_status(make_dispatched(), ending, NOW)
        yield f"Execution {state} {reason}", fresh | {"status": status}
    completed = Ending(
        state=ExecutionState.COMPLETED, reason=ExecutionReason.COMPLETED, message="It ended."
    )
    over = final_status(make_dispatched(), completed, NOW)
    edited = stored(make_execution(ttlSecondsAfterFinished=60), generation=2)
    yield "Execution Completed, then its TTL was set", edited | {"status": over}


def sandboxes() -> Iterator[tuple[str, Manifest]]:
    """(name of the case, Sandbox)"""
    fresh = stored(make_sandbox())
    yield "Sandbox fresh", fresh | {"status": default_status("sandboxes")}
    cases = [*_SANDBOXES.items(), (SandboxReason.POD_LOST, SandboxState.TERMINATED)]
    for reason, state in cases:
        yield f"Sandbox {state} {reason}", fresh | {"status": _sandbox_status(state, reason)}
    status = _sandbox_status(SandboxState.RUNNING, SandboxReason.RUNNING)
    yield "Sandbox Running, then edited", stored(make_sandbox(), generation=2) | {"status": status}


def _sandbox_status(state: SandboxState, reason: SandboxReason) -> Manifest:
    news = News(state=state, reason=reason, message="Words of the operator.", pod=make_pod())
    seen = make_seen_sandbox(status={"conditions": []})
    (write, *_) = report(seen, news, NOW)
    assert isinstance(write, WriteStatus)
    return dict(write.status)


def functions() -> Iterator[tuple[str, Manifest]]:
    """(name of the case, Function)"""
    fresh = stored(make_function())
    yield "Function fresh", fresh | {"status": default_status("functions")}
    for reason in FunctionReason:
        if reason is not FunctionReason.PENDING:  # that one is the CRD's
            status = _function_status(reason)
            yield f"Function {status['state']} {reason}", fresh | {"status": status}
    status = _function_status(FunctionReason.PUBLISHED)
    yield "Function Ready, then edited", stored(make_function(), generation=2) | {"status": status}


def _function_status(reason: FunctionReason) -> Manifest:
    is_well = reason in (FunctionReason.PUBLISHED, FunctionReason.SUSPENDED)
    current = Published(version="1", revision="resize-0123456789")
    (write, *_) = function_report(
        make_seen_function(suspend=reason is FunctionReason.SUSPENDED),
        current=current if is_well else None,
        versions=(current,) if is_well else (),
        withdrawn=(),
        published=1,
        objection=None if is_well else Objection(reason=reason, message="Words of the operator."),
        now=NOW,
    )
    assert isinstance(write, WriteStatus)
    return {name: value for name, value in write.status.items() if value is not None}


def classes() -> Iterator[tuple[str, Manifest]]:
    """(name of the case, SandboxClass)"""
    yield "SandboxClass", stored(make_sandbox_class())


def every_state() -> dict[str, Manifest]:
    """All of them."""
    return dict([*executions(), *sandboxes(), *functions(), *classes()])
