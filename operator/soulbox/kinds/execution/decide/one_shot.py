"""An Execution with a pod of its own, until its code is handed over to that."""

from dataclasses import replace
from datetime import datetime, timedelta

from soulbox.kinds.execution.decide.actions import Action, Decision, ForgetDispatch
from soulbox.kinds.execution.decide.end import failed, finish
from soulbox.kinds.execution.decide.outcome import ending_of_pod
from soulbox.kinds.execution.decide.seen import SeenExecution
from soulbox.kinds.execution.decide.waits import (
    LONG_WAIT_SECONDS,
    dispatch,
    wait,
    wait_for_class,
    wait_for_code,
    wait_for_room,
)
from soulbox.model.specs import MAX_ATTEMPTS, NO_NETWORK
from soulbox.model.states import ExecutionReason
from soulbox.pure.actions import (
    AddFinalizer,
    CreatePod,
    DeletePod,
    EnsureNetworkPolicy,
    PostEvent,
    ProbeRunner,
    ReleasePod,
    WriteStatus,
)
from soulbox.pure.pods.view import EndCause, PodPhase, PodView

# How long a pod that cannot pull its image or start is given: registries and nodes recover.
_TROUBLE_SECONDS = 60.0


def decide_one_shot(seen: SeenExecution, now: datetime) -> Decision:
    """The next actions for one that waits for its own pod, or lacks one."""
    if seen.class_objection:  # first: a malformed class is objected to, and not missing
        return finish(seen, failed(ExecutionReason.INVALID_SPEC, seen.class_objection), now)
    if seen.sandbox_class is None:
        return wait_for_class(seen, now)
    if seen.code_missing is not None:  # before a pod is paid for
        return wait_for_code(seen, seen.code_missing, now)
    pod = seen.pod
    if pod is None:
        return _create_own_pod(seen, now)
    if pod.deleting or pod.phase is PodPhase.ENDED:
        return _pod_ended_unused(seen, pod, now)
    if pod.phase is PodPhase.PENDING:
        return _wait_for_pod(seen, pod, now)
    if not seen.pod_ready:
        return _wait_for_runner(seen, pod, now)
    return dispatch(seen, pod, None, now)


def _pod_ended_unused(seen: SeenExecution, pod: PodView, now: datetime) -> Decision:
    """None of its code has run there, so that another pod can run nothing twice: rejected by its
    node, deleted, evicted. A runner that ends by itself would do so again."""
    ending = replace(ending_of_pod(pod, started=False), never_started=True)
    hopeless = pod.phase is PodPhase.ENDED and pod.end_cause in (
        EndCause.FINISHED,
        EndCause.OOM_KILLED,
    )
    if hopeless or pod.incarnation >= MAX_ATTEMPTS:
        return finish(seen, ending, now)
    message = f"{ending.message} It gets another pod."
    actions: tuple[Action, ...] = (
        ForgetDispatch(attempts=pod.incarnation),
        PostEvent(type="Warning", reason=ending.reason.value, message=message, action="Run"),
    )
    return Decision(actions=actions, requeue_after_seconds=0)


def _wait_for_runner(seen: SeenExecution, pod: PodView, now: datetime) -> Decision:
    """Its own pod's container runs; the runner in it answers in a moment, or never, or starts no
    code for want of a network policy that holds."""
    probe = ProbeRunner(pod_uid=pod.uid)
    if seen.unenforced is not None:
        message = f"{seen.unenforced.message} None of its code ran."
        if seen.unenforced.is_over:
            ending = failed(ExecutionReason.NETWORK_NOT_ENFORCED, message)
            return finish(seen, replace(ending, never_started=True), now)
        waited = wait(seen, message, now) if seen.unenforced.is_news else Decision()
        return Decision(
            actions=(*waited.actions, probe),
            requeue_after_seconds=seen.unenforced.look_again_seconds,
        )
    asked = seen.pod_asked_seconds or 0.0
    if asked >= _TROUBLE_SECONDS:
        message = (
            f"The runner in its pod has not answered for {int(asked)} s. None of its code ran."
        )
        return finish(seen, failed(ExecutionReason.START_FAILED, message), now)
    return Decision(actions=(probe,), requeue_after_seconds=_TROUBLE_SECONDS - asked)


def _create_own_pod(seen: SeenExecution, now: datetime) -> Decision:
    if seen.pod_refusal is not None:
        waited = wait_for_room(seen, seen.pod_refusal, seen.pod_refusal.message, now)
        if any(isinstance(a, WriteStatus) for a in waited.actions):
            return waited
    actions: list[Action] = [EnsureNetworkPolicy(profile=NO_NETWORK)]
    if not seen.has_finalizer:
        actions.append(AddFinalizer())
    actions.append(CreatePod(incarnation=seen.lost_attempts + 1, lifetime_seconds=None))
    return Decision(actions=tuple(actions), requeue_after_seconds=LONG_WAIT_SECONDS)


def _wait_for_pod(seen: SeenExecution, pod: PodView, now: datetime) -> Decision:
    age = (now - pod.created_at).total_seconds()
    if pod.trouble is None:
        return wait(seen, "Waiting for its pod to start.", now).asking_why_pending(pod.uid, age)
    message = f"Its pod cannot start: {pod.trouble.message}"
    given_up_at = pod.created_at + timedelta(seconds=_TROUBLE_SECONDS)
    reason = {
        "ImagePullFailed": ExecutionReason.IMAGE_PULL_FAILED,
        "StartFailed": ExecutionReason.START_FAILED,
    }.get(pod.trouble.reason)
    if reason is None:
        return wait(seen, message, now)
    if now >= given_up_at:
        return finish(seen, failed(reason, message), now)
    # The kubelet may have nothing new to say until then.
    waited = wait(seen, message, now).no_later_than((given_up_at - now).total_seconds())
    return waited.asking_why_pending(pod.uid, age) if pod.trouble.of_events else waited


def clear_lost_pods(seen: SeenExecution) -> tuple[Action, ...]:
    """Those of earlier attempts go once they are recorded, whatever becomes of the next."""
    actions: list[Action] = []
    for pod in seen.own_pods:
        if pod.incarnation > seen.lost_attempts:
            continue
        if not pod.deleting:
            ended = pod.phase is PodPhase.ENDED
            actions.append(DeletePod(pod_uid=pod.uid, grace_seconds=0 if ended else None))
        elif pod.has_finalizer and pod.uid in seen.recorded_pods:
            actions.append(ReleasePod(pod_uid=pod.uid))
    return tuple(actions)
