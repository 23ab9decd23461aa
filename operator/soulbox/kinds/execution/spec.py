"""An Execution's spec, remembered while that is worth its memory."""

from collections.abc import Mapping
from typing import Any, Final

from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import ExecutionSpec
from soulbox.reconcile.specs import SpecMemory, parsed_or_error
from soulbox.schema.parse_execution import parse_execution

# Larger programs are parsed again rather than kept.
_LARGEST_CODE: Final = 4096


def execution_spec(
    specs: SpecMemory, manifest: Mapping[str, Any]
) -> ExecutionSpec | InvalidManifest:
    """The Execution's spec, or what is wrong with it."""
    spec = manifest.get("spec") or {}
    code, rest = spec.get("code") or "", spec.keys() & {"files", "stdin"}
    if rest or not isinstance(code, str) or len(code) > _LARGEST_CODE:
        return parsed_or_error(manifest, parse_execution)
    return specs.of(manifest, parse_execution)
