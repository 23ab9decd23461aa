"""Manifests as the API server would give them, minimal and valid; changed by keyword."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping
from typing import Any

CLUSTER_UID = "0e5ad7a2-3d8b-4f0f-9f61-5b1d0a5e0001"
CREATED = "2026-11-22T10:00:00Z"
_versions = itertools.count(1000)


def next_version() -> int:
    """A resourceVersion newer than all before."""
    return next(_versions)


def new_uid() -> str:
    return str(uuid.uuid4())


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `base` with `changes` laid over it; None removes a member."""
    merged: dict[str, Any] = {
        key: merge(value, {}) if isinstance(value, Mapping) else value
        for key, value in base.items()
    }
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def newer(manifest: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The same object in its next version."""
    bumped = merge(manifest, {"metadata": {"resourceVersion": str(next_version())}})
    return merge(bumped, changes)


def _metadata(uid: str | None, name: str, created: str) -> dict[str, Any]:
    return {
        "uid": uid or new_uid(),
        "name": name,
        "namespace": "team-a",
        "resourceVersion": str(next_version()),
        "creationTimestamp": created,
        "generation": 1,
    }


def make_sandbox(
    *, uid: str | None = None, name: str = "box", created: str = CREATED, **changes: Any
) -> dict[str, Any]:
    """A Sandbox that was just made."""
    base = {
        "apiVersion": "soulbox.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": _metadata(uid, name, created),
        "spec": {"className": "python"},
        "status": {"state": "Created", "observedGeneration": 0},
    }
    return merge(base, changes)


def make_running_sandbox(**changes: Any) -> dict[str, Any]:
    """A Sandbox with every field of its status."""
    base = make_sandbox(
        spec={
            "user": "ada",
            "resources": {"cpu": "250m", "memory": "256Mi"},
            "env": [{"name": "TOKEN", "value": "s3cret"}],
            "lifetimeSeconds": 3600,
        },
        status={
            "state": "Running",
            "reason": "Running",
            "message": "The runner answers.",
            "incarnation": 1,
            "pod": {
                "name": "sbx-abc",
                "uid": new_uid(),
                "node": "node-1",
                "imageID": "sha256:abc",
                "runtimeClass": "gvisor",
            },
            "startTime": "2026-11-22T10:00:05Z",
            "lastActivityTime": "2026-11-22T10:01:05.250Z",
            "expirationTime": "2026-11-22T11:00:05Z",
            "runtimeSeconds": 61,
        },
    )
    base["metadata"]["labels"] = {"app": "demo"}
    return merge(base, changes)


def make_execution(
    *, uid: str | None = None, name: str = "run", created: str = CREATED, **changes: Any
) -> dict[str, Any]:
    """An Execution that was just made."""
    base = {
        "apiVersion": "soulbox.dev/v1alpha1",
        "kind": "Execution",
        "metadata": _metadata(uid, name, created),
        "spec": {"sandboxRef": {"name": "box"}, "language": "python", "code": "print(42)"},
        "status": {"state": "Queued", "observedGeneration": 0},
    }
    return merge(base, changes)


def make_finished_execution(
    *, sandbox_uid: str | None = None, stdout: str = "42\n", **changes: Any
) -> dict[str, Any]:
    """An Execution that completed, with every field of its status."""
    base = make_execution(
        status={
            "state": "Completed",
            "reason": "Completed",
            "message": "Exit code 0.",
            "attempt": 1,
            "className": "python",
            "language": "python",
            "timeoutSeconds": 300,
            "outputLimitBytes": 10485760,
            "queuedTime": "2026-11-22T10:00:00.000Z",
            "startTime": "2026-11-22T10:00:01.250Z",
            "completionTime": "2026-11-22T10:00:01.500Z",
            "durationMilliseconds": 250,
            "exitCode": 0,
            "output": {
                "stdout": stdout,
                "stderr": "",
                "stdoutBytes": len(stdout.encode("utf-8", "surrogatepass")),
                "stderrBytes": 0,
                "stdoutTruncated": False,
                "stderrTruncated": False,
            },
            "usage": {"cpuTimeMilliseconds": 20, "peakMemoryBytes": 9000000, "shared": False},
            "billing": {
                "computeUnits": "0.0625000000",
                "costUsd": "0.0000012500",
                "tier": "free",
                "pricePlan": "default-free-1",
            },
            "receipt": {
                "imageID": "sha256:abc",
                "podUID": "a1b2",
                "limits": {"cpu": "250m", "memory": "268435456"},
                "networkProfile": "none",
            },
        },
    )
    base["metadata"]["labels"] = {"soulbox.dev/sandbox-uid": sandbox_uid or new_uid()}
    return merge(base, changes)


def make_pod(
    *,
    uid: str | None = None,
    name: str = "sbx-abc",
    sandbox_uid: str | None = None,
    execution_uid: str | None = None,
    started: str | None = None,
    finished: str | None = None,
    cpu: str = "250m",
    memory: str = "256Mi",
    created: str = CREATED,
    **changes: Any,
) -> dict[str, Any]:
    """A pod of ours: pending, running once `started`, terminated once `finished`."""
    metadata = _metadata(uid, name, created)
    owner = ("Execution", execution_uid) if execution_uid else ("Sandbox", sandbox_uid or new_uid())
    label = "execution-uid" if execution_uid else "sandbox-uid"
    metadata["labels"] = {
        "app.kubernetes.io/managed-by": "soulbox",
        f"soulbox.dev/{label}": owner[1],
        "soulbox.dev/incarnation": "1",
        "soulbox.dev/class": "python",
    }
    metadata["annotations"] = {
        "soulbox.dev/sku": "default",
        "soulbox.dev/user": "ada",
        "soulbox.dev/owner-name": "box",
    }
    metadata["ownerReferences"] = [
        {
            "apiVersion": "soulbox.dev/v1alpha1",
            "kind": owner[0],
            "name": "box",
            "uid": owner[1],
            "controller": True,
        }
    ]
    metadata["finalizers"] = ["soulbox.dev/recorded"]
    state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
    phase = "Pending"
    if finished is not None:
        phase = "Succeeded"
        state = {
            "terminated": {
                "startedAt": started,
                "finishedAt": finished,
                "reason": "Completed",
                "exitCode": 0,
            }
        }
    elif started is not None:
        phase, state = "Running", {"running": {"startedAt": started}}
    base = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeName": "node-1",
            "containers": [
                {"name": "runner", "resources": {"limits": {"cpu": cpu, "memory": memory}}}
            ],
        },
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": "runner", "state": state, "lastState": {}}],
        },
    }
    return merge(base, changes)
