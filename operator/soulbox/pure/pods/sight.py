"""What a pod's manifest says of its running time. ::

NOT_STARTED ──> RUNNING ──> FINISHED      its end is known
     │             └──────> END_UNKNOWN   over, and nobody has said when
     └──> NEVER_STARTED                   over without having run: nothing to bill
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from soulbox.model.billing import DEFAULT_SKU, EndSource
from soulbox.model.containers import RunnerContainer, runner_container
from soulbox.model.keys import (
    CLASS_LABEL,
    EXECUTION_UID_LABEL,
    INCARNATION_LABEL,
    LIMITS_ANNOTATION,
    LOST_TIME_ANNOTATION,
    OWNER_NAME_ANNOTATION,
    RUNNER_CONTAINER,
    SANDBOX_UID_LABEL,
    SKU_ANNOTATION,
    USER_ANNOTATION,
)
from soulbox.model.manifests import Manifest, owners_of
from soulbox.model.quantity import parse_bytes, parse_millicores
from soulbox.model.rows import PodRunRow
from soulbox.model.states import Kind
from soulbox.pure.fields import (
    Cleaner,
    RowContext,
    RowError,
    mapping,
    optional_time,
    optional_uuid,
    required_time,
    resource_version,
    small_number,
    uid_of,
)

_ENDED_PHASES: Final = ("Succeeded", "Failed")
# A node's clock against the API server's, at the most: time before or after is never billed.
CLOCKS_DIFFER: Final = timedelta(days=1)


class PodLife(StrEnum):
    """Where a pod is in its life, as far as billing cares."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    FINISHED = "Finished"
    END_UNKNOWN = "EndUnknown"
    NEVER_STARTED = "NeverStarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSight:
    """One look at a pod.

    Attributes:
        run: its row; None while it has not started, and when the manifest of a pod that
            has ended no longer says when it did (see `finish`).
        finish: how it ended; also of a pod whose start only the database remembers.
    """

    uid: UUID
    life: PodLife
    resource_version: int
    run: PodRunRow | None
    finish: "PodFinish | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFinish:
    """The end of a pod's running time."""

    finished_at: datetime
    end_source: EndSource
    exit_reason: str | None


def build_pod_sight(
    manifest: Manifest,
    context: RowContext,
    *,
    seen_at: datetime,
    started_at: datetime | None = None,
    gone_at: datetime | None = None,
) -> PodSight:
    """Read one version of a pod of ours.

    Args:
        seen_at: when this version was seen: its times cannot lie much later.
        started_at: when its container started, as an earlier version said: a kubelet that
            lost the container (ContainerStatusUnknown) forgets it.
        gone_at: the object no longer exists and was found gone then.

    Raises:
        RowError: it is no pod of ours, its limits cannot be read, or its times are absurd;
            names the field.
    """
    status = mapping(manifest, "status")
    container = _container(status)
    started = container.started_at if container.started_at is not None else started_at
    finish = _finish(manifest, container, status)
    _check_not_ahead("startedAt", started, seen_at)
    _check_not_ahead("finishedAt", finish.finished_at if finish is not None else None, seen_at)
    life = _life(
        manifest, container, status, started=started, finish=finish, gone=gone_at is not None
    )
    run: PodRunRow | None = None
    if started is not None:
        run = _run(manifest, context, started, finish)
        if finish is None and gone_at is not None:
            run = replace(run, deleted_at=gone_at)
    return PodSight(
        uid=uid_of(manifest),
        life=life,
        resource_version=resource_version(manifest),
        run=run,
        finish=finish,
    )


def _check_not_ahead(name: str, moment: datetime | None, seen_at: datetime) -> None:
    """A node whose clock is years ahead, or a kubelet that lies, would have time billed that
    has not been yet, an hour at a time."""
    if moment is not None and moment > seen_at + CLOCKS_DIFFER:
        raise RowError(f"{name} {moment} lies after the pod was seen, {seen_at}")


def container_started_at(manifest: Manifest) -> datetime | None:
    """When the container of a pod started, if this version says so; malformed is None."""
    try:
        return _container(mapping(manifest, "status")).started_at
    except RowError:
        return None


def is_end_untold(manifest: Manifest) -> bool:
    """Whether the container is over and this version does not say since when."""
    try:
        container = _container(mapping(manifest, "status"))
    except RowError:
        return False
    return container.end is not None and container.finished_at is None


def _container(status: Manifest) -> RunnerContainer:
    """The runner's container.

    Raises:
        RowError: what is said of it cannot be read.
    """
    try:
        return runner_container(status, optional_time)
    except RowError:
        raise
    except ValueError as error:
        raise RowError(str(error)) from error


