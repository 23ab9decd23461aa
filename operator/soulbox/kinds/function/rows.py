"""The rows of a Function: itself, and the version that is current."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from soulbox.kinds.function.decide.content import content_sha256
from soulbox.model.manifests import Manifest
from soulbox.model.rows import FunctionRow, FunctionVersionRow
from soulbox.model.states import FunctionReason
from soulbox.pure.fields import (
    Cleaner,
    RowContext,
    mapping,
    optional_bool,
    optional_time,
    required_time,
    required_uuid,
    resource_version,
    uid_of,
)

# Kept as they are written: their keys are their owner's words.
_SCHEMAS: Final = {"inputSchema": "input_schema", "outputSchema": "output_schema"}
# What a row has columns for, and the code, which is in programs once it has run.
_NOT_CONFIG: Final = frozenset(
    {*_SCHEMAS, "version", "code", "files", "tool", "description", "deprecated", "suspend"}
)
# Reasons that say that the spec is the current version, whatever else there is to say.
_IS_CURRENT: Final = (FunctionReason.PUBLISHED.value, FunctionReason.SUSPENDED.value)


def build_function_row(
    manifest: Manifest, context: RowContext, *, gone_at: datetime | None = None
) -> FunctionRow:
    """The row that shows this version of the object.

    Args:
        gone_at: the object no longer exists and was found gone then; used as deleted_at
            where the object itself does not say when its deletion was asked for.

    Raises:
        RowError: the manifest cannot be a Function; names the field.
    """
    cleaner = Cleaner()
    text = cleaner.text
    metadata, spec = mapping(manifest, "metadata"), mapping(manifest, "spec")
    status = mapping(manifest, "status")
    namespace = str(metadata.get("namespace") or "")
    state = text(status.get("state"))
    deleted_at = optional_time(metadata.get("deletionTimestamp"), "metadata.deletionTimestamp")
    return FunctionRow(
        uid=uid_of(manifest),
        cluster=context.cluster,
        tenant=context.tenant_of(namespace),
        namespace=namespace,
        name=str(metadata.get("name") or ""),
        version=text(status.get("version")),
        versions=tuple(text(entry.get("version")) or "" for entry in _versions(status)),
        state=None if state is None else state.lower(),
        reason=text(status.get("reason")),
        message=text(status.get("message")),
        suspended=optional_bool(spec.get("suspend"), "spec.suspend") or False,
        created_at=required_time(metadata.get("creationTimestamp"), "metadata.creationTimestamp"),
        labels=cleaner.value(dict(mapping(metadata, "labels"))),
        spec=_public_spec(spec, cleaner),
        resource_version=resource_version(manifest),
        cleaned=cleaner.cleaned,  # after every text above
        deleted_at=deleted_at if deleted_at is not None else gone_at,
    )


def build_current_version(manifest: Manifest, context: RowContext) -> FunctionVersionRow | None:
    """The row of the current version; None where the spec is not what is published as it.

    Raises:
        RowError: the manifest cannot be a Function; names the field.
    """
    metadata, spec = mapping(manifest, "metadata"), mapping(manifest, "spec")
    status = mapping(manifest, "status")
    if status.get("reason") not in _IS_CURRENT or status.get("observedGeneration") != metadata.get(
        "generation"
    ):
        return None
    version = status.get("version")
    for entry in _versions(status):
        if entry.get("version") == version:
            return _version_row(manifest, context, spec, entry)
    return None


def build_held_version(
    revision: Manifest, function: Manifest, context: RowContext
) -> FunctionVersionRow | None:
    """The row of a version that nobody saw as current, from its ControllerRevision.

    Args:
        function: whose it is.

    Raises:
        RowError: it is malformed; names the field.
    """
    data = mapping(revision, "data")
    entry = {
        "version": data.get("version"),
        "revision": mapping(revision, "metadata").get("name"),
        "publishedTime": mapping(revision, "metadata").get("creationTimestamp"),
        "codeSHA256": data.get("codeSHA256"),
    }
    if not isinstance(entry["version"], str) or not isinstance(entry["codeSHA256"], str):
        return None
    held = {
        "metadata": {
            **mapping(function, "metadata"),
            "resourceVersion": mapping(revision, "metadata").get("resourceVersion"),
        }
    }
    return _version_row(held, context, mapping(data, "spec"), entry)


def _version_row(
    manifest: Manifest, context: RowContext, spec: Manifest, entry: Manifest
) -> FunctionVersionRow:
    cleaner = Cleaner()
    text = cleaner.text
    metadata, tool = mapping(manifest, "metadata"), spec.get("tool")
    named = tool if isinstance(tool, Mapping) else {}
    namespace, name = str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
    version = text(entry.get("version")) or ""
    code_sha256 = text(entry.get("codeSHA256"))
    schemas = {column: cleaner.any_json(spec.get(field)) for field, column in _SCHEMAS.items()}
    return FunctionVersionRow(
        function_uid=required_uuid(metadata.get("uid"), "metadata.uid"),
        version=version,
        cluster=context.cluster,
        tenant=context.tenant_of(namespace),
        namespace=namespace,
        name=name,
        tool_id=None if tool is None else f"tool:{namespace}/{name}@{version}",
        revision=text(entry.get("revision")),
        content_sha256=None if code_sha256 is None else content_sha256(spec, code_sha256),
        code_sha256=code_sha256,
        input_schema=schemas["input_schema"],
        output_schema=schemas["output_schema"],
        execution_config=_config(spec, cleaner),
        tags=tuple(text(tag) or "" for tag in named.get("tags") or ()),
        category=text(named.get("category")),
        tool_type=text(named.get("type")),
        title=text(named.get("title")),
        description=text(spec.get("description")),
        published_by=None,  # no object says it: see docs/decisions/0110
        registered_at=required_time(entry.get("publishedTime"), "publishedTime"),
        deprecated=text(spec.get("deprecated")),
        resource_version=resource_version(manifest),
        cleaned=cleaner.cleaned,  # after every text above
    )


def _versions(status: Manifest) -> list[Mapping[str, Any]]:
    found = status.get("versions")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _public_spec(spec: Manifest, cleaner: Cleaner) -> dict[str, Any]:
    """The spec without its code, and without the values of environment variables and the content
    of files: those are often secrets, and rows are read by more people than objects are."""
    rest = {name: spec[name] for name in spec if name not in {*_SCHEMAS, "code", "files", "env"}}
    found: dict[str, Any] = cleaner.document(rest)
    for field, column in _SCHEMAS.items():
        if field in spec:
            found[column] = cleaner.any_json(spec[field])
    return found | _inputs(spec, cleaner)


def _config(spec: Manifest, cleaner: Cleaner) -> dict[str, Any]:
    """How it runs."""
    rest = {name: spec[name] for name in spec if name not in {*_NOT_CONFIG, "env"}}
    found: dict[str, Any] = cleaner.document(rest)
    return found | _inputs(spec, cleaner)


def _inputs(spec: Manifest, cleaner: Cleaner) -> dict[str, Any]:
    """Variables without their values, files without their content."""
    found = {}
    for field, secret in (("env", "value"), ("files", "content")):
        items = spec.get(field)
        if isinstance(items, list) and items:
            found[field] = [
                cleaner.document({key: item[key] for key in item if key != secret})
                for item in items
                if isinstance(item, Mapping)
            ]
    return found
