"""What a pod of ours says about itself, read from its manifest."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from soulbox.model.containers import RunnerContainer, runner_container
from soulbox.model.keys import (
    INCARNATION_LABEL,
    LOST_TIME_ANNOTATION,
    NETWORK_PROFILE_LABEL,
    RUNNER_CONTAINER,
)
from soulbox.model.manifests import has_recorded, is_over
from soulbox.model.quantity import parse_bytes, parse_millicores
from soulbox.model.states import SandboxReason
from soulbox.model.times import parse_time


class PodPhase(StrEnum):
    """What a pod of ours is for us: the kubelet's phase with its container's state."""

    PENDING = "Pending"  # not started yet; `trouble` says why it cannot
    RUNNING = "Running"  # the container runs
    ENDED = "Ended"  # the container ended, or never will start


class EndCause(StrEnum):
    """Why a pod ended, as far as Kubernetes tells."""

    FINISHED = "Finished"  # the runner exited by itself
    OOM_KILLED = "OOMKilled"
    EVICTED = "Evicted"
    DEADLINE = "DeadlineExceeded"  # activeDeadlineSeconds: the sandbox's lifetime
    NODE_LOST = "NodeLost"
    DELETED = "Deleted"  # somebody deleted it
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a pod does not start, in the API's and the kubelet's own words."""

    reason: SandboxReason
    message: str
    # Told by its Events: it is over once later ones say so, and has to be asked again.
    of_events: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """A pod of ours. Times are the kubelet's, in whole seconds."""

    uid: str
    name: str
    phase: PodPhase
    incarnation: int
    deleting: bool
    has_finalizer: bool
    created_at: datetime
    node: str | None
    ip: str | None
    image_id: str | None
    runtime_class: str | None
    started_at: datetime | None
    finished_at: datetime | None
    # None while it has not ended; of one that is going, whose doing it is where that is told.
    end_cause: EndCause | None
    end_message: str
    trouble: Trouble | None
    # What it was made with, which its owner's spec need not say any more; None: it says
    # nothing that can be read.
    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    network_profile: str | None = None  # its name and, but for none, a hash of what it says


# The runtime's own reasons for a container that could not be started.
_NEVER_RAN = frozenset({"StartError", "ContainerCannotRun"})

# A pod that lived this long was healthy: its successor starts at once.
HEALTHY_SECONDS: Final = 60.0

# Waiting reasons after which the kubelet keeps trying, but nothing will happen by itself.
_PULL_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "ImageInspectError",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
# Of a pod whose sandbox or volumes cannot be made the status says nothing: only Events do.
_EVENT_REASONS = frozenset({"FailedCreatePodSandBox", "FailedMount", "FailedAttachVolume"})
# What comes after that.
_PAST_REASONS = frozenset({"Pulling", "Pulled", "Created", "Started"})
_START_REASONS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"}
)


def view_pod(manifest: Mapping[str, Any]) -> PodView:
    """Read a pod's manifest. Malformed labels read as incarnation 0, never as an error."""
    metadata = manifest["metadata"]
    spec = manifest.get("spec") or {}
    status = manifest.get("status") or {}
    container = runner_container(status, lambda value, _: parse_time(value))
    deleting = bool(metadata.get("deletionTimestamp"))
    phase = _phase(status, container)
    # Written on pods that are being deleted only; on another a tenant wrote it.
    told = (metadata.get("annotations") or {}).get(LOST_TIME_ANNOTATION) if deleting else None
    lost_at = parse_time(told)
    if container.terminated is None and lost_at is not None:
        phase = PodPhase.ENDED
    cause = None
    if phase is PodPhase.ENDED:
        cause = _end_cause(status, container.end, deleting=deleting)
        if container.end is None and lost_at is not None:
            cause = EndCause.NODE_LOST
    elif deleting:
        cause = _disruption(status)
    label = (metadata.get("labels") or {}).get(INCARNATION_LABEL, "")
    created = parse_time(metadata["creationTimestamp"])
    assert created is not None, "the API server sets creationTimestamp"
    return PodView(
        uid=metadata["uid"],
        name=metadata["name"],
        phase=phase,
        incarnation=_incarnation(label),
        deleting=deleting,
        has_finalizer=has_recorded(manifest),
        created_at=created,
        node=spec.get("nodeName"),
        ip=status.get("podIP"),
        image_id=container.status.get("imageID") or None,
        runtime_class=spec.get("runtimeClassName"),
        started_at=container.started_at,
        finished_at=container.finished_at or lost_at,
        end_cause=cause,
        end_message=_end_message(status, container.end, deleting=deleting),
        trouble=_trouble(status, container) if phase is PodPhase.PENDING else None,
        cpu_millicores=_limit(spec, "cpu", parse_millicores),
        memory_bytes=_limit(spec, "memory", parse_bytes),
        network_profile=(metadata.get("labels") or {}).get(NETWORK_PROFILE_LABEL),
    )


