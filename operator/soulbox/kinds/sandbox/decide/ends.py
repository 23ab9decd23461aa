"""Runs end, then pods: of a Sandbox that is suspended, over, deleted or hurt."""

from datetime import datetime

from soulbox.kinds.sandbox.decide.actions import Action, Decision
from soulbox.kinds.sandbox.decide.life import expiration_of, expire, live_pods
from soulbox.kinds.sandbox.decide.seen import SeenSandbox
from soulbox.kinds.sandbox.decide.status import News, report
from soulbox.model.specs import SandboxSpec
from soulbox.model.states import SandboxReason, SandboxState
from soulbox.pure.actions import (
    DeletePod,
    ReleasePod,
    RemoveFinalizer,
    WriteStatus,
)
from soulbox.pure.pods.view import PodPhase, PodView

# Runs get this long to be cancelled and reported before their pod goes anyway.
_DRAIN_SECONDS = 10.0


def decide_suspended(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> Decision:
    """Runs end, then the pod goes. Its lifetime is over all the same when it is."""
    expiration = expiration_of(seen, spec, seen.sandbox_class)
    if expiration is not None and now >= expiration:
        return expire(seen, now)
    look = None if expiration is None else (expiration - now).total_seconds()
    last = max(seen.pods, key=lambda pod: pod.incarnation, default=None)
    live = live_pods(seen)
    hurt = next((pod for pod in live if pod.uid in seen.hurt_pods), None)
    if seen.running_executions and hurt is not None:  # they may never end by themselves
        return replace_hurt(seen, hurt, now)
    if seen.running_executions and live:
        many = seen.running_executions
        runs = "1 Execution ends" if many == 1 else f"{many} Executions end"
        news = News(
            state=SandboxState.RUNNING,
            reason=SandboxReason.SUSPENDING,
            message=f"It is suspended as soon as {runs} in it; no other begins.",
            pod=last,
        )
        return Decision(actions=report(seen, news, now), requeue_after_seconds=look)
    objection = f" It cannot be resumed as it is: {seen.class_objection}"
    news = News(
        state=SandboxState.STOPPED,
        reason=SandboxReason.SUSPENDED,
        message=(
            "Suspended (spec.suspend): it has no pod and is not billed. Executions wait until "
            f"suspend is false.{objection if seen.class_objection else ''}"
        ),
        pod=last,
    )
    stopped = all(pod.phase is PodPhase.ENDED for pod in seen.pods)
    if not stopped:
        # The kubelet's word comes first: until then it is billed, and not stopped.
        return Decision(actions=clear(seen, list(seen.pods)), requeue_after_seconds=look)
    actions = (*report(seen, news, now), *clear(seen, list(seen.pods)))
    return Decision(actions=actions, requeue_after_seconds=look)


def was_suspended(seen: SeenSandbox) -> bool:
    """Whether its pods went because it was suspended, and nothing was lost."""
    reasons = (SandboxReason.SUSPENDED.value, SandboxReason.SUSPENDING.value)
    return seen.status.get("reason") in reasons


def replace_hurt(seen: SeenSandbox, pod: PodView, now: datetime) -> Decision:
    """Its code may have crippled it. It is billed until its pod's end, and its runs end with it."""
    message = (
        f"The runner in its pod {pod.name} can be reached but no longer serves calls; the pod "
        "is deleted, and what ran in it is lost."
    )
    news = News(
        state=SandboxState.ERROR,
        reason=SandboxReason.RUNNER_FAILED,
        message=message,
        pod=pod,
        warn=True,
    )
    return Decision(actions=(*report(seen, news, now), DeletePod(pod_uid=pod.uid)))


def end_deleted(seen: SeenSandbox, now: datetime, *, since: datetime) -> Decision:
    """It, or its namespace, is being deleted: it says so, unless it was over before, once that
    takes longer than a pod that has nothing to end."""
    ended = wind_down(seen, now, since=since)
    if seen.state is SandboxState.TERMINATED:
        return ended
    left = _DRAIN_SECONDS - (now - since).total_seconds()
    if not seen.running_executions and left > 0:
        return ended.no_later_than(left)
    what = "It" if seen.deletion_time is not None else "Its namespace"
    message = f"{what} is being deleted: runs end, then its pod, then it is recorded."
    news = News(state=SandboxState.TERMINATED, reason=SandboxReason.DELETED, message=message)
    # Told first: what ends with it says so.
    return Decision(
        actions=(*report(seen, news, now), *ended.actions),
        requeue_after_seconds=ended.requeue_after_seconds,
    )


def wind_down(seen: SeenSandbox, now: datetime, *, since: datetime) -> Decision:
    """Runs end, then pods, then (when deleted) the finalizer goes."""
    waited = (now - since).total_seconds()
    stale = seen.status.get("observedGeneration", seen.generation) != seen.generation
    if seen.deletion_time is None and stale:
        # Nothing else changes on it any more; kstatus calls a stale one in progress.
        status = {"observedGeneration": seen.generation}
        return Decision(actions=(WriteStatus(status=status),), requeue_after_seconds=0)
    if seen.running_executions and waited < _DRAIN_SECONDS:
        # They see that their sandbox is ending and cancel themselves, output kept.
        return Decision(requeue_after_seconds=_DRAIN_SECONDS - waited)
    actions = list(clear(seen, list(seen.pods)))
    if not seen.pods and seen.deletion_time is not None and seen.has_finalizer and seen.recorded:
        actions.append(RemoveFinalizer())
    return Decision(actions=tuple(actions))


def clear(seen: SeenSandbox, pods: list[PodView]) -> tuple[Action, ...]:
    """Delete pods, and let go of those that ended and are recorded."""
    actions: list[Action] = []
    for pod in pods:
        recorded = pod.uid in seen.recorded_pods
        if not pod.deleting:
            actions.append(DeletePod(pod_uid=pod.uid))
        elif pod.has_finalizer and recorded:
            actions.append(ReleasePod(pod_uid=pod.uid))
    return tuple(actions)
