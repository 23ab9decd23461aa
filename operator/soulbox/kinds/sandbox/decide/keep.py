"""The running case of a Sandbox: exactly one live pod, the newest incarnation."""

from datetime import datetime

from soulbox.kinds.sandbox.decide.actions import Action, Decision
from soulbox.kinds.sandbox.decide.ends import clear, replace_hurt, was_suspended
from soulbox.kinds.sandbox.decide.life import expiration_of, live_pods
from soulbox.kinds.sandbox.decide.seen import SeenSandbox
from soulbox.kinds.sandbox.decide.start import await_runner, told_again, was_unenforced
from soulbox.kinds.sandbox.decide.status import News, report
from soulbox.model.specs import NO_NETWORK, SandboxClassSpec, SandboxSpec
from soulbox.model.states import ConditionType, SandboxReason, SandboxState
from soulbox.model.times import parse_time
from soulbox.pure.actions import (
    AddFinalizer,
    CreatePod,
    DeletePod,
    EnsureNetworkPolicy,
    WriteStatus,
)
from soulbox.pure.conditions import turned_at
from soulbox.pure.pods.view import EndCause, PodPhase, PodView

# Starting is written only when it lasts over 1 s; creationTimestamp, cut to whole seconds,
# makes a pod look up to a second older than it is.
_QUIET_START_SECONDS = 2.0
# The kubelet's deadline and the operator's clock agree to within this: both count from times
# in whole seconds.
_DEADLINE_SLACK_SECONDS = 5.0
# Kubernetes' own back-off for restarted containers ends at five minutes.
_MAX_DELAY_SECONDS = 300.0
# How the news of a lost pod ends.
_FOLLOWS = "the next incarnation follows."
_NONE_FOLLOWS = "none follows it, the Sandbox is over."


def _over_its_class(seen: SeenSandbox) -> str:
    """What holds where the Sandbox, or its class, was changed since its pod was made."""
    if not seen.class_objection:
        return ""
    return (
        f" Over its class: {seen.class_objection} Times and counts are held to the class's "
        "maximum; its pod keeps the resources it has, and no other pod follows it."
    )


def keep_a_pod(
    seen: SeenSandbox, spec: SandboxSpec, sandbox_class: SandboxClassSpec, now: datetime
) -> Decision:
    """The running case: exactly one live pod, the newest incarnation."""
    live = live_pods(seen)
    old = [pod for pod in seen.pods if pod not in live]
    if live:
        newest = max(live, key=lambda pod: pod.incarnation)
        extra = tuple(DeletePod(pod_uid=pod.uid) for pod in live if pod is not newest)
        decision = _watch_pod(seen, spec, sandbox_class, newest, now)
        return Decision(
            actions=(*extra, *clear(seen, old), *decision.actions),
            requeue_after_seconds=decision.requeue_after_seconds,
        )
    if old and was_suspended(seen):
        actions = clear(seen, old)
        if any(pod.phase is not PodPhase.ENDED for pod in old):
            return Decision(actions=actions)
        return _next(seen, spec, sandbox_class, now, actions)
    if old:
        # Where its successor is refused that is the newer news: the loss was told before.
        told = seen.pod_refusal is not None and seen.state is SandboxState.ERROR
        actions = clear(seen, old) if told else _lose(seen, spec, sandbox_class, old, now)
        # What keeps an ended pod is its record; its successor does not wait for PostgreSQL.
        # A pod that is only being deleted is given its grace period first.
        written = any(isinstance(action, WriteStatus) for action in actions)
        if written or any(pod.phase is not PodPhase.ENDED for pod in old):
            return Decision(actions=actions)
        return _next(seen, spec, sandbox_class, now, actions)
    if seen.state in (SandboxState.RUNNING, SandboxState.STARTING) and not was_suspended(seen):
        return _lost_without_trace(seen, sandbox_class, now)
    return _next(seen, spec, sandbox_class, now)


def _next(
    seen: SeenSandbox,
    spec: SandboxSpec,
    sandbox_class: SandboxClassSpec,
    now: datetime,
    before: tuple[Action, ...] = (),
) -> Decision:
    """The next incarnation, after its back-off; `before` is done in any case."""
    wait = _delay_left(seen, now)
    if wait > 0:
        return Decision(actions=before, requeue_after_seconds=wait)
    created = _create(seen, spec, sandbox_class, now)
    return Decision(actions=(*before, *created.actions))


def _create(
    seen: SeenSandbox, spec: SandboxSpec, sandbox_class: SandboxClassSpec, now: datetime
) -> Decision:
    actions: list[Action] = []
    if seen.pod_refusal is not None:
        refusal = seen.pod_refusal
        actions += report(
            seen,
            News(
                state=SandboxState.ERROR, reason=refusal.reason, message=refusal.message, warn=True
            ),
            now,
        )
    if not seen.has_finalizer:
        actions.append(AddFinalizer())
    # The kubelet's deadline can be lowered and never raised, spec.lifetimeSeconds may be: so the
    # pod gets the most that its class allows, and the operator ends it in time (decision 0069).
    lifetime = sandbox_class.max.lifetime_seconds
    started = parse_time(seen.status.get("startTime"))
    if started is not None:
        lifetime = max(1, int(lifetime - (now - started).total_seconds()))
    actions += [
        EnsureNetworkPolicy(profile=sandbox_class.profile(spec.network) or NO_NETWORK),
        CreatePod(incarnation=seen.incarnation + 1, lifetime_seconds=lifetime),
    ]
    return Decision(actions=tuple(actions))


