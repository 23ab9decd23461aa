"""What holds for every decision, whatever was seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soulbox.kinds.execution.crd_status import ExecutionStatus
from soulbox.kinds.execution.decide.actions import (
    NOTHING,
    CollectOutput,
    Decision,
    DeleteObject,
    Dispatch,
    FollowRun,
    ForgetDispatch,
    ReleaseRun,
)
from soulbox.kinds.execution.decide.decision import decide_execution
from soulbox.kinds.execution.decide.fit import shrink_status
from soulbox.kinds.execution.decide.outcome import ending_of_run
from soulbox.kinds.execution.decide.seen import (
    Dispatched,
    RunProblem,
    SeenExecution,
    Turn,
)
from soulbox.kinds.execution.decide.status import final_status, streams_to_save
from soulbox.kinds.sandbox.crd import SandboxStatus
from soulbox.kinds.sandbox.decide.decision import decide_sandbox
from soulbox.kinds.sandbox.decide.seen import Activity, PodRefusal, SeenSandbox
from soulbox.model.errors import InvalidManifest
from soulbox.model.runs import CapturedFile, RunDocument, RunResult, StreamSummary
from soulbox.model.specs import CodeMissing, ExecutionSpec, SandboxSpec
from soulbox.model.states import (
    ExecutionReason,
    ExecutionState,
    RunOutcome,
    RunState,
    SandboxReason,
    SandboxState,
)
from soulbox.pure.actions import (
    AddFinalizer,
    CreatePod,
    DeletePod,
    ReleasePod,
    RemoveFinalizer,
    WriteStatus,
)
from soulbox.pure.pods.view import EndCause, PodPhase, Trouble
from tests.support.fix_clock import NOW, at
from tests.support.seen import (
    PLAN,
    POD_UID,
    RUN_UID,
    make_class_spec,
    make_pod,
    make_sandbox_seen,
    make_seen,
    make_seen_sandbox,
    make_terms,
    make_usage,
    merged,
)

MOMENTS = st.integers(-7200, 7200).map(lambda seconds: at(seconds / 2))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
INVALID = InvalidManifest("spec", "bad", "fix it")
CLASSES = st.sampled_from(
    [None, make_class_spec(), make_class_spec(replace_lost_pods=False)],
)
PODS = st.builds(
    make_pod,
    uid=st.sampled_from([POD_UID, "pod-2", "pod-3"]),
    phase=st.sampled_from(PodPhase),
    incarnation=st.integers(0, 4),
    deleting=st.booleans(),
    has_finalizer=st.booleans(),
    created_at=MOMENTS,
    started_at=st.none() | MOMENTS,
    finished_at=st.none() | MOMENTS,
    end_cause=st.none() | st.sampled_from(EndCause),
    end_message=TEXTS,
    trouble=st.none()
    | st.builds(
        Trouble,
        reason=st.sampled_from(
            [
                SandboxReason.IMAGE_PULL_FAILED,
                SandboxReason.START_FAILED,
                SandboxReason.UNSCHEDULABLE,
            ]
        ),
        message=TEXTS,
    ),
)
STREAMS = st.builds(
    lambda head, tail, gap: StreamSummary(
        head=head,
        tail=tail,
        size_bytes=len(head) + len(tail) + gap,
        stored_bytes=len(head) + len(tail),
        truncated=gap > 0,
        sha256="0" * 64,
    ),
    st.binary(max_size=40) | st.binary(max_size=10).map(lambda data: data * 4000),
    st.binary(max_size=40),
    st.sampled_from([0, 0, 5, 2**40]),
)
RESULTS = st.builds(
    RunResult,
    outcome=st.sampled_from(RunOutcome),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.just("SIGSEGV"),
    message=st.none() | TEXTS,
)
FILES = st.builds(
    CapturedFile,
    path=TEXTS.filter(bool) | TEXTS.filter(bool).map(lambda text: text * 2000),
    size_bytes=st.integers(0, 2**40),
    sha256=st.just("0" * 64),
    truncated=st.booleans(),
    content=st.none() | st.binary(max_size=40) | st.just(b"\1" * 16_384),
)
RUNS = st.builds(
    RunDocument,
    uid=st.just(RUN_UID),
    attempt=st.integers(1, 3),
    state=st.sampled_from(RunState),
    accepted_time=MOMENTS,
    start_time=st.none() | MOMENTS,
    completion_time=st.none() | MOMENTS,
    duration_milliseconds=st.none() | st.integers(0, 2**40),
    result=st.none() | RESULTS,
    usage=st.none() | st.just(make_usage()),
    stdout=st.none() | STREAMS,
    stderr=st.none() | STREAMS,
    files=st.lists(FILES, max_size=64).map(tuple),
    files_omitted=st.sampled_from([0, 0, 100_000]),
)
PROBLEMS = st.builds(
    RunProblem,
    reason=st.sampled_from(ExecutionReason),
    message=TEXTS,
    never_started=st.booleans(),
)
EXECUTION_SPECS = st.builds(
    ExecutionSpec,
    sandbox_name=st.none() | st.just("box"),
    code=st.just("1"),
    cancel=st.booleans(),
    timeout_seconds=st.none() | st.just(5),
    queue_timeout_seconds=st.none() | st.sampled_from([1, 600]),
    idempotent=st.booleans(),
    ttl_seconds_after_finished=st.none() | st.integers(0, 7200),
)
STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from([*ExecutionState, "Exploded"]),
        "message": TEXTS,
        "observedGeneration": st.integers(0, 2),
        "queuedTime": st.just("2026-01-02T03:04:05.000Z"),
        "startTime": st.just("2026-01-02T03:04:05.000Z"),
        "completionTime": st.sampled_from(["2026-01-02T03:04:05.000Z", "soon"]),
        "output": st.just({"stdout": "42\n", "stderr": "", "stdoutTruncated": False}),
        "queuePosition": st.integers(1, 3),
        "conditions": st.just([]),
    },
)
TERMS = st.builds(make_terms, timeout_seconds=st.sampled_from([1, 300]))
EXECUTIONS = st.builds(
    make_seen,
    generation=st.integers(1, 2),
    created_at=MOMENTS,
    deleting=st.booleans(),
    has_finalizer=st.booleans(),
    status=STATUSES,
    spec=st.just(INVALID) | EXECUTION_SPECS | EXECUTION_SPECS | EXECUTION_SPECS,
    dispatched=st.none()
    | st.builds(
        Dispatched,
        pod_uid=st.sampled_from([POD_UID, "pod-2"]),
        attempt=st.integers(1, 2),
        terms=st.none() | TERMS,
    ),
    sandbox_class=CLASSES,
    class_objection=st.sampled_from(["", "", "", "spec.language: no"]),
    sandbox=st.none()
    | st.builds(make_sandbox_seen, state=st.sampled_from(SandboxState), deleting=st.booleans()),
    pod=st.none() | PODS,
    pod_ready=st.booleans(),
    pod_asked_seconds=st.none() | st.floats(0, 100),
    run_awaited=st.booleans(),
    own_pods=st.lists(PODS, max_size=2).map(tuple),
    pod_refusal=st.none() | PROBLEMS,
    turn=st.none()
    | st.builds(
        Turn, position=st.integers(1, 3), running=st.integers(0, 2), room=st.integers(1, 2)
    ),
    told_seconds_ago=st.none() | st.floats(0, 7200),
    lost_attempts=st.integers(0, 2),
    silent_seconds=st.none() | st.floats(0, 7200),
    followed_seconds=st.none() | st.floats(0, 7200),
    terms=st.none() | TERMS,
    code_missing=st.none() | st.builds(CodeMissing, message=TEXTS),
    run=st.none() | RUNS | PROBLEMS,
    recorded=st.booleans(),
    recorded_pods=st.frozensets(st.sampled_from([POD_UID, "pod-2", "pod-3"])),
    output_saved=st.booleans(),
    price_plan=st.none() | st.just(PLAN),
    runner_version=st.none() | st.just("0.1.0"),
)
SANDBOX_STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from([*SandboxState, "Exploded"]),
        "reason": st.sampled_from(SandboxReason),
        "message": TEXTS,
        "incarnation": st.integers(0, 40),
        "startTime": st.sampled_from(["2026-01-02T03:04:05.000Z", "soon"]),
        "terminationTime": st.sampled_from(["2026-01-02T03:04:05.000Z", "soon"]),
        "runtimeSeconds": st.integers(0, 1000),
        "pod": st.fixed_dictionaries(
            {},
            optional={
                "uid": st.sampled_from([POD_UID, "pod-2"]),
                "startTime": st.just("2026-01-02T03:04:05.000Z"),
                "finishTime": st.just("2026-01-02T03:05:05.000Z"),
            },
        ),
        "conditions": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.just("Ready"),
                    "status": st.sampled_from(["True", "False"]),
                    "lastTransitionTime": st.just("2026-01-02T03:04:05.000Z"),
                }
            ),
            max_size=1,
        ),
    },
)
SANDBOXES = st.builds(
    lambda pods, **fields: make_seen_sandbox(*pods, **fields),
    st.lists(PODS, max_size=3, unique_by=lambda pod: pod.uid),
    generation=st.integers(1, 2),
    deletion_time=st.none() | MOMENTS,
    has_finalizer=st.booleans(),
    status=SANDBOX_STATUSES,
    spec=st.just(INVALID)
    | st.builds(SandboxSpec, lifetime_seconds=st.none() | st.integers(1, 7200)),
    sandbox_class=CLASSES,
    class_objection=st.sampled_from(["", "", "", "spec.resources: no"]),
    ready_pods=st.frozensets(st.sampled_from([POD_UID, "pod-2", "pod-3"])),
    recorded_pods=st.frozensets(st.sampled_from([POD_UID, "pod-2", "pod-3"])),
    recorded=st.booleans(),
    running_executions=st.integers(0, 2),
    activity=st.builds(
        Activity, queued=st.integers(0, 2), last_time=st.none() | st.just("2026-01-02T03:04:05Z")
    ),
    activity_due_seconds=st.floats(0, 30),
    pod_refusal=st.none()
    | st.builds(PodRefusal, reason=st.just(SandboxReason.QUOTA_EXCEEDED), message=TEXTS),
)
# Making an example costs milliseconds, checking it microseconds: one test a kind, all
# checks on each example.
MANY = settings(max_examples=2 * settings.default.max_examples)


def of(decision: Decision, kind: type[Any]) -> list[Any]:
    """Its actions of one kind."""
    return [action for action in decision.actions if isinstance(action, kind)]


def check_schema(model: Any, status: Mapping[str, Any]) -> None:
    """The CRD takes the status, and prunes nothing of it."""
    stored = merged({}, status)  # a null of a merge patch is not stored
    parsed = model.model_validate_json(json.dumps(stored))
    dumped = parsed.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert shape(dumped) == shape(stored)


def shape(value: Any) -> Any:
    """Keys only: what pruning would change."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else None


