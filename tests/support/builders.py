"""Objects for tests: minimal and valid by default, changed by keyword.

`spec` keywords are the API's own camelCase names; None takes a field out.
"""

from __future__ import annotations

import uuid
from typing import Any

API_VERSION = "soulbox.dev/v1alpha1"
EPOCH = "2026-01-02T03:04:05Z"


def make_sandbox_class(name: str = "python", **spec: Any) -> dict[str, Any]:
    """A SandboxClass with one language, python."""
    base = {
        "image": "soulbox/python:dev",
        "interpreters": {"python": {"command": ["python3"], "extension": ".py"}},
        "defaultLanguage": "python",
    }
    return _manifest("SandboxClass", name, None, base, spec)


def make_sandbox(name: str = "box", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """A Sandbox of class python that asks for nothing."""
    return _manifest("Sandbox", name, namespace, {"className": "python"}, spec)


def make_execution(name: str = "run", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """An Execution of print(42) in Sandbox `box`."""
    base = {"sandboxRef": {"name": "box"}, "code": "print(42)"}
    return _manifest("Execution", name, namespace, base, spec)


def make_function(name: str = "resize", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """A Function of class python that gives back its input."""
    base = {"className": "python", "handler": "main", "code": "def main(input): return input"}
    return _manifest("Function", name, namespace, base, spec)


def stored(manifest: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """The manifest as an API server gives it back: with uid, version and times."""
    return {
        **manifest,
        "metadata": {
            **manifest["metadata"],
            "uid": str(uuid.uuid4()),
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": EPOCH,
            **metadata,
        },
    }


def _manifest(
    kind: str,
    name: str,
    namespace: str | None,
    base: dict[str, Any],
    changes: dict[str, Any],
) -> dict[str, Any]:
    metadata = {"name": name} | ({} if namespace is None else {"namespace": namespace})
    spec = {key: value for key, value in (base | changes).items() if value is not None}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
