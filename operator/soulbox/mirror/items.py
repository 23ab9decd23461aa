"""From a sighting to what is written of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from soulbox.build.rows import (
    PodSight,
    RowContext,
    RowError,
    build_execution_row,
    build_pod_sight,
    build_program_row,
    build_sandbox_row,
)
from soulbox.build.rows.fields import Cleaner
from soulbox.mirror.pending import Sighting
from soulbox.mirror.tracker import namespace_of
from soulbox.model.errors import StoreRefused
from soulbox.model.manifests import is_finished, is_over
from soulbox.model.rows import DeadLetterRow, ExecutionRow, ProgramRow, SandboxRow
from soulbox.model.states import Kind

# Kind of a dead letter that holds a program PostgreSQL would not take.
PROGRAM_KIND = "Program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A sighting with its rows; exactly one of sandbox, execution and pod is set.

    Attributes:
        program: of an Execution whose code is in the object and not known to be written.
        proven_until: bill a still running pod's hours up to this Lease renewTime.
    """

    sighting: Sighting
    sandbox: SandboxRow | None = None
    execution: ExecutionRow | None = None
    program: ProgramRow | None = None
    pod: PodSight | None = None
    proven_until: datetime | None = None


def build_item(
    sighting: Sighting,
    context: RowContext,
    *,
    started_at: datetime | None = None,
    proven_until: datetime | None = None,
    is_known_program: Callable[[str, str], bool] = lambda _tenant, _code_sha256: False,
) -> Item:
    """The rows of a sighting.

    Args:
        started_at: see build_pod_sight.
        is_known_program: whether a program, by tenant and code_sha256, is written already.

    Raises:
        RowError: no rows can be made of it. A stored object can be malformed in ways
            nobody thought of, so whatever a builder trips over counts as this.
    """
    gone_at = sighting.seen_at if sighting.deleted else None
    manifest = sighting.manifest
    context = _context_of(sighting, context)
    try:
        match sighting.kind:
            case Kind.SANDBOX:
                row = build_sandbox_row(manifest, context, gone_at=gone_at)
                return Item(sighting=sighting, sandbox=row)
            case Kind.EXECUTION:
                execution = build_execution_row(manifest, context, gone_at=gone_at)
                sha256 = execution.code_sha256
                if sha256 is not None and is_known_program(execution.tenant, sha256):
                    return Item(sighting=sighting, execution=execution)
                program = build_program_row(manifest, context)
                return Item(sighting=sighting, execution=execution, program=program)
            case Kind.POD:
                sight = build_pod_sight(
                    manifest,
                    context,
                    seen_at=sighting.seen_at,
                    started_at=started_at,
                    gone_at=gone_at,
                )
                return Item(sighting=sighting, pod=sight, proven_until=proven_until)
            case _:
                raise RowError(f"{sighting.kind} is not mirrored")
    except RowError:
        raise
    except Exception as error:
        raise RowError(f"malformed ({type(error).__name__})") from error


def is_final(sighting: Sighting) -> bool:
    """Whether nothing more is to be written of an object once this version is; for pods
    of which no row can be made. Malformed objects are as final as they look."""
    manifest = sighting.manifest
    metadata, status = manifest.get("metadata"), manifest.get("status")
    deleting = isinstance(metadata, Mapping) and bool(metadata.get("deletionTimestamp"))
    if sighting.kind is Kind.EXECUTION:
        return is_finished(manifest) or sighting.deleted
    if sighting.kind is Kind.POD and isinstance(status, Mapping):
        return deleting or is_over(manifest)
    return deleting or sighting.deleted


def dead_letter(sighting: Sighting, error: Exception, context: RowContext) -> DeadLetterRow:
    """What is kept of an object that could not be written. Every text of it can be stored."""
    metadata = sighting.manifest.get("metadata")
    names: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
    namespace = namespace_of(sighting.manifest)
    context = _context_of(sighting, context)
    clean = Cleaner().text
    is_told = isinstance(error, RowError | StoreRefused)
    return DeadLetterRow(
        cluster=context.cluster,
        tenant=clean(_tenant(context, namespace)) if namespace else None,
        user_name=None,
        kind=sighting.kind.value,
        uid=clean(sighting.uid) or "",
        namespace=clean(namespace) or None,
        name=_plain(names.get("name")),
        resource_version=_plain(names.get("resourceVersion")),
        sqlstate=error.sqlstate if isinstance(error, StoreRefused) else None,
        constraint_name=error.constraint if isinstance(error, StoreRefused) else None,
        # An error that nobody foresaw may quote anything: only its type is told.
        error=(clean(str(error)[:1024]) or "") if is_told else f"a defect: {type(error).__name__}",
        payload=to_json(dict(sighting.manifest)),
    )


def _tenant(context: RowContext, namespace: str) -> str | None:
    try:
        return context.tenant_of(namespace)
    except Exception:  # a letter is written whatever else fails
        return None


def bare_letter(letter: DeadLetterRow) -> DeadLetterRow:
    """The same without the object, for one that cannot even be kept as it is."""
    return replace(letter, payload=to_json({"metadata": {"uid": letter.uid}, "kept": False}))


def dead_program(item: Item, error: Exception, context: RowContext) -> DeadLetterRow:
    """What is kept of a program that was refused while its Execution was not."""
    assert item.program is not None
    letter = dead_letter(item.sighting, error, context)
    return replace(letter, kind=PROGRAM_KIND, uid=item.program.code_sha256)


def _context_of(sighting: Sighting, context: RowContext) -> RowContext:
    """The context, with the tenant that was stamped when the sighting was spooled."""
    tenant = sighting.tenant
    return context if tenant is None else replace(context, tenant_of=lambda _: tenant)


def to_json(value: Any) -> str:
    """JSON text of ASCII characters, so that it holds NUL and lone surrogates as escapes; of
    what is nested too deeply to be written, a text that says so."""
    try:
        return json.dumps(value, default=str, ensure_ascii=True, separators=(",", ":"))
    except RecursionError:
        return '"nested too deeply to be kept"'


def _plain(value: Any) -> str | None:
    return value if isinstance(value, str) and value.isprintable() else None