def check_deterministic(again: Decision, decision: Decision) -> None:
    """Same input, same answer, and never a time in the past."""
    assert again == decision
    after = decision.requeue_after_seconds
    assert after is None or after >= 0


def check_starts(seen: SeenExecution, decision: Decision) -> None:
    """Code starts only behind its annotation, once, and where nobody wants its end."""
    for follow in of(decision, FollowRun):
        index = decision.actions.index(follow)
        announced = [one for one in decision.actions[:index] if isinstance(one, Dispatch)]
        bound = announced[0].pod_uid if announced else seen.dispatched and seen.dispatched.pod_uid
        assert follow.pod_uid == bound
        if follow.may_start:
            assert not seen.state.is_final
            assert not seen.cancel_wanted
            assert not isinstance(seen.run, RunProblem) or seen.dispatched is None
    for dispatch in of(decision, Dispatch):
        assert seen.dispatched is None, "an Execution is handed over once"
        assert seen.pod is not None
        assert dispatch.pod_uid == seen.pod.uid


def check_final(seen: SeenExecution, decision: Decision) -> None:
    """After the end nothing is told anew; before it nothing is let go."""
    if seen.state.is_final:
        for write in of(decision, WriteStatus):
            assert set(write.status) == {"observedGeneration"}
        for kind in (Dispatch, FollowRun, CreatePod):
            assert not of(decision, kind)
    else:
        for kind in (DeleteObject, RemoveFinalizer, ReleaseRun, CollectOutput):
            assert not of(decision, kind)


