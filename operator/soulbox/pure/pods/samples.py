"""One sample of a pod's figures, as a row.

The figures are the runner's, which user code may have forged: what PostgreSQL could not take,
or no machine could have, is left out. Time and owner are the operator's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from soulbox.model.keys import (
    EXECUTION_UID_LABEL,
    SANDBOX_UID_LABEL,
    USER_ANNOTATION,
)
from soulbox.model.manifests import Manifest, owners_of
from soulbox.model.rows import SampleRow
from soulbox.model.runs import RunStats
from soulbox.pure.fields import (
    Cleaner,
    RowContext,
    RowError,
    mapping,
    optional_uuid,
    uid_of,
)

# More than any machine has: a guess that leaves room in numeric(12,6).
_MAX_CORES: Final = Decimal(10_000)
# The figure counts in microseconds, the clock of two samples in less.
_MICRO: Final = Decimal("0.000001")
# Below this two samples are too near each other to tell a rate.
_MIN_SECONDS: Final = Decimal("0.5")
PRESSURE_PART: Final = Decimal("0.9")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a runner said, and when the operator heard it."""

    stats: RunStats
    at: datetime  # the operator's clock, for the row
    monotonic_seconds: float  # for rates


def build_sample_row(
    pod: Manifest,
    context: RowContext,
    now: Reading,
    before: Reading | None,
    is_its_run: Callable[[str, str], bool],
) -> SampleRow:
    """The row of one sample.

    Args:
        before: the same pod's last one; None for the first, whose CPU rate is not known.
        is_its_run: whether an Execution of this uid was handed to the pod of that uid.

    Raises:
        RowError: the pod is none of ours.
    """
    metadata = mapping(pod, "metadata")
    pod_uid = uid_of(pod)
    stats = now.stats
    return SampleRow(
        sandbox_uid=_owner(metadata),
        recorded_at=now.at,
        cluster=context.cluster,
        tenant=context.tenant_of(str(metadata.get("namespace") or "")),
        user_name=Cleaner().text(mapping(metadata, "annotations").get(USER_ANNOTATION)) or "",
        pod_uid=pod_uid,
        execution_uid=_only_run(stats, str(pod_uid), is_its_run),
        cpu_seconds_total=_micro(stats.cpu_seconds_total),
        cpu_cores=cpu_cores(now, before),
        memory_bytes=stats.memory_bytes,
        memory_peak_bytes=stats.memory_peak_bytes,
        memory_limit_bytes=stats.memory_limit_bytes,
        disk_used_bytes=stats.disk_used_bytes,
        disk_read_bytes=stats.disk_read_bytes,
        disk_write_bytes=stats.disk_write_bytes,
        network_rx_bytes=stats.network_rx_bytes,
        network_tx_bytes=stats.network_tx_bytes,
        network_rx_packets=stats.network_rx_packets,
        network_tx_packets=stats.network_tx_packets,
        processes=stats.processes,
        custom=_custom(stats),
    )


def cpu_cores(now: Reading, before: Reading | None) -> Decimal | None:
    """CPU used since the sample before, in cores; None where it cannot be told."""
    if before is None or now.stats.cpu_seconds_total is None:
        return None
    if before.stats.cpu_seconds_total is None:
        return None
    seconds = Decimal(str(now.monotonic_seconds)) - Decimal(str(before.monotonic_seconds))
    used = now.stats.cpu_seconds_total - before.stats.cpu_seconds_total
    if seconds < _MIN_SECONDS or used < 0:
        return None
    cores = used / seconds
    return None if cores > _MAX_CORES else cores.quantize(_MICRO)


def is_pressed(stats: RunStats) -> bool:
    """Whether what the pod cannot give back is over 90 % of its memory limit."""
    limit = stats.memory_limit_bytes
    used = stats.memory_unreclaimable_bytes
    if used is None:
        used = stats.memory_bytes
    return limit is not None and limit > 0 and used is not None and used > PRESSURE_PART * limit


def _owner(metadata: Manifest) -> UUID:
    """The Sandbox, or the Execution that a one-shot pod is for: by the owner reference, which
    no tenant can write, and by our label where garbage collection took that away."""
    for _, uid, _ in owners_of({"metadata": metadata}):
        found = optional_uuid(uid)
        if found is not None:
            return found
    labels = mapping(metadata, "labels")
    found = optional_uuid(labels.get(SANDBOX_UID_LABEL) or labels.get(EXECUTION_UID_LABEL))
    if found is None:
        raise RowError("metadata.ownerReferences names no owner of ours")
    return found


def _only_run(stats: RunStats, pod_uid: str, is_its_run: Callable[[str, str], bool]) -> UUID | None:
    """The Execution that alone ran then, None if none or several did. What the runner says
    counts only as far as the operator handed that Execution to this pod."""
    if len(stats.running_executions) != 1:
        return None
    uid = stats.running_executions[0].partition("/")[0]
    return optional_uuid(uid) if is_its_run(uid, pod_uid) else None


def _custom(stats: RunStats) -> dict[str, object] | None:
    figures = {
        "memory_unreclaimable_bytes": stats.memory_unreclaimable_bytes,
        "oom_kills": stats.oom_kills,
    }
    known: dict[str, object] = {name: size for name, size in figures.items() if size is not None}
    return known or None


def _micro(seconds: Decimal | None) -> Decimal | None:
    return None if seconds is None else seconds.quantize(_MICRO)
