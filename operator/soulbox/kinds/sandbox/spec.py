"""A Sandbox as the API server stores it, to `model.specs.SandboxSpec`."""

from collections.abc import Mapping
from typing import Any

from soulbox.kinds.sandbox import crd as sandbox
from soulbox.model import specs
from soulbox.schema.parse import (
    MIN_DISK_BYTES,
    to_bytes,
    to_resources,
    to_sourced_env,
    to_user,
    validate_spec,
)


def parse_sandbox(manifest: Mapping[str, Any]) -> specs.SandboxSpec:
    """The spec of a Sandbox.

    Raises:
        InvalidManifest: the stored object is malformed; says which field.
    """
    spec = validate_spec(sandbox.SandboxSpec, manifest)
    return specs.SandboxSpec(
        class_name=spec.class_name,
        resources=to_resources(spec.resources),
        env=to_sourced_env(spec.env),
        lifetime_seconds=spec.lifetime_seconds,
        idle_timeout_seconds=spec.idle_timeout_seconds,
        suspend=spec.suspend,
        workspace=None
        if spec.workspace is None or not spec.workspace.persistent
        else specs.Workspace(
            size_bytes=None
            if spec.workspace.size is None
            else to_bytes("spec.workspace.size", spec.workspace.size, MIN_DISK_BYTES),
            storage_class_name=spec.workspace.storage_class_name,
        ),
        network=spec.network,
        default_timeout_seconds=spec.default_timeout_seconds,
        max_concurrent_executions=spec.max_concurrent_executions,
        user=to_user(spec.user),
    )
