"""The `status` of a Sandbox, built whole from what was seen, and the Event beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from soulbox.kinds.sandbox.decide.actions import Action
from soulbox.kinds.sandbox.decide.seen import SeenSandbox
from soulbox.kinds.sandbox_class.decide.limits import limit_texts, sandbox_limits
from soulbox.model.specs import SandboxSpec
from soulbox.model.states import ConditionType, SandboxReason, SandboxState
from soulbox.model.text import printable
from soulbox.model.times import format_time
from soulbox.pure.actions import PostEvent, WriteStatus
from soulbox.pure.conditions import (
    Condition,
    ConditionStatus,
    merge_conditions,
    same_conditions,
)
from soulbox.pure.pods.view import EndCause, PodView


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What there is to say about a Sandbox."""

    state: SandboxState
    reason: SandboxReason
    message: str
    pod: PodView | None = None
    expiration: datetime | None = None
    warn: bool = False


def report(seen: SeenSandbox, news: News, now: datetime) -> tuple[Action, ...]:
    """Status and Event, nothing when the object says so already."""
    news = replace(news, message=printable(news.message))
    old = seen.status
    status = _status(seen, news, now)
    conditions = merge_conditions(
        old.get("conditions") or [],
        _conditions(news.state, news.reason, news.message),
        generation=seen.generation,
        now=now,
    )
    if news.state is SandboxState.STARTING and _is_known(old, news):
        return ()  # where its pod is by now is said with Running
    unchanged = all(_is_said(old.get(key), value) for key, value in status.items())
    if unchanged and same_conditions(old.get("conditions") or [], conditions):
        return ()
    write = WriteStatus(status={**status, "conditions": conditions})
    same = old.get("state") == news.state.value and old.get("reason") == news.reason.value
    quiet = news.state in (SandboxState.CREATED, SandboxState.STARTING) and not news.warn
    if same or quiet:
        return (write,)
    message, reason = news.message, news.reason.value
    if news.reason is SandboxReason.RUNNING:
        # Of each incarnation once: the same words again are not posted.
        reason, message = "Ready", f"{message} (Incarnation {status['incarnation']}.)"
    severity: Literal["Normal", "Warning"] = "Warning" if news.warn else "Normal"
    event = PostEvent(type=severity, reason=reason, message=message, action="Reconcile")
    return (write, event)


def _is_known(old: Mapping[str, Any], news: News) -> bool:
    """Whether the object says the same of the same pod, in the words a person reads."""
    pod_uid = (old.get("pod") or {}).get("uid")
    words = (old.get("state"), old.get("reason"), old.get("message"), pod_uid)
    wanted_uid = None if news.pod is None else news.pod.uid
    return words == (news.state.value, news.reason.value, news.message, wanted_uid)


def _is_said(old: Any, new: Any) -> bool:
    """Whether merging `new` into `old` changes nothing (RFC 7386: a null takes out)."""
    if isinstance(new, Mapping):
        return isinstance(old, Mapping) and all(old.get(key) == new[key] for key in new)
    return bool(old == new)


def _status(seen: SeenSandbox, news: News, now: datetime) -> dict[str, Any]:
    """The status but for its conditions."""
    pod = news.pod
    status: dict[str, Any] = {
        "state": news.state.value,
        "reason": news.reason.value,
        "message": news.message,
        "observedGeneration": seen.generation,
        "incarnation": pod.incarnation if pod is not None else seen.incarnation,
    }
    if isinstance(seen.spec, SandboxSpec) and seen.sandbox_class is not None:
        limits = sandbox_limits(seen.spec, seen.sandbox_class)
        status["resources"] = limit_texts(limits, seen.sandbox_class.max.pids)
    if pod is not None:
        status["pod"] = _pod_status(seen.status, pod)
        status |= _runtime(seen.status, pod)
        if pod.started_at is not None and "startTime" not in seen.status:
            status["startTime"] = format_time(pod.started_at)
    if news.expiration is not None:
        status["expirationTime"] = format_time(news.expiration)
    if news.state is SandboxState.TERMINATED:
        status["terminationTime"] = format_time(now)
    return status


def _runtime(old: Mapping[str, Any], pod: PodView) -> dict[str, Any]:
    """runtimeSeconds with the seconds of a pod that ended, added once: with its finishTime."""
    before = old.get("pod") or {}
    added = before.get("uid") == pod.uid and ("finishTime" in before or "lostTime" in before)
    if added or pod.started_at is None or pod.finished_at is None:
        return {}
    ran = int((pod.finished_at - pod.started_at).total_seconds())
    known = old.get("runtimeSeconds")
    return {"runtimeSeconds": max(0, ran) + (known if isinstance(known, int) else 0)}


def _pod_status(old: Mapping[str, Any], pod: PodView) -> dict[str, Any]:
    """`status.pod`."""
    known = {
        "name": pod.name,
        "uid": pod.uid,
        "node": pod.node,
        "ip": pod.ip,
        "imageID": pod.image_id,
        "runtimeClass": pod.runtime_class,
        "startTime": None if pod.started_at is None else format_time(pod.started_at),
    }
    if pod.finished_at is not None:
        known["lostTime" if pod.end_cause is EndCause.NODE_LOST else "finishTime"] = format_time(
            pod.finished_at
        )
    before = old.get("pod") or {}
    same = before.get("uid") == pod.uid
    written = {key: value for key, value in known.items() if value is not None}
    if not same:
        # A merge patch keeps what it does not name: of the old pod nothing may stay.
        written |= {key: None for key in before if key not in written}
    return written


def _conditions(state: SandboxState, reason: SandboxReason, message: str) -> list[Condition]:
    def condition(kind: ConditionType, status: ConditionStatus, words: str = "") -> Condition:
        return Condition(type=kind, status=status, reason=reason.value, message=words)

    if state is SandboxState.RUNNING and reason is SandboxReason.RUNNING:
        return [condition(ConditionType.READY, "True", message)]
    if state is SandboxState.TERMINATED or reason is SandboxReason.INVALID_SPEC:
        return [
            condition(ConditionType.READY, "False"),
            condition(ConditionType.STALLED, "True", message),
        ]
    if state is SandboxState.STOPPED:
        return []
    return [
        condition(ConditionType.READY, "False"),
        condition(ConditionType.RECONCILING, "True", message),
    ]
