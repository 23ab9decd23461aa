"""After the final status: nothing of the outcome is lost on the way out."""

from datetime import datetime

from soulbox.kinds.execution.decide.actions import (
    NOTHING,
    Action,
    CollectOutput,
    Decision,
    DeleteObject,
    ReleaseRun,
)
from soulbox.kinds.execution.decide.seen import SeenExecution
from soulbox.kinds.execution.decide.status import files_to_save, streams_to_save
from soulbox.model.runs import RunDocument
from soulbox.model.specs import ExecutionSpec
from soulbox.model.states import RunState
from soulbox.model.times import parse_time
from soulbox.pure.actions import DeletePod, ProbeRunner, ReleasePod, RemoveFinalizer, WriteStatus
from soulbox.pure.pods.view import PodPhase

# A one-shot runner exits by itself on release; if it has not by then, its pod is deleted.
LINGER_SECONDS = 10.0


def wind_down(seen: SeenExecution, now: datetime) -> Decision:
    """After the final status: nothing of the outcome is lost on the way out."""
    stale = seen.status.get("observedGeneration", seen.generation) != seen.generation
    if stale and not seen.deleting:
        # Of a finished object nothing else changes; kstatus calls a stale one in progress.
        status = {"observedGeneration": seen.generation}
        return Decision(actions=(WriteStatus(status=status),), requeue_after_seconds=0)
    held = _ask_for_result(seen) or _hand_over_output(seen)
    if held is not None:
        return held
    actions = list(_clear_own_pods(seen, now))
    if seen.deleting:
        if seen.has_finalizer and seen.recorded and not seen.own_pods:
            actions.append(RemoveFinalizer())
        return Decision(actions=tuple(actions), requeue_after_seconds=_linger(seen))
    if not isinstance(seen.spec, ExecutionSpec) or seen.spec.ttl_seconds_after_finished is None:
        return Decision(actions=tuple(actions), requeue_after_seconds=_linger(seen))
    completed = parse_time(seen.status.get("completionTime")) or now
    left = seen.spec.ttl_seconds_after_finished - (now - completed).total_seconds()
    if left <= 0 and seen.recorded:
        actions.append(DeleteObject())
    decision = Decision(
        actions=tuple(actions),
        requeue_after_seconds=left if left > 0 else (None if seen.recorded else 5.0),
    )
    return decision.no_later_than(LINGER_SECONDS) if seen.own_pods else decision


def _linger(seen: SeenExecution) -> float | None:
    return LINGER_SECONDS if seen.own_pods else None


def _ask_for_result(seen: SeenExecution) -> Decision | None:
    """After a restart: what the runner still holds is asked for before anything is let go.
    A runner that does not answer is not waited for long."""
    pod = seen.pod
    if seen.run is not None or seen.dispatched is None:
        return None
    if pod is None or pod.phase is not PodPhase.RUNNING:
        return None
    if seen.pod_ready:
        awaited = seen.run_awaited and (seen.silent_seconds or 0.0) < LINGER_SECONDS
        # Its word brings the key back; so does its silence.
        return Decision(requeue_after_seconds=LINGER_SECONDS) if awaited else None
    if seen.pod_asked_seconds is not None and seen.pod_asked_seconds >= LINGER_SECONDS:
        return None
    probe = ProbeRunner(pod_uid=pod.uid)
    return Decision(actions=(probe,), requeue_after_seconds=LINGER_SECONDS)


def _hand_over_output(seen: SeenExecution) -> Decision | None:
    """Save what is not inline, then release; None when the runner holds nothing more."""
    run, pod = seen.run, seen.pod
    if not isinstance(run, RunDocument) or pod is None or pod.phase is not PodPhase.RUNNING:
        return None
    if run.state is not RunState.FINISHED:
        return None
    streams = (
        ()
        if seen.output_saved
        else streams_to_save(seen.status, run, keeps_log=seen.call is not None)
    )
    files = () if seen.output_saved else files_to_save(seen.status, run)
    if streams or files:
        collect = CollectOutput(
            pod_uid=pod.uid,
            attempt=run.attempt,
            streams=streams,
            files=files,
            keeps_log=seen.call is not None,
        )
        return Decision(actions=(collect,))
    if not seen.recorded:
        return NOTHING  # the mirror's commit brings the key back
    # Nothing changes on the object by that: look again, for what comes after.
    release = ReleaseRun(pod_uid=pod.uid, attempt=run.attempt)
    return Decision(actions=(release,), requeue_after_seconds=0)


def _clear_own_pods(seen: SeenExecution, now: datetime) -> tuple[Action, ...]:
    """One-shot pods go once their times are in the ledger."""
    completed = parse_time(seen.status.get("completionTime")) or now
    actions: list[Action] = []
    for pod in seen.own_pods:
        if pod.phase is PodPhase.ENDED:
            if pod.has_finalizer and pod.uid in seen.recorded_pods:
                actions.append(ReleasePod(pod_uid=pod.uid))
            if not pod.deleting and pod.uid in seen.recorded_pods:
                actions.append(DeletePod(pod_uid=pod.uid, grace_seconds=0))
        elif pod.phase is PodPhase.PENDING and pod.deleting:
            if pod.has_finalizer and pod.uid in seen.recorded_pods:
                actions.append(ReleasePod(pod_uid=pod.uid))
        elif not pod.deleting:
            # Either way: a runner may tell of a completion that lies ahead.
            lingered = abs((now - completed).total_seconds()) >= LINGER_SECONDS
            if seen.deleting or lingered or pod.phase is PodPhase.PENDING:
                actions.append(DeletePod(pod_uid=pod.uid))
    return tuple(actions)
