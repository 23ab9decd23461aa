"""Choices made from bytes, so that one target serves every fuzzer: what mutates the bytes mutates
the choices. An exhausted source goes on with zeros."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

# What breaks terminals, YAML, JSON, parsers and bounds, or looks like what we look for.
NASTY = (
    "\x1b]0;title\x07\x1b[2J", "\x7f\x80\x9f", "\x00", "\u202e\u2066", "\u2028\u2029",
    "\ufffe\uffff", "\U000e0041", "\u200b\ufeff", "\r\n", "\\u0000", "<&>", "a" * 5000,
    "\x01" * 4096, "\U000e0001" * 4096, "é" * 3000, "Traceback (most recent call last):\n",
    "ValueError: ",
    '  File "x", line 1\n', "  + Exception Group Traceback (most recent call last):\n", "  | ",
    "Exception ignored in: x\n", "Node.js v20\n", "/x.js:1\n\n^\n", "    at x\n", "SyntaxError: x",
    "Task exception was never retrieved\n", "future: <Task>\n", "../../etc/passwd", "/", "%2e%2e",
    "fork: Resource temporarily unavailable", "",
)  # fmt: skip
NUMBERS = (0, 1, -1, 255, 256, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 1.5, 1e300)
TIMES = (
    "2026-03-04T05:06:07Z", "2026-03-04T05:06:05.123456789Z", "2026-03-04T06:06:07+01:00",
    "2026-03-04T05:06:07", "2026-03-05T05:06:06Z", "2026-03-06T05:06:07Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z", "2025-02-01T00:00:00Z", "1969-12-31T23:59:59Z", "soon", "",
)  # fmt: skip


class Source:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1."""
        return (self.byte() if bound <= 256 else self.byte() << 8 | self.byte()) % bound

    def rarely(self) -> bool:
        """One time in eight; never of an exhausted source."""
        return self.byte() % 8 == 7

    def choose(self, among: Sequence[T]) -> T:
        return among[self.below(len(among))]

    def bytes(self, most: int) -> bytes:
        size = self.below(most + 1)
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        taken = self._data[self._at :]
        self._at = len(self._data)
        return taken

    def text(self, most: int = 64) -> str:
        """Text without lone surrogates: JSON that holds one is refused as a whole."""
        return "".join(
            self.choose(NASTY) if self.byte() % 2 else self.bytes(most).decode("utf-8", "replace")
            for _ in range(self.below(4) + 1)
        )

    def value(self, depth: int = 0) -> Any:
        """Any JSON."""
        kind = self.below(8)
        if kind == 0:
            return None
        if kind == 1:
            return bool(self.byte() % 2)
        if kind == 2:
            return self.choose(NUMBERS)
        if kind == 3:
            return self.choose(TIMES)
        if kind == 4 and depth < 3:
            return [self.value(depth + 1) for _ in range(self.below(4))]
        if kind == 5 and depth < 3:
            return {self.text(8)[:64]: self.value(depth + 1) for _ in range(self.below(4))}
        return self.text()

    def spoil(self, document: Any) -> Any:
        """The document with a few of its values replaced, taken out or doubled."""
        for _ in range(self.below(4)):
            places = list(_places(document))
            if not places:
                return document
            holder, key = self.choose(places)
            what = self.below(4)
            if what == 0 and isinstance(holder, dict):
                del holder[key]
            elif what == 1 and isinstance(holder, list):
                holder.extend(itertools.repeat(holder[key], self.choose((1, 70, 1100))))
            else:
                holder[key] = self.value()
        return document


def _places(document: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    if isinstance(document, dict):
        for key, value in document.items():
            found += [(document, key), *_places(value)]
    elif isinstance(document, list):
        for index, value in enumerate(document[:8]):
            found += [(document, index), *_places(value)]
    return found
