"""The rows of an Execution: itself, and the program it runs."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from soulbox.model.keys import CODE_SHA256_ANNOTATION, FUNCTION_UID_LABEL, SANDBOX_UID_LABEL
from soulbox.model.kinds import EXECUTION
from soulbox.model.manifests import Manifest, function_ref, sandbox_ref
from soulbox.model.marks import is_dispatched
from soulbox.model.rows import ExecutionRow, ProgramRow
from soulbox.model.states import ExecutionKind, ExecutionState
from soulbox.pure.fields import (
    Cleaner,
    RowContext,
    RowError,
    mapping,
    optional_bool,
    optional_int,
    optional_time,
    optional_uuid,
    required_time,
    resource_version,
    uid_of,
)

_FINAL_STATES: Final = frozenset(state.lower() for state in EXECUTION.final_states)
# The kind of cause whose runs are looked for by it.
_TRIGGER: Final = "Trigger"
_HEX: Final = frozenset("0123456789abcdef")


def build_execution_row(
    manifest: Manifest, context: RowContext, *, gone_at: datetime | None = None
) -> ExecutionRow:
    """The row that shows this version of an Execution.

    Args:
        gone_at: the object no longer exists and was found gone then; used as deleted_at
            where the object itself does not say when its deletion was asked for.

    Raises:
        RowError: the manifest cannot be an Execution; names the field.
    """
    cleaner = Cleaner()
    text = cleaner.text
    metadata, spec = mapping(manifest, "metadata"), mapping(manifest, "spec")
    status, labels = mapping(manifest, "status"), mapping(metadata, "labels")
    output = mapping(status, "output")
    namespace = str(metadata.get("namespace") or "")
    state = (text(status.get("state")) or ExecutionState.QUEUED).lower()
    is_apart = "className" in spec or (
        function_ref(manifest) is not None and is_dispatched(manifest)
    )
    one_shot = is_apart and sandbox_ref(manifest) is None
    # Not by a label: on an Execution nobody but a tenant would write one of its class.
    class_name = text(spec.get("className")) or text(status.get("className"))
    language = text(spec.get("language")) or text(status.get("language"))
    if language is None and class_name is not None:
        language = context.language_of(class_name)
    deleted_at = optional_time(metadata.get("deletionTimestamp"), "metadata.deletionTimestamp")
    called = spec.get("functionRef")
    function = called if isinstance(called, Mapping) else None
    cause = mapping(spec, "cause")
    return ExecutionRow(
        uid=uid_of(manifest),
        created_at=required_time(metadata.get("creationTimestamp"), "metadata.creationTimestamp"),
        cluster=context.cluster,
        tenant=context.tenant_of(namespace),
        sandbox_uid=None if one_shot else optional_uuid(labels.get(SANDBOX_UID_LABEL)),
        one_shot=one_shot,
        namespace=namespace,
        name=str(metadata.get("name") or ""),
        code_sha256=_code_sha256(metadata, spec),
        state=state,
        attempt=optional_int(status.get("attempt"), "status.attempt"),
        queued_at=optional_time(status.get("queuedTime"), "status.queuedTime"),
        started_at=optional_time(status.get("startTime"), "status.startTime"),
        completed_at=optional_time(status.get("completionTime"), "status.completionTime"),
        duration_ms=optional_int(status.get("durationMilliseconds"), "durationMilliseconds"),
        exit_code=optional_int(status.get("exitCode"), "status.exitCode"),
        resource_version=resource_version(manifest),
        deleted_at=deleted_at if deleted_at is not None else gone_at,
        user_name=text(spec.get("user")) or "",
        class_name=class_name,
        language=language,
        timeout_seconds=optional_int(status.get("timeoutSeconds"), "status.timeoutSeconds"),
        output_limit_bytes=optional_int(status.get("outputLimitBytes"), "outputLimitBytes"),
        reason=text(status.get("reason")),
        message=text(status.get("message")),
        signal=text(status.get("signal")),
        stdout=text(output.get("stdout")),
        stderr=text(output.get("stderr")),
        stdout_bytes=optional_int(output.get("stdoutBytes"), "stdoutBytes"),
        stderr_bytes=optional_int(output.get("stderrBytes"), "stderrBytes"),
        stdout_truncated=optional_bool(output.get("stdoutTruncated"), "stdoutTruncated"),
        stderr_truncated=optional_bool(output.get("stderrTruncated"), "stderrTruncated"),
        stdout_sha256=text(output.get("stdoutSha256")),
        stderr_sha256=text(output.get("stderrSha256")),
        error=_document(status, "error", cleaner),
        resource_usage=_document(status, "usage", cleaner),
        billing=_document(status, "billing", cleaner),
        receipt=_document(status, "receipt", cleaner),
        captured_files=_captured(output, cleaner),
        kind=ExecutionKind.PROGRAM if function is None else ExecutionKind.FUNCTION,
        function_uid=None
        if function is None
        else optional_uuid(labels.get(FUNCTION_UID_LABEL) or status.get("functionUID")),
        function_version=None
        if function is None
        else text(status.get("functionVersion")) or text(function.get("version")),
        cause=cleaner.document(cause) if cause else None,
        trigger_uid=optional_uuid(cause.get("uid")) if cause.get("kind") == _TRIGGER else None,
        event_id=text(cause.get("eventID")),
        input=cleaner.any_json(spec.get("input")),
        result=cleaner.any_json(status.get("result")),
        output_complete=state in _FINAL_STATES and _inline_is_whole(output),
        cleaned=cleaner.cleaned,  # after every text above
    )


def build_program_row(manifest: Manifest, context: RowContext) -> ProgramRow | None:
    """The program of an Execution; None when its code is not in the object itself (code
    from a Secret is not ours to copy).

    Raises:
        RowError: spec.code is not text.
    """
    spec, metadata = mapping(manifest, "spec"), mapping(manifest, "metadata")
    code = spec.get("code")
    if code is None:
        return None
    if not isinstance(code, str):
        raise RowError("spec.code is not text")
    raw = code.encode("utf-8", "surrogatepass")
    cleaner = Cleaner()
    return ProgramRow(
        tenant=context.tenant_of(str(metadata.get("namespace") or "")),
        code_sha256=hashlib.sha256(raw).hexdigest(),
        cluster=context.cluster,
        user_name=cleaner.text(spec.get("user")) or "",
        language=cleaner.text(spec.get("language")),
        code=cleaner.text(code) or "",
        code_bytes=len(raw),
        cleaned=cleaner.cleaned,
    )


def _document(status: Manifest, name: str, cleaner: Cleaner) -> dict[str, Any] | None:
    if status.get(name) is None:
        return None
    found: dict[str, Any] = cleaner.document(mapping(status, name))
    return found


def _inline_is_whole(output: Manifest) -> bool:
    """Whether the status holds every byte of both streams, so that nothing is left to
    save. An Execution whose code never started wrote nothing, which is whole too."""
    return (
        _stream_is_whole(output, "stdout", "stdoutBytes", "stdoutSha256", "stdoutTruncated")
        and _stream_is_whole(output, "stderr", "stderrBytes", "stderrSha256", "stderrTruncated")
        and not any(file.get("size") for file in _files(output))
    )


def _files(output: Manifest) -> list[dict[str, Any]]:
    """status.output.files, in its order: the place is the file's number."""
    files = output.get("files")
    return [each for each in files if isinstance(each, dict)] if isinstance(files, list) else []