def check_held(seen: SeenExecution, decision: Decision) -> None:
    """What may have run is held until it is recorded; what is going takes no finalizer."""
    held = seen.has_finalizer or bool(of(decision, AddFinalizer) or of(decision, Dispatch))
    if not seen.deleting and (seen.state.is_final or seen.dispatched is not None or seen.own_pods):
        assert held
    if seen.has_finalizer or seen.deleting:
        assert not of(decision, AddFinalizer)


def check_recorded(seen: SeenExecution, decision: Decision) -> None:
    """Nothing is let go before its rows are committed."""
    if of(decision, RemoveFinalizer):
        assert seen.recorded
        assert seen.deleting
        assert not seen.own_pods
    if of(decision, DeleteObject) or of(decision, ReleaseRun):
        assert seen.recorded
    if of(decision, ReleaseRun):
        assert isinstance(seen.run, RunDocument)
        assert seen.output_saved or not streams_to_save(seen.status, seen.run)
    for release in of(decision, ReleasePod):
        assert release.pod_uid in seen.recorded_pods
    for deleted in of(decision, DeletePod):
        assert deleted.pod_uid in {pod.uid for pod in seen.own_pods}, "only pods of its own"


def check_unwanted(seen: SeenExecution, decision: Decision) -> None:
    """What nobody wants any more and never started ends now."""
    if seen.cancel_wanted and not seen.state.is_final and seen.dispatched is None:
        (write,) = of(decision, WriteStatus)
        assert write.status["state"] == "Cancelled"


