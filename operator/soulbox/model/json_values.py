"""JSON of others as PostgreSQL can hold it.

What programs and tenants write as JSON is any JSON: text with NUL, numbers that no number
type holds, arrays in arrays in arrays. A value that `jsonb` or the encoder refuses would cost
the row that it is in, so what cannot be held is replaced, and the row says so.
"""

import math
import re
from typing import Any, Final, TypeAlias

# None, texts, numbers, booleans, and lists and dicts of these.
Json: TypeAlias = Any

# What text and jsonb cannot hold: NUL, and halves of surrogate pairs.
UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT: Final = "\ufffd"
# Levels of arrays and objects that are kept: orjson writes 254.
MAX_DEPTH: Final = 100
TOO_DEEP: Final = "nested too deeply to be kept"
# Strings are passed over: what is in them are no brackets.
_BRACKET: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{\]}]', re.DOTALL)
# orjson writes integers of 64 bits; larger ones are what the API server makes of them: doubles.
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1


def storable_text(text: str) -> str:
    """The text with U+FFFD for what cannot be stored; the same object where all of it can."""
    found = UNSTORABLE.sub(REPLACEMENT, text)
    return text if found == text else found


def storable_json(value: Json) -> tuple[Json, bool]:
    """The value as it can be stored, and whether that is the value as it was.

    Texts get U+FFFD for NUL and lone surrogates. A number beyond 64 bits becomes a double, and
    null where it is none; NaN and infinities are null. What lies deeper than MAX_DEPTH levels
    becomes a text that says so. Of two keys that become the same the later one stays.

    Raises:
        TypeError: it is no JSON.
    """
    cleaner = _Cleaner()
    found = cleaner.value(value, MAX_DEPTH)
    return found, cleaner.is_whole


class _Cleaner:
    __slots__ = ("is_whole",)

    def __init__(self) -> None:
        self.is_whole = True

    def value(self, value: Json, levels: int) -> Json:
        if isinstance(value, str):
            return self._kept(value, storable_text(value))
        if isinstance(value, dict | list):
            if levels == 0:
                return self._kept(value, TOO_DEEP)
            if isinstance(value, list):
                return [self.value(item, levels - 1) for item in value]
            return {
                self.value(key, levels): self.value(item, levels - 1) for key, item in value.items()
            }
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if _MIN_INT <= value <= _MAX_INT else self._kept(value, _double(value))
        if isinstance(value, float):
            return value if math.isfinite(value) else self._kept(value, None)
        raise TypeError(f"{type(value).__name__} is no JSON")

    def _kept(self, before: Json, after: Json) -> Json:
        self.is_whole = self.is_whole and before is after
        return after


def _double(number: int) -> float | None:
    try:
        return float(number)
    except OverflowError:
        return None


def cut_deep(text: bytes, levels: int) -> bytes:
    """JSON with null for what lies deeper than so many levels of arrays and objects."""
    kept = bytearray()
    depth = start = 0
    for found in _BRACKET.finditer(text):
        mark = found[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth == levels + 1:
                kept += text[start : found.start()] + b"null"
        elif mark in (b"]", b"}"):
            depth -= 1
            if depth == levels:
                start = found.end()
    return bytes(kept + text[start:]) if depth <= levels else bytes(kept)