def _watch_pod(
    seen: SeenSandbox,
    spec: SandboxSpec,
    sandbox_class: SandboxClassSpec,
    pod: PodView,
    now: datetime,
) -> Decision:
    if pod.phase is PodPhase.RUNNING:
        if pod.uid not in seen.ready_pods:
            return await_runner(seen, sandbox_class, pod, now)
        if pod.uid in seen.hurt_pods:
            return replace_hurt(seen, pod, now)
        return Decision(actions=_report_running(seen, spec, sandbox_class, pod, now))
    age = (now - pod.created_at).total_seconds()
    if pod.trouble is None and age < _QUIET_START_SECONDS:
        return Decision(requeue_after_seconds=_QUIET_START_SECONDS - age)
    if pod.trouble is not None:
        troubled = News(
            state=SandboxState.STARTING,
            reason=pod.trouble.reason,
            message=pod.trouble.message,
            pod=pod,
            warn=True,
        )
        decision = Decision(actions=report(seen, troubled, now))
        return decision.asking_why_pending(pod.uid, age) if pod.trouble.of_events else decision
    starting = News(
        state=SandboxState.STARTING,
        reason=SandboxReason.POD_STARTING,
        message="Its pod is starting.",
        pod=pod,
    )
    return Decision(actions=report(seen, starting, now)).asking_why_pending(pod.uid, age)


def _lose(
    seen: SeenSandbox,
    spec: SandboxSpec,
    sandbox_class: SandboxClassSpec,
    old: list[PodView],
    now: datetime,
) -> tuple[Action, ...]:
    """The pod ended: say so, once, and clear it away."""
    last = max(old, key=lambda pod: pod.incarnation)
    if was_unenforced(seen):  # why it goes was told, its times were not
        return (*report(seen, told_again(seen, last), now), *clear(seen, old))
    # The deadline was set when the pod was made; the lifetime may have been raised since.
    until = expiration_of(seen, spec, sandbox_class)
    expired = last.end_cause is EndCause.DEADLINE and (
        until is None or (until - now).total_seconds() < _DEADLINE_SLACK_SECONDS
    )
    follows = sandbox_class.replace_lost_pods and not expired
    message = f"{_lost_message(last)}{_FOLLOWS if follows else _NONE_FOLLOWS}"
    lost = News(
        state=SandboxState.ERROR if follows else SandboxState.TERMINATED,
        reason=SandboxReason.LIFETIME_EXPIRED if expired else SandboxReason.POD_LOST,
        message=message,
        pod=last,
        warn=True,
    )
    return (*report(seen, lost, now), *clear(seen, old))


def _lost_message(pod: PodView) -> str:
    if pod.deleting and pod.phase is not PodPhase.ENDED:
        return f"Its pod {pod.name} is being deleted; "
    detail = f" ({pod.end_message})" if pod.end_message else ""
    return f"Its pod {pod.name} ended{detail}; "


def _lost_without_trace(
    seen: SeenSandbox, sandbox_class: SandboxClassSpec, now: datetime
) -> Decision:
    """The pod vanished, finalizer and all (forced away by somebody)."""
    follows = sandbox_class.replace_lost_pods
    state = SandboxState.ERROR if follows else SandboxState.TERMINATED
    message = f"Its pod vanished without a trace; {_FOLLOWS if follows else _NONE_FOLLOWS}"
    return Decision(
        actions=report(
            seen, News(state=state, reason=SandboxReason.POD_LOST, message=message, warn=True), now
        )
    )


def _delay_left(seen: SeenSandbox, now: datetime) -> float:
    """Back-off before the next incarnation: none after a healthy life, else doubling with each
    short one in a row. Counted from its pod's end, which Ready tells only of one that was."""
    if seen.state is not SandboxState.ERROR or seen.short_lives == 0:
        return 0.0
    ready_turned = turned_at(seen.status, ConditionType.READY)
    ends = [one for one in (ready_turned, seen.last_end) if one is not None]
    if not ends:
        return 0.0
    delay = min(_MAX_DELAY_SECONDS, 2.0 ** min(seen.short_lives - 1, 9) - 1.0)
    return delay - (now - max(ends)).total_seconds()


def _report_running(
    seen: SeenSandbox,
    spec: SandboxSpec,
    sandbox_class: SandboxClassSpec,
    pod: PodView,
    now: datetime,
) -> tuple[Action, ...]:
    return report(
        seen,
        News(
            state=SandboxState.RUNNING,
            reason=SandboxReason.RUNNING,
            message=f"Its runner answers; Executions can run.{_over_its_class(seen)}",
            pod=pod,
            expiration=expiration_of(seen, spec, sandbox_class),
        ),
        now,
    )
