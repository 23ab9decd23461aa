"""Specs of Executions, parsed once where keeping them costs little."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from soulbox.kinds.execution.spec import parse_execution
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import ExecutionSpec
from soulbox.reconcile.specs import SpecMemory, parsed_or_error

# Larger programs, and inputs, are parsed again rather than kept.
_LARGEST_CODE: Final = 4096


def _has_large_input(spec: Mapping[str, Any]) -> bool:
    if "input" not in spec:
        return False
    try:
        return len(orjson.dumps(spec["input"])) > _LARGEST_CODE
    except TypeError:  # parse_execution says what is wrong with it
        return True


def execution_spec(
    specs: SpecMemory, manifest: Mapping[str, Any]
) -> ExecutionSpec | InvalidManifest:
    """The Execution's spec, or what is wrong with it."""
    spec = manifest.get("spec") or {}
    code, rest = spec.get("code") or "", spec.keys() & {"files", "stdin"}
    if rest or not isinstance(code, str) or len(code) > _LARGEST_CODE or _has_large_input(spec):
        return parsed_or_error(manifest, parse_execution)
    return specs.of(manifest, parse_execution)
