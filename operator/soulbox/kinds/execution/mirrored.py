"""How Executions are mirrored, and the programs that they run."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from soulbox.kinds.execution.rows import build_execution_row, build_program_row
from soulbox.mirror.entry import Built, Look, MirrorEntry, Remembered
from soulbox.model.manifests import Manifest, is_finished
from soulbox.model.retention import RetentionPolicy
from soulbox.model.rows import ExecutionRow
from soulbox.model.states import Kind
from soulbox.model.times import parse_time
from soulbox.pure.fields import RowContext


def _build(manifest: Manifest, context: RowContext, look: Look) -> Built:
    row = build_execution_row(manifest, context, gone_at=look.gone_at)
    sha256 = row.code_sha256
    if sha256 is not None and look.is_known_program(row.tenant, sha256):
        return Built(row=row)
    return Built(row=row, program=build_program_row(manifest, context))


def _is_final(manifest: Manifest, gone: bool) -> bool:
    return gone or is_finished(manifest)


def _remember(memory: Remembered, manifest: Manifest) -> None:
    spec = manifest.get("spec")
    user = spec.get("user") if isinstance(spec, Mapping) else None
    memory.user_name = user if isinstance(user, str) else ""


def _is_expired(manifest: Manifest, now: datetime, retention: RetentionPolicy) -> bool:
    """Whether it ended in a month whose partition is past its retention, as that of its
    creation then is too."""
    status = manifest.get("status")
    if not isinstance(status, Mapping) or not is_finished(manifest):
        return False
    ended_at = parse_time(str(status.get("completionTime")))
    return ended_at is not None and _month(ended_at) + retention.executions_months < _month(now)


def _month(moment: datetime) -> int:
    utc = moment.astimezone(UTC)
    return utc.year * 12 + utc.month


EXECUTION_ENTRY: Final = MirrorEntry(
    kind=Kind.EXECUTION,
    row_type=ExecutionRow,
    build=_build,
    is_final=_is_final,
    remember=_remember,
    is_expired=_is_expired,
)