def check_execution_settles(seen: SeenExecution, now: datetime) -> None:
    """Passes over what does not change come to rest, and end it at most once."""
    ends = 0
    for _ in range(4):
        decision = decide_execution(seen, now)
        writes = of(decision, WriteStatus)
        for forgotten in of(decision, ForgetDispatch):
            seen = replace(seen, dispatched=None, lost_attempts=forgotten.attempts, run=None)
        ends += sum("completionTime" in write.status for write in writes)
        if not writes:
            break
        status = seen.status
        for write in writes:
            status = merged(status, write.status)
        assert status != seen.status, "a write that changes nothing"
        seen = replace(seen, status=status)
    else:
        raise AssertionError("it never comes to rest")
    assert ends <= 1


@pytest.mark.slow
@MANY
@given(EXECUTIONS, MOMENTS)
def test_every_decision_about_an_execution(seen: SeenExecution, now: datetime) -> None:
    decision = decide_execution(seen, now)
    check_deterministic(decide_execution(seen, now), decision)
    check_starts(seen, decision)
    check_final(seen, decision)
    check_held(seen, decision)
    check_recorded(seen, decision)
    check_unwanted(seen, decision)
    check_execution_settles(seen, now)
    for write in of(decision, WriteStatus):
        check_schema(ExecutionStatus, write.status)


@pytest.mark.slow
@given(RUNS)
def test_final_status_shrinks_to_a_bounded_size(run: RunDocument) -> None:
    seen = make_seen(dispatched=Dispatched(pod_uid=POD_UID, attempt=1))
    small = shrink_status(final_status(seen, ending_of_run(seen, run), NOW))
    check_schema(ExecutionStatus, small)
    # 64 entries of a captured file with its hash are 8 KB.
    assert len(json.dumps(small, ensure_ascii=False).encode()) < 30_000
    assert ExecutionState(small["state"]).is_final


def check_one_pod(seen: SeenSandbox, decision: Decision) -> None:
    """A pod is made only where none lives, the next incarnation, with time to live."""
    created = of(decision, CreatePod)
    if created:
        assert all(pod.phase is PodPhase.ENDED for pod in seen.pods)
        assert seen.deletion_time is None
        assert seen.state is not SandboxState.TERMINATED
        assert [one.incarnation for one in created] == [seen.incarnation + 1]
        assert all(one.lifetime_seconds and one.lifetime_seconds > 0 for one in created)


def check_sandbox_recorded(seen: SeenSandbox, decision: Decision) -> None:
    """Pods and finalizer wait for the record."""
    for release in of(decision, ReleasePod):
        assert release.pod_uid in seen.recorded_pods
    if of(decision, RemoveFinalizer):
        assert seen.recorded
        assert seen.deletion_time is not None
        assert not seen.pods


def check_sandbox_settles(seen: SeenSandbox, now: datetime) -> None:
    """Passes over what does not change come to rest: no write changes nothing."""
    for _ in range(4):
        writes = of(decide_sandbox(seen, now), WriteStatus)
        assert len(writes) <= 1
        if not writes:
            return
        status = merged(seen.status, writes[0].status)
        assert status != seen.status, "a write that changes nothing"
        seen = replace(seen, status=status)
    raise AssertionError("it never comes to rest")


@pytest.mark.slow
@MANY
@given(SANDBOXES, MOMENTS)
def test_every_decision_about_a_sandbox(seen: SeenSandbox, now: datetime) -> None:
    decision = decide_sandbox(seen, now)
    check_deterministic(decide_sandbox(seen, now), decision)
    check_one_pod(seen, decision)
    check_sandbox_recorded(seen, decision)
    check_sandbox_settles(seen, now)
    for write in of(decision, WriteStatus):
        check_schema(SandboxStatus, write.status)


@given(MOMENTS, st.integers(0, 7200))
def test_no_later_than_is_the_sooner_of_two(now: datetime, seconds: int) -> None:
    assert NOTHING.no_later_than(seconds).requeue_after_seconds == seconds
    later = Decision(requeue_after_seconds=seconds + 1.0)
    assert later.no_later_than(seconds).requeue_after_seconds == seconds
    assert later.no_later_than(seconds + 2).requeue_after_seconds == seconds + 1.0
