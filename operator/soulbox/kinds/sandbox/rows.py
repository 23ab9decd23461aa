"""The row of a Sandbox."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from soulbox.model.manifests import Manifest
from soulbox.model.rows import SandboxRow
from soulbox.model.states import SandboxReason, SandboxState
from soulbox.pure.fields import (
    Cleaner,
    RowContext,
    RowError,
    mapping,
    optional_int,
    optional_time,
    optional_uuid,
    required_time,
    resource_version,
    uid_of,
)

_DEFAULT_CLASS = "python"


def build_sandbox_row(
    manifest: Manifest, context: RowContext, *, gone_at: datetime | None = None
) -> SandboxRow:
    """The row that shows this version of a Sandbox.

    Args:
        gone_at: the object no longer exists and was found gone then; used as deleted_at
            where the object itself does not say when its deletion was asked for.

    Raises:
        RowError: the manifest cannot be a Sandbox; names the field.
    """
    cleaner = Cleaner()
    text = cleaner.text
    metadata, spec = mapping(manifest, "metadata"), mapping(manifest, "spec")
    status = mapping(manifest, "status")
    pod = mapping(status, "pod")
    namespace = str(metadata.get("namespace") or "")
    class_name = text(spec.get("className")) or _DEFAULT_CLASS
    network = spec.get("network")
    asked_at = optional_time(metadata.get("deletionTimestamp"), "metadata.deletionTimestamp")
    deleted_at = asked_at if asked_at is not None else gone_at
    terminated_at = optional_time(status.get("terminationTime"), "status.terminationTime")
    state = text(status.get("state")) or SandboxState.CREATED
    reason, message = text(status.get("reason")), text(status.get("message"))
    if deleted_at is not None and state != SandboxState.TERMINATED:
        # It went before that was written: what it said while it lived is not why it ended.
        reason, message = SandboxReason.DELETED.value, "It was deleted."
    if deleted_at is not None:
        # Nobody writes a last status on an object that goes; its end is its deletion. When
        # nobody saw that being asked for, the end is not made up from when it was missed.
        state, terminated_at = SandboxState.TERMINATED, terminated_at or asked_at
    return SandboxRow(
        uid=uid_of(manifest),
        cluster=context.cluster,
        tenant=context.tenant_of(namespace),
        user_name=text(spec.get("user")) or "",
        namespace=namespace,
        name=str(metadata.get("name") or ""),
        class_name=class_name,
        language=context.language_of(class_name),
        state=state.lower(),
        reason=reason,
        message=message,
        resource_limits=cleaner.value(dict(mapping(spec, "resources"))),
        network=text(network) if isinstance(network, str) else None,
        incarnation=optional_int(status.get("incarnation"), "status.incarnation") or 0,
        pod_uid=optional_uuid(pod.get("uid")),
        pod_name=text(pod.get("name")),
        node=text(pod.get("node")),
        image_id=text(pod.get("imageID")),
        runtime_class=text(pod.get("runtimeClass")),
        created_at=required_time(metadata.get("creationTimestamp"), "metadata.creationTimestamp"),
        started_at=optional_time(status.get("startTime"), "status.startTime"),
        expires_at=optional_time(status.get("expirationTime"), "status.expirationTime"),
        terminated_at=terminated_at,
        last_activity_at=optional_time(status.get("lastActivityTime"), "status.lastActivityTime"),
        runtime_seconds=_decimal(status.get("runtimeSeconds"), "status.runtimeSeconds"),
        labels=cleaner.value(dict(mapping(metadata, "labels"))),
        spec=_public_spec(cleaner.document(spec)),
        resource_version=resource_version(manifest),
        cleaned=cleaner.cleaned,  # after every text above
        deleted_at=deleted_at,
    )


def _public_spec(found: dict[str, Any]) -> dict[str, Any]:
    """The spec without the values of environment variables: those are often secrets, and
    rows are read by more people than objects are."""
    env = found.get("env")
    if isinstance(env, list):
        found["env"] = [
            {key: value for key, value in item.items() if key != "value"}
            if isinstance(item, Mapping)
            else item
            for item in env
        ]
    return found


def _decimal(value: Any, name: str) -> Decimal | None:
    """A number given as a number or as decimal text; None when absent."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RowError(f"{name} is not a number")
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise RowError(f"{name} is not a number") from None
    if not found.is_finite():
        raise RowError(f"{name} is not a finite number")
    return found