def _captured(output: Manifest, cleaner: Cleaner) -> dict[str, Any] | None:
    """What the record says of captured files; their bytes are in execution_outputs."""
    files = _files(output)
    omitted = output.get("filesOmitted")
    if not files and not omitted:
        return None
    names = {"path": "path", "size": "size_bytes", "sha256": "sha256", "truncated": "truncated"}
    listed = [{new: file[old] for old, new in names.items() if old in file} for file in files]
    found: dict[str, Any] = cleaner.document({"files": listed, "omitted": omitted or 0})
    return found


def _stream_is_whole(
    output: Manifest, text: str, size_bytes: str, sha256_hex: str, truncated: str
) -> bool:
    """By the names of its fields."""
    if output.get(truncated):
        return False
    inline, size, sha256 = output.get(text), output.get(size_bytes), output.get(sha256_hex)
    if inline is None:
        return not size
    raw = inline.encode("utf-8", "surrogatepass")
    if sha256 is not None:
        return bool(hashlib.sha256(raw).hexdigest() == sha256)
    # U+FFFD may stand for bytes that are no UTF-8, and be as long as they were.
    return len(raw) == size and "\ufffd" not in inline


def _code_sha256(metadata: Manifest, spec: Manifest) -> str | None:
    code = spec.get("code")
    if isinstance(code, str):
        return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
    told = mapping(metadata, "annotations").get(CODE_SHA256_ANNOTATION)
    if isinstance(told, str) and len(told) == 64 and set(told) <= _HEX:
        return told
    return None
