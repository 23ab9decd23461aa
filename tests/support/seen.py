"""What a pass sees, minimal and valid by default, changed by keyword.

The default Execution names the running Sandbox `box` with a free slot, the default
Sandbox has one ready pod: whatever a test is about, it says itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from soulbox.kinds.execution.decide.seen import Dispatched, SandboxSeen, SeenExecution, Turn
from soulbox.kinds.function.decide.content import code_of
from soulbox.kinds.function.decide.seen import SeenFunction
from soulbox.kinds.sandbox.decide.seen import Activity, SeenSandbox
from soulbox.model.billing import PricePlan
from soulbox.model.functions import FunctionSpec
from soulbox.model.runs import RunDocument, RunResult, RunUsage, StartRun, StreamSummary
from soulbox.model.specs import (
    NO_NETWORK,
    ClassDefaults,
    ClassMax,
    ExecutionSpec,
    Interpreter,
    Limits,
    SandboxClassSpec,
    SandboxSpec,
    WorkspaceMedium,
)
from soulbox.model.states import (
    ExecutionState,
    Kind,
    RunOutcome,
    RunState,
    SandboxState,
)
from soulbox.model.terms import RunTerms
from soulbox.pure.pods.plan import PodOwner, PodPlan
from soulbox.pure.pods.view import EndCause, PodPhase, PodView
from tests.support.fix_clock import NOW, at

POD_UID = "0b0e7f0c-5a5e-4a55-9d5e-3f0a1c2b3d4e"
BOX_UID = "5a0d60c5-0000-4000-8000-0000000000b0"
RUN_UID = "5a0d60c5-0000-4000-8000-0000000000e0"
LIMITS = Limits(cpu_millicores=250, memory_bytes=256 * 2**20, disk_bytes=2**30)
PLAN = PricePlan(
    name="p1",
    sku="default",
    tier="free",
    rate=Decimal("0.00002"),
    currency="USD",
    valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    valid_to=None,
)


def make_class_spec(**changes: Any) -> SandboxClassSpec:
    """A class with python and bash and room for twice the defaults."""
    base = SandboxClassSpec(
        image="soulbox/python:dev",
        image_pull_policy=None,
        interpreters={
            "python": Interpreter(command=("python3",), extension=".py"),
            "bash": Interpreter(command=("bash",), extension=".sh"),
        },
        default_language="python",
        runtime_class_name=None,
        defaults=ClassDefaults(limits=LIMITS, timeout_seconds=300),
        max=ClassMax(
            limits=Limits(cpu_millicores=500, memory_bytes=512 * 2**20, disk_bytes=2 * 2**30),
            pids=128,
            timeout_seconds=3600,
            lifetime_seconds=86_400,
            output_bytes=10 * 2**20,
            concurrency=4,
        ),
        cpu_request_percent=25,
        workspace_medium=WorkspaceMedium.DISK,
        node_selector={},
        tolerations=(),
        sku="default",
        env=(),
        replace_lost_pods=True,
    )
    return replace(base, **changes)


def make_terms(**changes: Any) -> RunTerms:
    """What the class gives a run that asks for nothing."""
    base = RunTerms(
        class_name="python",
        language="python",
        interpreter=Interpreter(command=("python3",), extension=".py"),
        timeout_seconds=300,
        output_limit_bytes=10 * 2**20,
        max_processes=128,
        limits=LIMITS,
    )
    return replace(base, **changes)


def make_pod(**changes: Any) -> PodView:
    """A pod of incarnation 1 that runs since NOW."""
    base = PodView(
        uid=POD_UID,
        name="box-0123456789",
        phase=PodPhase.RUNNING,
        incarnation=1,
        deleting=False,
        has_finalizer=True,
        created_at=at(-1),
        node="node-1",
        ip="10.0.0.7",
        image_id="soulbox/python@sha256:abc",
        runtime_class=None,
        started_at=NOW,
        finished_at=None,
        end_cause=None,
        end_message="",
        trouble=None,
    )
    return replace(base, **changes)


def make_pending_pod(**changes: Any) -> PodView:
    """A pod that was just made."""
    return make_pod(
        **{"phase": PodPhase.PENDING, "created_at": NOW, "started_at": None, "ip": None} | changes
    )


def make_ended_pod(**changes: Any) -> PodView:
    """A pod that ended by itself after ten seconds."""
    return make_pod(
        **{
            "phase": PodPhase.ENDED,
            "started_at": at(-10),
            "finished_at": NOW,
            "end_cause": EndCause.FINISHED,
        }
        | changes
    )


def make_sandbox_seen(**changes: Any) -> SandboxSeen:
    """The running Sandbox, as an Execution sees it."""
    base = SandboxSeen(
        uid=BOX_UID,
        state=SandboxState.RUNNING,
        deleting=False,
        suspended=False,
        message="Its runner answers; Executions can run.",
        pod_uid=POD_UID,
    )
    return replace(base, **changes)


def make_seen(**changes: Any) -> SeenExecution:
    """An Execution made a moment ago, whose Sandbox is ready for it."""
    base = SeenExecution(
        uid=RUN_UID,
        namespace="team-a",
        name="run",
        generation=1,
        created_at=NOW,
        deleting=False,
        has_finalizer=False,
        status={"state": "Queued", "observedGeneration": 0},
        spec=ExecutionSpec(sandbox_name="box", code="print(42)"),
        dispatched=None,
        sandbox_class=make_class_spec(),
        class_name="python",
        class_objection="",
        sandbox=make_sandbox_seen(),
        pod=make_pod(),
        pod_ready=True,
        pod_asked_seconds=None,
        run_awaited=False,
        own_pods=(),
        pod_refusal=None,
        turn=Turn(position=1, running=0, room=1),
        told_seconds_ago=None,
        lost_attempts=0,
        code_missing=None,
        run=None,
        silent_seconds=None,
        followed_seconds=None,
        terms=make_terms(),
        recorded=False,
        recorded_pods=frozenset(),
        output_saved=False,
        price_plan=PLAN,
        runner_version="0.1.0",
        sandbox_not_found_seconds=60.0,
    )
    return replace(base, **changes)


def make_one_shot(pod: PodView | None = None, **changes: Any) -> SeenExecution:
    """An Execution with a class of its own; with `pod`, that is its pod."""
    base = make_seen(
        spec=ExecutionSpec(class_name="python", code="print(42)"),
        sandbox=None,
        pod=pod,
        has_finalizer=pod is not None,
        own_pods=() if pod is None else (pod,),
        pod_ready=pod is not None and pod.phase is PodPhase.RUNNING,
    )
    return replace(base, **changes)


def make_dispatched(**changes: Any) -> SeenExecution:
    """An Execution that was handed to the pod, and nothing heard of it yet. `terms` are those
    of its receipt; None: it has none, and its class is gone."""
    terms = changes.get("terms", make_terms())
    base = {
        "has_finalizer": True,
        "dispatched": Dispatched(pod_uid=POD_UID, attempt=1, terms=terms),
    }
    return make_seen(**base | changes)


def make_final(
    state: ExecutionState = ExecutionState.COMPLETED,
    *,
    status: dict[str, Any] | None = None,
    **changes: Any,
) -> SeenExecution:
    """An Execution that ended at NOW."""
    written = {
        "state": state.value,
        "reason": "Completed" if state is ExecutionState.COMPLETED else "NonZeroExit",
        "completionTime": "2026-01-02T03:04:05.000Z",
        "output": {
            "stdout": "42\n",
            "stdoutTruncated": False,
            "stderr": "",
            "stderrTruncated": False,
        },
    }
    return make_dispatched(**{"status": written | (status or {})} | changes)


def make_stream(data: bytes = b"", *, size_bytes: int | None = None) -> StreamSummary:
    """A stream as the runner sums it up; `size_bytes` more than `data` has means a gap."""
    total = len(data) if size_bytes is None else size_bytes
    half = len(data) if total == len(data) else len(data) // 2
    return StreamSummary(
        head=data[:half],
        tail=data[half:],
        size_bytes=total,
        stored_bytes=total,
        truncated=False,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def make_usage(**changes: Any) -> RunUsage:
    """Every figure known."""
    base = RunUsage(
        cpu_time_milliseconds=12,
        peak_memory_bytes=9_000_000,
        disk_read_bytes=0,
        disk_write_bytes=4096,
        network_rx_bytes=0,
        network_tx_bytes=0,
        shared=False,
    )
    return replace(base, **changes)


def make_run(**changes: Any) -> RunDocument:
    """A run that is running since NOW."""
    base = RunDocument(
        uid=RUN_UID,
        attempt=1,
        state=RunState.RUNNING,
        accepted_time=NOW,
        start_time=NOW,
        completion_time=None,
        duration_milliseconds=None,
        result=None,
        usage=None,
        stdout=make_stream(),
        stderr=make_stream(),
    )
    return replace(base, **changes)


def make_finished(
    outcome: RunOutcome = RunOutcome.EXITED,
    *,
    exit_code: int | None = None,
    signal: str | None = None,
    message: str | None = None,
    stdout: bytes = b"42\n",
    stderr: bytes = b"",
    **changes: Any,
) -> RunDocument:
    """A run that ended 24 ms after NOW."""
    if outcome is RunOutcome.EXITED and exit_code is None:
        exit_code = 0
    base = {
        "state": RunState.FINISHED,
        "completion_time": at(0.024),
        "duration_milliseconds": 24,
        "result": RunResult(outcome=outcome, exit_code=exit_code, signal=signal, message=message),
        "usage": make_usage(),
        "stdout": make_stream(stdout),
        "stderr": make_stream(stderr),
    }
    return make_run(**base | changes)


def make_start_run(**changes: Any) -> StartRun:
    """print(42), asked of a runner."""
    base = StartRun(
        command=("python3",),
        extension=".py",
        code="print(42)",
        timeout_seconds=300,
        output_limit_bytes=10 * 2**20,
        max_processes=128,
        max_open_files=1024,
        max_file_size_bytes=2**30,
    )
    return replace(base, **changes)


def make_seen_sandbox(*pods: PodView, **changes: Any) -> SeenSandbox:
    """A Sandbox made at NOW with these pods; nothing is written in its status yet."""
    base = SeenSandbox(
        uid=BOX_UID,
        namespace="team-a",
        name="box",
        generation=1,
        created_at=NOW,
        deletion_time=None,
        has_finalizer=True,
        status={"state": "Created", "observedGeneration": 0},
        spec=SandboxSpec(),
        sandbox_class=make_class_spec(),
        class_objection="",
        pods=pods,
        ready_pods=frozenset(),
        recorded_pods=frozenset(),
        recorded=False,
        running_executions=0,
        activity=Activity(),
        activity_due_seconds=0.0,
        pod_refusal=None,
        short_lives=0,
    )
    return replace(base, **changes)


FUNCTION_UID = "6f1c1d0e-0000-4000-8000-000000000001"


def make_seen_function(
    content: str = "a", *, suspend: bool = False, **changes: Any
) -> SeenFunction:
    """A Function of which nothing was published yet."""
    base = SeenFunction(
        uid=FUNCTION_UID,
        namespace="acme",
        name="resize",
        generation=1,
        status={},
        spec=FunctionSpec(code="def main(input): return input", handler="main", suspend=suspend),
        code=code_of("def main(input): return input"),
        content=content,
        versions=(),
        withdrawn=(),
        published=0,
        has_class=True,
        class_objection="",
        in_use=frozenset(),
        ready_boxes=0,
    )
    return replace(base, **changes)


def make_plan(**changes: Any) -> PodPlan:
    """The plan of a Sandbox's first pod."""
    base = PodPlan(
        owner=PodOwner(kind=Kind.SANDBOX, uid=BOX_UID, name="box", namespace="team-a", user="ada"),
        incarnation=1,
        class_name="python",
        sandbox_class=make_class_spec(),
        limits=LIMITS,
        concurrency=1,
        lifetime_seconds=3600,
        one_shot=False,
        network_profile=NO_NETWORK,
        public_keys="k1:AAAA",
        key_id="k1",
    )
    return replace(base, **changes)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386: what a merge patch makes of a document."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
