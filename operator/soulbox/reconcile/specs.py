"""Parsed specs, remembered: a pass looks at the same Sandbox and class as the last one did.

Parsing costs some 20 to 200 µs and an Execution is looked at five times in its life, each time
with its Sandbox and its class. An entry counts only for an equal spec, so a stale one is never
used; comparing two equal specs costs microseconds.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import ExecutionSpec, SandboxClassSpec, SandboxSpec
from soulbox.schema.parse import parse_execution, parse_sandbox, parse_sandbox_class

_Spec = TypeVar("_Spec")
# Sandboxes, and Executions, that are worked on at about the same time (guesses). A Sandbox's
# spec has a few KiB; args and env of an Execution may have up to 384.
_SANDBOXES = 512
_EXECUTIONS = 128
# Larger programs are parsed again rather than kept.
_LARGEST_CODE = 4096


class _Memo(Generic[_Spec]):
    """The newest result by uid; the least recently asked for goes first."""

    def __init__(self, parse: Callable[[Mapping[str, Any]], _Spec], capacity: int) -> None:
        self._parse = parse
        self._capacity = capacity
        self._known: OrderedDict[str, tuple[Any, _Spec]] = OrderedDict()

    def __call__(self, manifest: Mapping[str, Any]) -> _Spec:
        uid: str = manifest["metadata"]["uid"]
        spec = manifest.get("spec")
        known = self._known.get(uid)
        if known is not None and known[0] == spec:
            self._known.move_to_end(uid)
            return known[1]
        parsed = self._parse(manifest)
        self._known[uid] = (spec, parsed)
        self._known.move_to_end(uid)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return parsed


class SpecMemory:
    """Parses the specs of the three kinds. For one event loop."""

    def __init__(self) -> None:
        self._sandbox = _Memo(parse_sandbox, _SANDBOXES)
        self._sandbox_class = _Memo(parse_sandbox_class, _SANDBOXES)
        self._execution = _Memo(parse_execution, _EXECUTIONS)

    def sandbox(self, manifest: Mapping[str, Any]) -> SandboxSpec | InvalidManifest:
        """The Sandbox's spec, or what is wrong with it."""
        return _or_error(self._sandbox, manifest)

    def sandbox_class(self, manifest: Mapping[str, Any]) -> SandboxClassSpec | InvalidManifest:
        """The class's spec, or what is wrong with it."""
        return _or_error(self._sandbox_class, manifest)

    def execution(self, manifest: Mapping[str, Any]) -> ExecutionSpec | InvalidManifest:
        """The Execution's spec, or what is wrong with it."""
        spec = manifest.get("spec") or {}
        code, rest = spec.get("code") or "", spec.keys() & {"files", "stdin"}
        large = rest or not isinstance(code, str) or len(code) > _LARGEST_CODE
        return _or_error(parse_execution if large else self._execution, manifest)


def _or_error(
    parse: Callable[[Mapping[str, Any]], _Spec], manifest: Mapping[str, Any]
) -> _Spec | InvalidManifest:
    try:
        return parse(manifest)
    except InvalidManifest as error:
        return error