def _finish(manifest: Manifest, container: RunnerContainer, status: Manifest) -> PodFinish | None:
    reason = status.get("reason") or (container.end or {}).get("reason")
    cleaned = Cleaner().text(reason) if isinstance(reason, str) else None
    if container.end is not None and container.finished_at is not None:
        return PodFinish(
            finished_at=container.finished_at, end_source=EndSource.KUBELET, exit_reason=cleaned
        )
    metadata = mapping(manifest, "metadata")
    if not metadata.get("deletionTimestamp") and status.get("phase") not in _ENDED_PHASES:
        return None  # a pod that lives on is not lost, whatever stands on it
    annotations = mapping(metadata, "annotations")
    lost_at = optional_time(annotations.get(LOST_TIME_ANNOTATION), LOST_TIME_ANNOTATION)
    if lost_at is None:
        return None
    return PodFinish(
        finished_at=lost_at, end_source=EndSource.LEASE, exit_reason=cleaned or "NodeLost"
    )


def _life(
    manifest: Manifest,
    container: RunnerContainer,
    status: Manifest,
    *,
    started: datetime | None,
    finish: PodFinish | None,
    gone: bool,
) -> PodLife:
    ended = container.end is not None or status.get("phase") in _ENDED_PHASES or gone
    if started is not None:
        if finish is not None:
            return PodLife.FINISHED
        return PodLife.END_UNKNOWN if ended and container.running is None else PodLife.RUNNING
    if ended or _never_will_start(manifest):
        return PodLife.NEVER_STARTED
    return PodLife.NOT_STARTED


def _never_will_start(manifest: Manifest) -> bool:
    """Deleted, and no kubelet has it (any more): one that has is asked by
    deletionTimestamp and answers with a grace period of 0 when nothing of it runs. Before
    that answer its container may just be starting."""
    metadata = mapping(manifest, "metadata")
    if not metadata.get("deletionTimestamp"):
        return False
    unscheduled = not mapping(manifest, "spec").get("nodeName")
    return unscheduled or metadata.get("deletionGracePeriodSeconds") == 0


def _run(
    manifest: Manifest, context: RowContext, started_at: datetime, finish: PodFinish | None
) -> PodRunRow:
    metadata, spec = mapping(manifest, "metadata"), mapping(manifest, "spec")
    labels, annotations = mapping(metadata, "labels"), mapping(metadata, "annotations")
    namespace = str(metadata.get("namespace") or "")
    sandbox_uid = _owner_uid(metadata, labels, SANDBOX_UID_LABEL, Kind.SANDBOX)
    execution_uid = _owner_uid(metadata, labels, EXECUTION_UID_LABEL, Kind.EXECUTION)
    if sandbox_uid is None and execution_uid is None:
        raise RowError(f"neither {SANDBOX_UID_LABEL} nor {EXECUTION_UID_LABEL} is a UUID")
    created = required_time(metadata.get("creationTimestamp"), "metadata.creationTimestamp")
    if started_at < created - CLOCKS_DIFFER:
        raise RowError(f"startedAt {started_at} lies before the pod was made, {created}")
    limits = _limits(spec, annotations)
    text = Cleaner().text
    return PodRunRow(
        pod_uid=uid_of(manifest),
        cluster=context.cluster,
        tenant=context.tenant_of(namespace),
        user_name=text(annotations.get(USER_ANNOTATION)) or "",
        namespace=namespace,
        pod_name=str(metadata.get("name") or ""),
        owner_name=text(annotations.get(OWNER_NAME_ANNOTATION)),
        class_name=text(labels.get(CLASS_LABEL)),
        sandbox_uid=sandbox_uid,
        execution_uid=None if sandbox_uid is not None else execution_uid,
        incarnation=small_number(labels.get(INCARNATION_LABEL)),
        node=text(spec.get("nodeName")),
        cpu_millicores=limits[0],
        memory_bytes=limits[1],
        sku=text(annotations.get(SKU_ANNOTATION)) or DEFAULT_SKU,
        started_at=started_at,
        finished_at=finish.finished_at if finish is not None else None,
        end_source=finish.end_source if finish is not None else None,
        exit_reason=finish.exit_reason if finish is not None else None,
        resource_version=resource_version(manifest),
        deleted_at=None,
    )


def _owner_uid(metadata: Manifest, labels: Manifest, label: str, kind: Kind) -> UUID | None:
    """UID of the owning Sandbox or Execution. The owner reference is asked first: garbage
    collection checks it, a label can be edited to anything."""
    for owner_kind, uid, _ in owners_of({"metadata": metadata}):
        found = optional_uuid(uid) if owner_kind == kind else None
        if found is not None:
            return found
    return optional_uuid(labels.get(label))


def _limits(spec: Manifest, annotations: Manifest) -> tuple[int, int]:
    """CPU in millicores and memory in bytes reserved for the runner's container. A limit that
    a webhook took off is billed as it was asked for."""
    asked = dict(
        part.split("=", 1)
        for part in str(annotations.get(LIMITS_ANNOTATION) or "").split(",")
        if "=" in part
    )
    for container in spec.get("containers") or ():
        if isinstance(container, Mapping) and container.get("name") == RUNNER_CONTAINER:
            limits = {**asked, **mapping(mapping(container, "resources"), "limits")}
            try:
                return parse_millicores(limits["cpu"]), parse_bytes(limits["memory"])
            except (KeyError, ValueError) as error:
                raise RowError(f"limits of the container {RUNNER_CONTAINER}: {error}") from None
    raise RowError(f"there is no container {RUNNER_CONTAINER}")
