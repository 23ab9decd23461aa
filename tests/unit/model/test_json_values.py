"""What of others' JSON is stored, and that all of it can be."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soulbox.model.json_values import MAX_DEPTH, TOO_DEEP, storable_json


def nested(levels: int) -> Any:
    value: Any = "end"
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


KEPT = {
    "null": None,
    "text of any script": "日本語 👩‍💻 \x01",
    "numbers": [0, -1, 1.5, 2**64 - 1, -(2**63), 1e308],
    "an object": {"a": {"b": [True, False, None]}, "": ""},
    "as deep as may be": nested(MAX_DEPTH),
}


@pytest.mark.parametrize("what", KEPT)
def test_ordinary_json_is_stored_as_it_is(what: str) -> None:
    assert storable_json(KEPT[what]) == (KEPT[what], True)


REPLACED: dict[str, tuple[Any, Any]] = {
    "NUL": ({"a\x00": "b\x00c"}, {"a\ufffd": "b\ufffdc"}),
    "half of a surrogate pair": (["\ud800"], ["\ufffd"]),
    "keys that become one": ({"\x00": 1, "\ufffd": 2}, {"\ufffd": 2}),
    "NaN and infinities": ([math.nan, math.inf, -math.inf], [None, None, None]),
    "a number over 64 bits": (2**64, 1.8446744073709552e19),
    "a number over every double": (10**400, None),
}


@pytest.mark.parametrize("what", REPLACED)
def test_what_cannot_be_stored_is_replaced_and_told(what: str) -> None:
    given_value, want = REPLACED[what]
    found, is_whole = storable_json(given_value)
    assert found == want
    assert not is_whole


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 200_000])
def test_what_lies_too_deep_is_cut_off_there(levels: int) -> None:
    found, is_whole = storable_json(nested(levels))
    assert not is_whole
    for level in range(MAX_DEPTH):
        found = found[0] if (levels - level) % 2 == 0 else found["in"]
    assert found == TOO_DEEP


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@pytest.mark.slow
@given(ANY_JSON)
def test_all_json_can_be_written_and_what_is_written_is_stored_as_it_is(value: Any) -> None:
    found, is_whole = storable_json(value)
    raw = orjson.dumps(found)
    assert b"\\u0000" not in raw
    assert storable_json(found) == (found, True)
    assert not is_whole or orjson.loads(raw) == value
