"""What to do next about one Sandbox. ::

finalizer ─> network policy ─> pod of incarnation n ─> runner answers: Running
pod ended: its rows committed ─> pod goes ─> after a delay incarnation n + 1
lifetime over: runs end ─> pod goes ─> Terminated, the object stays
idle for too long: the same
suspended: runs end ─> pod goes ─> Stopped; resumed: incarnation n + 1
deleted: runs end ─> pod goes ─> final row committed ─> finalizer goes
"""

from datetime import datetime, timedelta

from soulbox.kinds.sandbox.decide.actions import Action, Decision
from soulbox.kinds.sandbox.decide.seen import SeenSandbox
from soulbox.kinds.sandbox.decide.start import await_runner, told_again, was_unenforced
from soulbox.kinds.sandbox.decide.status import News, report
from soulbox.kinds.sandbox_class.decide.limits import lifetime_seconds
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import NO_NETWORK, SandboxClassSpec, SandboxSpec
from soulbox.model.states import SandboxReason, SandboxState
from soulbox.model.times import parse_time
from soulbox.pure.actions import (
    AddFinalizer,
    CreatePod,
    DeletePod,
    EnsureNetworkPolicy,
    ReleasePod,
    RemoveFinalizer,
    WriteStatus,
)
from soulbox.pure.pods.view import EndCause, PodPhase, PodView

# Starting is written only when it lasts over 1 s; creationTimestamp, cut to whole seconds,
# makes a pod look up to a second older than it is.
_QUIET_START_SECONDS = 2.0
# Runs get this long to be cancelled and reported before their pod goes anyway.
_DRAIN_SECONDS = 10.0
# The kubelet's deadline and the operator's clock agree to within this: both count from times
# in whole seconds.
_DEADLINE_SLACK_SECONDS = 5.0
# Kubernetes' own back-off for restarted containers ends at five minutes.
_MAX_DELAY_SECONDS = 300.0
# How the news of a lost pod ends.
_FOLLOWS = "the next incarnation follows."
_NONE_FOLLOWS = "none follows it, the Sandbox is over."


def decide_sandbox(seen: SeenSandbox, now: datetime) -> Decision:
    """The next actions for one Sandbox; the same input gives the same answer."""
    decision = _decide(seen, now)
    # Whoever replaces the object by its manifest takes it off.
    had_pod = seen.pods or seen.incarnation
    if not seen.has_finalizer and seen.deletion_time is None and had_pod:
        decision = decision.with_finalizer()
    return decision


def _decide(seen: SeenSandbox, now: datetime) -> Decision:
    ending_since = seen.deletion_time or seen.namespace_deletion_time
    if ending_since is not None:
        return _end_deleted(seen, now, since=ending_since)
    if seen.state is SandboxState.TERMINATED:
        return _end(seen, now, since=parse_time(seen.status.get("terminationTime")) or now)
    if isinstance(seen.spec, InvalidManifest):
        return _stall(seen, SandboxReason.INVALID_SPEC, str(seen.spec), now)
    if seen.spec.suspend:
        return _suspend(seen, seen.spec, now)
    if not _live(seen):
        refused = _refuse_class(seen, seen.spec, now)
        if refused is not None:
            return refused
    expiration = _expiration(seen, seen.spec, seen.sandbox_class)
    if expiration is not None and now >= expiration:
        return _expire(seen, now)
    idle_left = _idle_seconds_left(seen, seen.spec, now)
    if idle_left is not None and idle_left <= 0:
        return _expire_idle(seen, seen.spec, now)
    if seen.sandbox_class is None:
        decision = _go_on_without_class(seen, seen.spec, now)
    else:
        decision = _keep_a_pod(seen, seen.spec, seen.sandbox_class, now)
    if idle_left is not None:
        decision = decision.no_later_than(idle_left)
    if expiration is not None:
        decision = decision.no_later_than((expiration - now).total_seconds())
    return _count(seen, decision)


