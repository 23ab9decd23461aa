"""A program's result as JSON, and why it is none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model.runs import NoResult, ResultFile, ResultValue
from soulbox.model.states import ResultProblem
from soulbox.model.text import storable
from soulbox.schema.results import MAX_RESULT_DEPTH, parse_result

DEEP, TOO_DEEP = (b"[" * levels + b"1" + b"]" * levels for levels in (64, 65))


def left(content: bytes) -> ResultValue | NoResult:
    return parse_result(ResultFile(content=content, size_bytes=len(content)))


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (b"null", None),
        (b' {"a": [1, 2.50, "\xc3\xa9", true]}\n', {"a": [1, 2.5, "é", True]}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'"\\u001b[2J \\u007f"', "\x1b[2J \ufffd"),
        (b'{"\\u0085\\ufffe": {}}', {"\x85\ufffd": {}}),
        (b"123456789012345678901234567890", 123456789012345678901234567890.0),
    ],
)
def test_result_is_any_json(content: bytes, want: Any) -> None:
    assert left(content) == ResultValue(want)


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (b"", "is empty: write JSON to the file, or make none"),
        (b" \n", "is empty: write JSON to the file, or make none"),
        (b"{'a': 1}", "is not JSON: "),
        (b"NaN", "is not JSON: "),
        (b"1 2", "is not JSON: "),
        (b'"\xff"', "is not JSON: "),
        (b'"\\ud800"', "is not JSON: "),
        (b"[" * 60_000, "is not JSON: "),
        (b'{"a": ["x\\u0000"]}', "holds the character U+0000"),
        (b'{"\\u0000": 1}', "holds the character U+0000"),
        (TOO_DEEP, "is nested more than 64 levels deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "is nested more than 64 levels deep"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_what_is_no_result_is_told_without_its_words(content: bytes, want: str) -> None:
    found = left(content)
    assert isinstance(found, NoResult)
    assert found.message.startswith(want)
    assert len(found.message) < 200


def test_deepest_result_is_taken() -> None:
    assert isinstance(left(DEEP), ResultValue)
    assert DEEP.count(b"[") == MAX_RESULT_DEPTH


def test_why_the_runner_took_none_is_told() -> None:
    large = ResultFile(size_bytes=81_920, problem=ResultProblem.TOO_LARGE, message="words")
    assert parse_result(large) == NoResult(
        "has 81,920 bytes of at most 65,536: write a file, capture it, return its path"
    )
    link = ResultFile(problem=ResultProblem.NOT_A_FILE, message="it is a symbolic link")
    assert parse_result(link) == NoResult("could not be read: it is a symbolic link")


_LEAF = st.none() | st.floats() | st.text()
_ANY = st.recursive(_LEAF, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.binary(max_size=64) | _ANY.map(orjson.dumps))
def test_any_bytes_are_a_storable_value_or_none(content: bytes) -> None:
    found = left(content)
    if isinstance(found, ResultValue):
        text = orjson.dumps(found.value).decode()
        assert storable(text) == text
        assert "\\u0000" not in text
