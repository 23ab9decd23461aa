"""After the final status: output saved, result released, pods and finalizer let go, TTL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from soulbox.kinds.execution.decide.actions import CollectOutput, DeleteObject, ReleaseRun
from soulbox.kinds.execution.decide.decision import decide_execution
from soulbox.kinds.execution.decide.seen import RunProblem, SeenExecution
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import ExecutionSpec
from soulbox.model.states import ExecutionReason, ExecutionState
from soulbox.pure.actions import DeletePod, ProbeRunner, ReleasePod, RemoveFinalizer
from tests.support.fix_clock import NOW, at
from tests.support.seen import (
    POD_UID,
    make_ended_pod,
    make_final,
    make_finished,
    make_pending_pod,
    make_pod,
    make_run,
)

RECORDED_POD = frozenset({POD_UID})
ONE_SHOT = ExecutionSpec(class_name="python", code="1")
TTL = ExecutionSpec(sandbox_name="box", code="1", ttl_seconds_after_finished=60)
TTL_ONE_SHOT = ExecutionSpec(class_name="python", code="1", ttl_seconds_after_finished=3600)


@dataclass(frozen=True)
class After:
    """What is done after the end, at `now`."""

    seen: SeenExecution
    want_actions: tuple[Any, ...] = ()
    want_requeue_seconds: float | None = None
    now: datetime = NOW


def one_shot(pod: Any, **changes: Any) -> SeenExecution:
    """A finished one-shot with this pod."""
    base = {"spec": ONE_SHOT, "sandbox": None, "pod": pod, "own_pods": (pod,)}
    return make_final(**base | changes)


CASES = {
    "kept until somebody deletes it": After(make_final(recorded=True)),
    "whole output inline, row not committed yet: waits for the mirror": After(
        make_final(run=make_finished(stdout=b"42\n"))
    ),
    "whole output inline, row committed: released, and looked at again": After(
        make_final(run=make_finished(stdout=b"42\n"), recorded=True),
        (ReleaseRun(pod_uid=POD_UID, attempt=1),),
        0,
    ),
    "output that is not all inline is collected first": After(
        make_final(run=make_finished(stdout=b"\xff\xfe", stderr=b"42\n"), recorded=True),
        (CollectOutput(pod_uid=POD_UID, attempt=1, streams=("stdout", "stderr")),),
    ),
    "collected output is not collected again": After(
        make_final(run=make_finished(stdout=b"\xff"), recorded=True, output_saved=True),
        (ReleaseRun(pod_uid=POD_UID, attempt=1),),
        0,
    ),
    "a run that a restarted operator hears of as running holds nothing up": After(
        make_final(run=make_run(), recorded=True)
    ),
    "a run that cannot be asked about holds nothing up": After(
        make_final(run=RunProblem(reason=ExecutionReason.LOST, message="gone"), recorded=True)
    ),
    "a pod that is gone holds nothing up": After(
        make_final(run=make_finished(), pod=None, recorded=True)
    ),
    "a pod that ended holds nothing up": After(
        make_final(run=make_finished(stdout=b"\xff"), pod=make_ended_pod(), recorded=True)
    ),
    "deleted, recorded: the finalizer goes": After(
        make_final(deleting=True, recorded=True), (RemoveFinalizer(),)
    ),
    "deleted, not recorded: it stays": After(make_final(deleting=True)),
    "deleted, without our finalizer": After(
        make_final(deleting=True, recorded=True, has_finalizer=False)
    ),
    "deleted, its output still to be collected": After(
        make_final(deleting=True, run=make_finished(stdout=b"\xff"), recorded=True),
        (CollectOutput(pod_uid=POD_UID, attempt=1, streams=("stdout",)),),
    ),
    "deleted, its pod still there: the pod first": After(
        one_shot(make_pod(), deleting=True, recorded=True), (DeletePod(pod_uid=POD_UID),), 10.0
    ),
    "after a restart the runner is asked before anything is let go": After(
        make_final(deleting=True, recorded=True, pod_ready=False),
        (ProbeRunner(pod_uid=POD_UID),),
        10.0,
    ),
    "after a restart, still asking": After(
        make_final(deleting=True, recorded=True, pod_ready=False, pod_asked_seconds=9.9),
        (ProbeRunner(pod_uid=POD_UID),),
        10.0,
    ),
    "after a restart, and the runner does not answer": After(
        make_final(deleting=True, recorded=True, pod_ready=False, pod_asked_seconds=10.0),
        (RemoveFinalizer(),),
    ),
    "after a restart, the runner answered and is about to tell": After(
        make_final(deleting=True, recorded=True, run_awaited=True, silent_seconds=9.0), (), 10.0
    ),
    "after a restart, the runner answered once and tells nothing more": After(
        make_final(deleting=True, recorded=True, run_awaited=True, silent_seconds=10.0),
        (RemoveFinalizer(),),
    ),
    "never handed over: no runner to ask": After(
        make_final(deleting=True, recorded=True, pod_ready=False, dispatched=None),
        (RemoveFinalizer(),),
    ),
    "one-shot pod that still runs is given ten seconds to exit": After(
        one_shot(make_pod(), recorded=True), (), 10.0, now=at(9.0)
    ),
    "one-shot pod that lingers is deleted": After(
        one_shot(make_pod(), recorded=True), (DeletePod(pod_uid=POD_UID),), 10.0, now=at(10.0)
    ),
    "one-shot pod whose runner says that the run ended tomorrow is not kept until then": After(
        one_shot(make_pod(), recorded=True), (DeletePod(pod_uid=POD_UID),), 10.0, now=at(-86_000.0)
    ),
    "one-shot pod that lingers is not deleted twice": After(
        one_shot(make_pod(deleting=True), recorded=True), (), 10.0, now=at(10.0)
    ),
    "one-shot pod that never started goes at once": After(
        one_shot(make_pending_pod(), recorded=True), (DeletePod(pod_uid=POD_UID),), 10.0
    ),
    "one-shot pod that never started and is recorded is let go": After(
        one_shot(make_pending_pod(deleting=True), recorded_pods=RECORDED_POD),
        (ReleasePod(pod_uid=POD_UID),),
        10.0,
    ),
    "one-shot pod that never started, let go already": After(
        one_shot(make_pending_pod(deleting=True, has_finalizer=False), recorded_pods=RECORDED_POD),
        (),
        10.0,
    ),
    "one-shot pod that ended stays until its times are in the ledger": After(
        one_shot(make_ended_pod()), (), 10.0
    ),
    "one-shot pod that ended and is recorded goes": After(
        one_shot(make_ended_pod(), recorded_pods=RECORDED_POD),
        (ReleasePod(pod_uid=POD_UID), DeletePod(pod_uid=POD_UID, grace_seconds=0)),
        10.0,
    ),
    "one-shot pod that ended, deleted by somebody, is let go": After(
        one_shot(make_ended_pod(deleting=True), recorded_pods=RECORDED_POD),
        (ReleasePod(pod_uid=POD_UID),),
        10.0,
    ),
    "one-shot pod that ended and was let go": After(
        one_shot(make_ended_pod(has_finalizer=False), recorded_pods=RECORDED_POD),
        (DeletePod(pod_uid=POD_UID, grace_seconds=0),),
        10.0,
    ),
    "time to live not over": After(make_final(spec=TTL, recorded=True), (), 40.0, now=at(20.0)),
    "time to live over": After(
        make_final(spec=TTL, recorded=True), (DeleteObject(),), None, now=at(60.0)
    ),
    "time to live over, not recorded: waits": After(make_final(spec=TTL), (), 5.0, now=at(60.0)),
    "time to live and no readable end: counted from now": After(
        make_final(spec=TTL, recorded=True, status={"completionTime": "soon"}), (), 60.0
    ),
    "a pod that lingers is looked after long before the time to live is over": After(
        one_shot(make_pod(), spec=TTL_ONE_SHOT, recorded=True), (), 10.0, now=at(1.0)
    ),
    "a malformed spec has no time to live": After(
        make_final(
            ExecutionState.FAILED, spec=InvalidManifest("spec", "bad", "fix it"), recorded=True
        )
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_finished_execution(case: After) -> None:
    decision = decide_execution(case.seen, case.now)
    assert decision.actions == case.want_actions
    assert decision.requeue_after_seconds == case.want_requeue_seconds
