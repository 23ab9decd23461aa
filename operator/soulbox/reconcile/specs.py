"""Parsed specs, remembered: a pass looks at the same Sandbox and class as the last one did.

Parsing costs some 20 to 200 µs and an Execution is looked at five times in its life, each time
with its Sandbox and its class. An entry counts only for an equal spec, so a stale one is never
used; comparing two equal specs costs microseconds.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from soulbox.model.errors import InvalidManifest

_Spec = TypeVar("_Spec")
Parse = Callable[[Mapping[str, Any]], _Spec]
# Objects of a kind that are worked on at about the same time (a guess); a spec has a few KiB.
_KEPT: Final = 512


class SpecMemory:
    """The newest result of each parser by uid; the least recently asked for goes first. For one
    event loop."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._known: defaultdict[Parse[Any], OrderedDict[str, tuple[Any, Any]]] = defaultdict(
            OrderedDict
        )

    def of(self, manifest: Mapping[str, Any], parse: Parse[_Spec]) -> _Spec | InvalidManifest:
        """The object's spec, or what is wrong with it.

        Args:
            parse: raises InvalidManifest.
        """
        known = self._known[parse]
        uid: str = manifest["metadata"]["uid"]
        spec = manifest.get("spec")
        found = known.get(uid)
        if found is not None and found[0] == spec:
            known.move_to_end(uid)
            parsed: _Spec = found[1]
            return parsed
        result = parsed_or_error(manifest, parse)
        if not isinstance(result, InvalidManifest):
            known[uid] = (spec, result)
            known.move_to_end(uid)
            if len(known) > self._kept:
                known.popitem(last=False)
        return result


def parsed_or_error(manifest: Mapping[str, Any], parse: Parse[_Spec]) -> _Spec | InvalidManifest:
    """The same, of what is not worth remembering."""
    try:
        return parse(manifest)
    except InvalidManifest as error:
        return error
