"""JSON of the API server that is deeper than any decoder here reads."""

from __future__ import annotations

import inspect
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kopf._cogs.clients import api as kopf_api

from soulbox.kube.decoding import LEVELS, decode
from soulbox.model.json_values import cut_deep


def depth(value: Any) -> int:
    levels = 0
    while isinstance(value, list | dict) and value:
        value, levels = next(iter(value.values() if isinstance(value, dict) else value)), levels + 1
    return levels + isinstance(value, list | dict)


@pytest.mark.parametrize("levels", [LEVELS + 1, 900, 1_100, 10_000])
@pytest.mark.parametrize("ends", ["[]", '{"a":}'])
def test_what_is_too_deep_is_cut_there(levels: int, ends: str) -> None:
    opened, closed = ends[:-1], ends[-1]
    text = opened * levels + ("1" if ends != "[]" else "") + closed * levels
    event = f'{{"object": {{"a]": "}}]\\"", "input": {text}}}, "type": "ADDED"}}'
    found = decode(event)
    assert (found["type"], found["object"]["a]"]) == ("ADDED", '}]"')
    kept = found["object"]["input"]
    assert depth(kept) == LEVELS - 2
    with pytest.raises(TypeError):  # what refuses such an input
        orjson.dumps(kept)


ANY_JSON = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ANY_JSON, st.integers(0, 4))
def test_cut_json_is_json_and_the_same_above_the_cut(value: Any, levels: int) -> None:
    def cut(part: Any, left: int) -> Any:
        if not isinstance(part, list | dict):
            return part
        if left == 0:
            return None
        if isinstance(part, list):
            return [cut(each, left - 1) for each in part]
        return {key: cut(each, left - 1) for key, each in part.items()}

    text = json.dumps(value, ensure_ascii=False).encode()
    assert json.loads(cut_deep(text, levels)) == cut(value, levels)


def test_ordinary_json_is_left_as_it_is_and_what_is_none_is_refused() -> None:
    wide = {"items": [{"n": [n]} for n in range(LEVELS)]}
    assert decode(json.dumps(wide)) == wide
    for odd in ("", "{", "[1,]", "[" * 2_000):
        with pytest.raises(orjson.JSONDecodeError):
            decode(odd)


def test_kopf_still_decodes_by_the_name_that_is_replaced() -> None:
    assert "json.loads(" in inspect.getsource(kopf_api.stream)
