"""A program's output as it fits into an object's status.

Inline output is head and tail of a stream, at most INLINE_BYTES of *encoded JSON*:
control characters grow sixfold ("\\u0000"), and what must stay small is the object.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from soulbox.model.runs import CapturedFile, RunDocument, StreamSummary
from soulbox.model.text import printable, storable

INLINE_BYTES: Final = 32_768
# Left of each stream when the API server still says the object is too large.
MINIMAL_BYTES: Final = 1_024
# Contents of all captured files together (design: inline file content <= 16 KiB in all).
FILE_CONTENT_BYTES: Final = 16_384
# Their paths together. A guess: 64 paths of a kilobyte.
FILE_NAMES_BYTES: Final = 65_536
MAX_REASON: Final = 1_024
# One path; Linux takes no longer one from a program in a single call.
MAX_PATH: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """A stream's inline form."""

    text: str
    # Whether the text is, to the byte, everything the program wrote.
    whole: bool
    # Whether a mark stands for bytes that were left out.
    cut: bool


def encoded_bytes(text: str) -> int:
    """Bytes of the text inside a JSON document as the API server stores it (UTF-8, with
    control characters, <, > and & escaped as Go's encoding/json does)."""
    return sum(_cost(character) for character in text)


def _cost(character: str) -> int:
    if character in '"\\\n\r\t\b\f':
        return 2
    if character < " " or character in "<>&\u2028\u2029":
        return 6
    code = ord(character)
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4


def inline_stream(head: bytes, tail: bytes, total_bytes: int, limit: int = INLINE_BYTES) -> Inline:
    """Head and tail of a stream as text.

    Args:
        head: its first bytes.
        tail: its last bytes beyond `head`, without overlap.
        total_bytes: all bytes the program wrote, >= len(head) + len(tail).
        limit: encoded bytes the result may have.

    Bytes that are not UTF-8, and characters that YAML cannot hold, become U+FFFD and the
    stream counts as not whole.
    """
    gap = total_bytes - len(head) - len(tail)
    if gap <= 0:
        raw = head + tail
        text = _shown(raw)
        if encoded_bytes(text) <= limit:
            return Inline(text=text, whole=text.encode() == raw, cut=False)
        first = last = text
    else:
        # A character cut in two at the gap is dropped, not shown as garbage.
        first = _shown(head).rstrip("\ufffd")
        last = _shown(tail or head).lstrip("\ufffd")
        if not tail:
            last = ""
    # The mark's count is of bytes the reader does not see; its width is bounded by 20 digits.
    room = limit - len("\n[… 00000000000000000000 bytes omitted …]\n".encode())
    first = _prefix(first, room // 2)
    last = _prefix(last[::-1], room - room // 2)[::-1]
    omitted = max(0, total_bytes - len(first.encode()) - len(last.encode()))
    text = f"{first}\n[… {omitted} bytes omitted …]\n{last}"
    return Inline(text=text, whole=False, cut=True)


def kept_part(stream: StreamSummary, kept_bytes: int | None) -> tuple[bytes, bytes, int]:
    """Of a stream's first `kept_bytes` (None: all of it) what is known of head and tail, and
    how many bytes they are."""
    size = stream.size_bytes
    kept = size if kept_bytes is None else min(kept_bytes, size)
    tail_begins = size - len(stream.tail)
    return stream.head[:kept], stream.tail[: max(0, kept - tail_begins)], kept


def told_stderr(run: RunDocument, kept_bytes: int | None) -> str:
    """What the error of a run is read from: both ends of stderr. Who wants no output kept
    (outputLimitBytes: 0) wants none of it in a message."""
    if run.stderr is None or kept_bytes == 0:
        return ""
    return (run.stderr.head + run.stderr.tail).decode("utf-8", "replace")


def _shown(raw: bytes) -> str:
    return storable(raw.decode("utf-8", "replace"))


def _prefix(text: str, budget: int) -> str:
    """The longest prefix that costs at most `budget` encoded bytes."""
    spent = 0
    for index, character in enumerate(text):
        spent += _cost(character)
        if spent > budget:
            return text[:index]
    return text


def inline_files(files: Sequence[CapturedFile], omitted: int, reason: str = "") -> dict[str, Any]:
    """Captured files as members of `status.output`; nothing where none was asked for.

    Contents that are UTF-8 are there, the first ones up to FILE_CONTENT_BYTES in all (encoded);
    names have a bound of their own, because a path may be long and full of control characters.
    """
    listed: list[dict[str, Any]] = []
    content_left, names_left = FILE_CONTENT_BYTES, FILE_NAMES_BYTES
    unlisted = 0
    for file in files:
        path = storable(file.path)
        names_left -= encoded_bytes(path)
        if names_left < 0 or len(path) > MAX_PATH:
            omitted += 1
            unlisted += 1
            continue
        entry: dict[str, Any] = {
            "path": path,
            "size": file.size_bytes,
            "sha256": file.sha256,
        }
        if file.truncated:
            entry["truncated"] = True
        text = None if file.truncated else _text_of(file.content)
        if text is not None and (cost := encoded_bytes(text)) <= content_left:
            content_left -= cost
            entry["content"] = text
        listed.append(entry)
    found: dict[str, Any] = {"files": listed} if files else {}
    if omitted:
        found["filesOmitted"] = omitted
    reasons = [reason] if reason else []
    if unlisted:
        reasons.append(f"the paths of {unlisted} are too long for the status")
    if reasons:
        found["filesOmittedReason"] = printable("; ".join(reasons))[:MAX_REASON]
    return found


def _text_of(content: bytes | None) -> str | None:
    """The text that it is, to the byte; None for one that the status could only falsify."""
    try:
        text = None if content is None else content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text is not None and storable(text) == text else None


def last_line(text: str, limit: int = 1024) -> str:
    """The last line that says something, cut to `limit` characters; "" if there is none."""
    for line in reversed(text.splitlines()):
        if line.strip():
            return line.strip()[:limit]
    return ""


def json_size(document: object) -> int:
    """Bytes of a document as JSON; for checks against the API server's limits."""
    return len(json.dumps(document, ensure_ascii=False).encode())
