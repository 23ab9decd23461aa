"""Inline output: how it is cut, what it costs, when it is the whole."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.kinds.execution.decide.output import (
    INLINE_BYTES,
    MINIMAL_BYTES,
    encoded_bytes,
    inline_stream,
    json_size,
    last_line,
)

MARK = re.compile(r"\n\[… ([0-9]+) bytes omitted …\]\n")
# The runner keeps at most so much of each end (wire protocol); sizes are int64 there.
ENDS = st.binary(max_size=4096)
GAPS = st.one_of(st.just(0), st.integers(1, 10), st.integers(0, 2**62))
# Text whose characters cost one to six bytes inside JSON, and bytes that are no text.
MIXED = st.one_of(
    ENDS,
    st.text(max_size=1500).map(str.encode),
    st.text('\0\x01"\\\n<>&\u2028é🙂a', max_size=1500).map(str.encode),
)


def go_json_bytes(text: str) -> int:
    """Size of a string in a document of Go's encoding/json, quotes apart."""
    encoded = json.dumps(text, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return len(encoded[1:-1].encode())


@pytest.mark.slow
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_encoded_bytes_are_what_the_api_server_stores(text: str) -> None:
    assert encoded_bytes(text) == go_json_bytes(text)


@pytest.mark.slow
@given(MIXED, MIXED, GAPS, st.sampled_from([MINIMAL_BYTES, 2000, INLINE_BYTES]))
def test_inline_form_never_costs_more_than_its_limit(
    head: bytes, tail: bytes, gap: int, limit: int
) -> None:
    inline = inline_stream(head, tail, len(head) + len(tail) + gap, limit)
    assert encoded_bytes(inline.text) <= limit


@given(MIXED, MIXED, GAPS, st.sampled_from([MINIMAL_BYTES, INLINE_BYTES]))
def test_whole_means_to_the_byte(head: bytes, tail: bytes, gap: int, limit: int) -> None:
    inline = inline_stream(head, tail, len(head) + len(tail) + gap, limit)
    equal = gap == 0 and inline.text.encode() == head + tail
    assert inline.whole is equal
    assert not (inline.whole and inline.cut)
    assert inline.cut or gap == 0


@given(MIXED, MIXED, GAPS)
def test_mark_counts_exactly_the_bytes_that_are_not_shown(
    head: bytes, tail: bytes, gap: int
) -> None:
    total = len(head) + len(tail) + gap
    inline = inline_stream(head, tail, total, MINIMAL_BYTES)
    if gap == 0 and inline.text == (head + tail).decode("utf-8", "replace"):
        return
    # The mark is found at its own count only: the program may print one of its own.
    counted = [
        int(found[1]) + len(inline.text.encode()) - len(found[0].encode())
        for found in MARK.finditer(inline.text)
    ]
    # Replaced bytes take more room in the text than they did in the stream.
    assert any(count == total for count in counted) or "\ufffd" in inline.text


@given(st.text("é🙂a", min_size=1, max_size=400), st.integers(0, 1600), st.integers(1, 9))
def test_character_cut_at_the_gap_is_dropped_and_not_shown_as_garbage(
    text: str, cut: int, gap: int
) -> None:
    raw = text.encode()
    head, rest = raw[:cut], raw[cut:]
    inline = inline_stream(head, rest[gap:], len(raw))
    assert "\ufffd" not in inline.text


CASES: dict[str, tuple[bytes, bytes, int, str, bool]] = {
    "nothing": (b"", b"", 0, "", True),
    "text": (b"42\n", b"", 3, "42\n", True),
    "text in two parts": (b"ab", b"cd", 4, "abcd", True),
    "a character across the parts": ("é".encode()[:1], "é".encode()[1:], 2, "é", True),
    "bytes that are no text": (b"a\xff", b"", 2, "a\ufffd", False),
    "a gap": (b"ab", b"yz", 30, "ab\n[… 26 bytes omitted …]\nyz", False),
    "a gap and no tail": (b"ab", b"", 30, "ab\n[… 28 bytes omitted …]\n", False),
    "a gap and nothing kept": (b"", b"", 30, "\n[… 30 bytes omitted …]\n", False),
    "a gap and no head": (b"", b"yz", 30, "\n[… 28 bytes omitted …]\nyz", False),
}


@pytest.mark.parametrize("name", CASES)
def test_inline_stream_of(name: str) -> None:
    head, tail, total, want_text, want_whole = CASES[name]
    inline = inline_stream(head, tail, total)
    assert (inline.text, inline.whole) == (want_text, want_whole)


def test_text_at_the_limit_is_whole_and_one_byte_more_is_cut() -> None:
    at_limit = b"a" * INLINE_BYTES
    assert inline_stream(at_limit, b"", INLINE_BYTES).whole
    over = inline_stream(at_limit, b"b", INLINE_BYTES + 1)
    assert not over.whole
    assert over.text.startswith("aaa")
    assert over.text.endswith("ab")


def test_control_characters_count_as_they_are_stored() -> None:
    # 6000 NULs are 6000 bytes on the wire and 36000 in the object.
    inline = inline_stream(b"\0" * 6000, b"", 6000)
    assert not inline.whole
    assert encoded_bytes(inline.text) <= INLINE_BYTES
    assert inline.text.count("\0") > 5000


LINES = {
    "": "",
    "\n \n": "",
    "one": "one",
    "one\n  two  \n\n": "two",
    "x" * 2000: "x" * 1024,
}


@pytest.mark.parametrize("text", LINES)
def test_last_line_that_says_something(text: str) -> None:
    assert last_line(text) == LINES[text]


def test_size_of_a_document() -> None:
    assert json_size({"a": "é"}) == len('{"a": "é"}'.encode())