def _suspend(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> Decision:
    """Runs end, then the pod goes. Its lifetime is over all the same when it is."""
    expiration = _expiration(seen, spec, seen.sandbox_class)
    if expiration is not None and now >= expiration:
        return _expire(seen, now)
    look = None if expiration is None else (expiration - now).total_seconds()
    last = max(seen.pods, key=lambda pod: pod.incarnation, default=None)
    live = _live(seen)
    hurt = next((pod for pod in live if pod.uid in seen.hurt_pods), None)
    if seen.running_executions and hurt is not None:  # they may never end by themselves
        return _replace_hurt(seen, hurt, now)
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
        return Decision(actions=_clear(seen, list(seen.pods)), requeue_after_seconds=look)
    actions = (*report(seen, news, now), *_clear(seen, list(seen.pods)))
    return Decision(actions=actions, requeue_after_seconds=look)


def _was_suspended(seen: SeenSandbox) -> bool:
    """Whether its pods went because it was suspended, and nothing was lost."""
    reasons = (SandboxReason.SUSPENDED.value, SandboxReason.SUSPENDING.value)
    return seen.status.get("reason") in reasons


def _idle_seconds_left(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> float | None:
    """How much longer it may be idle; None: for ever, or it is not idle."""
    live = [pod for pod in _live(seen) if pod.phase is PodPhase.RUNNING]
    busy = seen.running_executions or seen.activity.running or seen.activity.queued
    if spec.idle_timeout_seconds is None or not live or busy:
        return None
    times = [pod.started_at for pod in live]
    times += [parse_time(seen.activity.last_time), parse_time(seen.status.get("lastActivityTime"))]
    since = max((time for time in times if time is not None), default=None)
    if since is None:
        return None
    return spec.idle_timeout_seconds - (now - since).total_seconds()


def _expire_idle(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> Decision:
    message = (
        f"No Execution ran or waited in it for {spec.idle_timeout_seconds} s "
        "(spec.idleTimeoutSeconds); delete it and make a new one."
    )
    news = News(state=SandboxState.TERMINATED, reason=SandboxReason.IDLE_EXPIRED, message=message)
    return Decision(actions=report(seen, news, now))


def _count(seen: SeenSandbox, decision: Decision) -> Decision:
    """Counters and last activity, when they changed and are due."""
    status = seen.activity.as_status()
    if seen.state is not SandboxState.RUNNING or any(
        isinstance(action, WriteStatus) for action in decision.actions
    ):
        return decision
    if all(seen.status.get(key) == value for key, value in status.items()):
        return decision
    if seen.status.get("executions") is None and not any(status["executions"].values()):
        return decision
    if seen.activity_due_seconds > 0:
        return decision.no_later_than(seen.activity_due_seconds)
    return Decision(
        actions=(*decision.actions, WriteStatus(status=status)),
        requeue_after_seconds=decision.requeue_after_seconds,
    )


def _refuse_class(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> Decision | None:
    """Why no pod is made under the class as it is now; None when one may be."""
    if seen.class_objection:  # first: a malformed class is objected to, and not missing
        decision = _stall(seen, SandboxReason.INVALID_SPEC, seen.class_objection, now)
    elif seen.sandbox_class is None:
        message = (
            f'SandboxClass "{spec.class_name}" does not exist; create it, or make a new '
            "Sandbox with one of `kubectl get sandboxclasses`."
        )
        news = News(
            state=SandboxState.CREATED, reason=SandboxReason.CLASS_NOT_FOUND, message=message
        )
        decision = Decision(actions=report(seen, news, now))
    else:
        return None
    return Decision(actions=(*decision.actions, *_clear(seen, list(seen.pods))))


def _expiration(
    seen: SeenSandbox, spec: SandboxSpec, sandbox_class: SandboxClassSpec | None
) -> datetime | None:
    """Lifetime counts from the first start of a pod; None before it. Without the class what was
    written under it goes on to hold."""
    started = parse_time(seen.status.get("startTime"))
    if started is None:
        starts = [pod.started_at for pod in seen.pods if pod.started_at is not None]
        started = min(starts, default=None)
    if started is None:
        return None
    if sandbox_class is not None:
        return started + timedelta(seconds=lifetime_seconds(spec, sandbox_class))
    if spec.lifetime_seconds is not None:
        return started + timedelta(seconds=spec.lifetime_seconds)
    return parse_time(seen.status.get("expirationTime"))


def _go_on_without_class(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> Decision:
    """What runs goes on; Executions need the class to begin."""
    running = [pod for pod in _live(seen) if pod.uid in seen.ready_pods]
    if seen.state is not SandboxState.RUNNING or not running:
        return Decision()
    gone = f'SandboxClass "{spec.class_name}" does not exist any more'
    news = News(
        state=SandboxState.RUNNING,
        reason=SandboxReason.CLASS_NOT_FOUND,
        message=f"{seen.class_objection or gone}. What is running goes on; no other Execution "
        "begins until the class is there as it was.",
        pod=max(running, key=lambda pod: pod.incarnation),
        warn=True,
    )
    return Decision(actions=report(seen, news, now))


def _over_its_class(seen: SeenSandbox) -> str:
    """What holds where the Sandbox, or its class, was changed since its pod was made."""
    if not seen.class_objection:
        return ""
    return (
        f" Over its class: {seen.class_objection} Times and counts are held to the class's "
        "maximum; its pod keeps the resources it has, and no other pod follows it."
    )


def _live(seen: SeenSandbox) -> list[PodView]:
    return [pod for pod in seen.pods if pod.phase is not PodPhase.ENDED and not pod.deleting]


def _keep_a_pod(
    seen: SeenSandbox, spec: SandboxSpec, sandbox_class: SandboxClassSpec, now: datetime
) -> Decision:
    """The running case: exactly one live pod, the newest incarnation."""
    live = _live(seen)
    old = [pod for pod in seen.pods if pod not in live]
    if live:
        newest = max(live, key=lambda pod: pod.incarnation)
        extra = tuple(DeletePod(pod_uid=pod.uid) for pod in live if pod is not newest)
        decision = _watch_pod(seen, spec, sandbox_class, newest, now)
        return Decision(
            actions=(*extra, *_clear(seen, old), *decision.actions),
            requeue_after_seconds=decision.requeue_after_seconds,
        )
    if old and _was_suspended(seen):
        actions = _clear(seen, old)
        if any(pod.phase is not PodPhase.ENDED for pod in old):
            return Decision(actions=actions)
        return _next(seen, spec, sandbox_class, now, actions)
    if old:
        # Where its successor is refused that is the newer news: the loss was told before.
        told = seen.pod_refusal is not None and seen.state is SandboxState.ERROR
        actions = _clear(seen, old) if told else _lose(seen, spec, sandbox_class, old, now)
        # What keeps an ended pod is its record; its successor does not wait for PostgreSQL.
        # A pod that is only being deleted is given its grace period first.
        written = any(isinstance(action, WriteStatus) for action in actions)
        if written or any(pod.phase is not PodPhase.ENDED for pod in old):
            return Decision(actions=actions)
        return _next(seen, spec, sandbox_class, now, actions)
    if seen.state in (SandboxState.RUNNING, SandboxState.STARTING) and not _was_suspended(seen):
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
            return _replace_hurt(seen, pod, now)
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


def _replace_hurt(seen: SeenSandbox, pod: PodView, now: datetime) -> Decision:
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
        return (*report(seen, told_again(seen, last), now), *_clear(seen, old))
    # The deadline was set when the pod was made; the lifetime may have been raised since.
    until = _expiration(seen, spec, sandbox_class)
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
    return (*report(seen, lost, now), *_clear(seen, old))


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
    conditions = seen.status.get("conditions") or []
    ready = (c.get("lastTransitionTime") for c in conditions if c.get("type") == "Ready")
    ends = [one for one in (parse_time(next(ready, None)), seen.last_end) if one is not None]
    if not ends:
        return 0.0
    delay = min(_MAX_DELAY_SECONDS, 2.0 ** min(seen.short_lives - 1, 9) - 1.0)
    return delay - (now - max(ends)).total_seconds()


def _expire(seen: SeenSandbox, now: datetime) -> Decision:
    message = "Its lifetime is over (spec.lifetimeSeconds); delete it and make a new one."
    status = report(
        seen,
        News(state=SandboxState.TERMINATED, reason=SandboxReason.LIFETIME_EXPIRED, message=message),
        now,
    )
    return Decision(actions=status)


def _end_deleted(seen: SeenSandbox, now: datetime, *, since: datetime) -> Decision:
    """It, or its namespace, is being deleted: it says so, unless it was over before, once that
    takes longer than a pod that has nothing to end."""
    ended = _end(seen, now, since=since)
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


def _end(seen: SeenSandbox, now: datetime, *, since: datetime) -> Decision:
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
    actions = list(_clear(seen, list(seen.pods)))
    if not seen.pods and seen.deletion_time is not None and seen.has_finalizer and seen.recorded:
        actions.append(RemoveFinalizer())
    return Decision(actions=tuple(actions))


def _clear(seen: SeenSandbox, pods: list[PodView]) -> tuple[Action, ...]:
    """Delete pods, and let go of those that ended and are recorded."""
    actions: list[Action] = []
    for pod in pods:
        recorded = pod.uid in seen.recorded_pods
        if not pod.deleting:
            actions.append(DeletePod(pod_uid=pod.uid))
        elif pod.has_finalizer and recorded:
            actions.append(ReleasePod(pod_uid=pod.uid))
    return tuple(actions)


def _stall(seen: SeenSandbox, reason: SandboxReason, message: str, now: datetime) -> Decision:
    return Decision(
        actions=report(
            seen, News(state=SandboxState.ERROR, reason=reason, message=message, warn=True), now
        )
    )


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
            expiration=_expiration(seen, spec, sandbox_class),
        ),
        now,
    )