def _incarnation(label: str) -> int:
    """A number that an owner's pods may reach: one each second is as many in eleven days. A larger
    one is nobody's, and counting on from it would end where it is read as none."""
    return int(label) if label.isascii() and label.isdigit() and len(label) < 7 else 0


def trouble_of_events(events: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """Why a pod does not start, from the newest of its Events that says so; None where a later
    one shows that it got over it. Mounts often fail once."""
    told = [event for event in events if event.get("reason") in _EVENT_REASONS | _PAST_REASONS]
    newest = max(told, key=_told_at, default=None)
    if newest is None or newest["reason"] in _PAST_REASONS:
        return None
    words = f"{newest['reason']}: {newest.get('message') or newest.get('note') or ''}"
    return Trouble(reason=SandboxReason.START_FAILED, message=words[:1024], of_events=True)


def _told_at(event: Mapping[str, Any]) -> tuple[str, bool]:
    """Times have whole seconds: of one second the later stage counts."""
    moment = str(event.get("lastTimestamp") or event.get("eventTime"))
    return moment, event["reason"] in _PAST_REASONS


def _limit(spec: Mapping[str, Any], name: str, parse: Callable[[str], int]) -> int | None:
    for container in spec.get("containers") or ():
        if container.get("name") == RUNNER_CONTAINER:
            text = ((container.get("resources") or {}).get("limits") or {}).get(name)
            try:
                return None if text is None else parse(text)
            except ValueError:
                return None
    return None


def lived_shortly(pod: PodView) -> bool:
    """Whether a pod ended before it could be called healthy. One that never ran did."""
    if pod.started_at is None or pod.finished_at is None:
        return True
    return (pod.finished_at - pod.started_at).total_seconds() <= HEALTHY_SECONDS


def _phase(status: Mapping[str, Any], container: RunnerContainer) -> PodPhase:
    if container.terminated is not None or is_over({"status": status}):
        return PodPhase.ENDED
    return PodPhase.RUNNING if container.running is not None else PodPhase.PENDING


def _end_cause(
    status: Mapping[str, Any], terminated: Mapping[str, Any] | None, *, deleting: bool
) -> EndCause:
    reason = status.get("reason")
    disruption = _disruption(status)
    if disruption is not None:
        return disruption
    if reason == "Evicted":
        return EndCause.EVICTED
    if reason == "DeadlineExceeded":
        return EndCause.DEADLINE
    if reason in ("NodeLost", "NodeShutdown", "Terminated"):
        return EndCause.NODE_LOST
    if terminated is None:
        return EndCause.UNKNOWN
    if terminated.get("reason") == "OOMKilled":
        return EndCause.OOM_KILLED
    if terminated.get("reason") == "ContainerStatusUnknown":
        return EndCause.NODE_LOST
    return EndCause.DELETED if deleting else EndCause.FINISHED


def _disruption(status: Mapping[str, Any]) -> EndCause | None:
    """Whose doing its end is, told before it ends; None where nobody says so."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            if condition.get("reason") in ("DeletionByTaintManager", "DeletionByPodGC"):
                return EndCause.NODE_LOST
            return EndCause.EVICTED
    return None


def _end_message(
    status: Mapping[str, Any], terminated: Mapping[str, Any] | None, *, deleting: bool
) -> str:
    """Why it ended, in Kubernetes' own words: of the container's message only where nothing in
    it ever ran, for else a program may have written that. That a runner which was told to go
    went with exit code 0 explains nothing."""
    disruptions = (
        condition.get("message")
        for condition in status.get("conditions") or ()
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True"
    )
    container = terminated or {}
    went = deleting and container.get("exitCode") == 0
    words = [status.get("reason"), status.get("message"), *disruptions]
    if not went:
        words.append(container.get("reason"))
        if container.get("reason") in _NEVER_RAN:
            words.append(container.get("message"))
        if container.get("exitCode") is not None:
            words.append(f"exit code {container['exitCode']}")
    return "; ".join(dict.fromkeys(str(text) for text in words if text))[:1024]


def _trouble(status: Mapping[str, Any], container: RunnerContainer) -> Trouble | None:
    waiting = (container.status.get("state") or {}).get("waiting") or {}
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")[:1024]
    if reason in _PULL_REASONS:
        return Trouble(reason=SandboxReason.IMAGE_PULL_FAILED, message=message or reason)
    if reason in _START_REASONS:
        return Trouble(reason=SandboxReason.START_FAILED, message=f"{reason}: {message}")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return Trouble(
                reason=SandboxReason.UNSCHEDULABLE, message=str(condition.get("message"))[:1024]
            )
    return None
