"""How long a Sandbox may live: its lifetime, and how long it may be idle."""

from datetime import datetime, timedelta

from soulbox.kinds.sandbox.decide.actions import Decision
from soulbox.kinds.sandbox.decide.seen import SeenSandbox
from soulbox.kinds.sandbox.decide.status import News, report
from soulbox.kinds.sandbox_class.decide.limits import lifetime_seconds
from soulbox.model.specs import SandboxClassSpec, SandboxSpec
from soulbox.model.states import SandboxReason, SandboxState
from soulbox.model.times import parse_time
from soulbox.pure.pods.view import PodPhase, PodView


def idle_seconds_left(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> float | None:
    """How much longer it may be idle; None: for ever, or it is not idle."""
    live = [pod for pod in live_pods(seen) if pod.phase is PodPhase.RUNNING]
    busy = seen.running_executions or seen.activity.running or seen.activity.queued
    if spec.idle_timeout_seconds is None or not live or busy:
        return None
    times = [pod.started_at for pod in live]
    times += [parse_time(seen.activity.last_time), parse_time(seen.status.get("lastActivityTime"))]
    since = max((time for time in times if time is not None), default=None)
    if since is None:
        return None
    return spec.idle_timeout_seconds - (now - since).total_seconds()


def expire_idle(seen: SeenSandbox, spec: SandboxSpec, now: datetime) -> Decision:
    """It was idle for too long."""
    message = (
        f"No Execution ran or waited in it for {spec.idle_timeout_seconds} s "
        "(spec.idleTimeoutSeconds); delete it and make a new one."
    )
    news = News(state=SandboxState.TERMINATED, reason=SandboxReason.IDLE_EXPIRED, message=message)
    return Decision(actions=report(seen, news, now))


def expiration_of(
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


def expire(seen: SeenSandbox, now: datetime) -> Decision:
    """Its lifetime is over."""
    message = "Its lifetime is over (spec.lifetimeSeconds); delete it and make a new one."
    status = report(
        seen,
        News(state=SandboxState.TERMINATED, reason=SandboxReason.LIFETIME_EXPIRED, message=message),
        now,
    )
    return Decision(actions=status)


def live_pods(seen: SeenSandbox) -> list[PodView]:
    """Pods that have not ended and are not being deleted."""
    return [pod for pod in seen.pods if pod.phase is not PodPhase.ENDED and not pod.deleting]
