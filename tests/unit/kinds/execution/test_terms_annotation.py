"""The annotation that carries the terms of a dispatch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from soulbox.kinds.execution.receipt import read_terms, write_terms
from soulbox.model.keys import DISPATCHED_ANNOTATION, TERMS_ANNOTATION
from tests.support.seen import make_terms

MARK = "0b0e7f0c-5a5e-4a55-9d5e-3f0a1c2b3d4e/1/5a0d60c5-0000-4000-8000-0000000000e0"


def annotated(value: Any, mark: str = MARK) -> dict[str, Any]:
    """Metadata of an Execution with these annotations."""
    return {"annotations": {DISPATCHED_ANNOTATION: mark, TERMS_ANNOTATION: value}}


def test_terms_are_read_as_they_were_written() -> None:
    terms = make_terms(timeout_seconds=7, output_limit_bytes=0)
    text = write_terms(terms, MARK)
    assert read_terms(annotated(text)) == terms
    assert len(text) < 400, "it is on every Execution"


def test_terms_go_with_the_mark_they_were_written_with() -> None:
    """A dispatch by an earlier release after ours, and a copy, bring ours along."""
    text = write_terms(make_terms(), MARK)
    assert read_terms(annotated(text, MARK.replace("/1/", "/2/"))) is None
    assert read_terms({"annotations": {TERMS_ANNOTATION: text}}) is None


CHANGES: dict[str, dict[str, Any]] = {
    "no time": {"timeoutSeconds": None},
    "a time that is text": {"timeoutSeconds": "300"},
    "a time without end": {"timeoutSeconds": 10**9},
    "less than nothing": {"outputLimitBytes": -1},
    "more than any class keeps": {"outputLimitBytes": 2**40},
    "no command": {"command": []},
    "processes without end": {"pids": 10**6},
    "a number no column takes": {"memoryBytes": 2**63},
}


@pytest.mark.parametrize("name", CHANGES)
def test_malformed_terms_count_as_absent(name: str) -> None:
    document = json.loads(write_terms(make_terms(), MARK)) | CHANGES[name]
    assert read_terms(annotated(json.dumps(document))) is None


@pytest.mark.parametrize("value", [None, "", "{", "[]", '"x"', 7, "\ud800"])
def test_what_is_no_terms_at_all_counts_as_absent(value: Any) -> None:
    assert read_terms(annotated(value)) is None


def test_what_a_later_release_adds_is_passed_over() -> None:
    document = json.loads(write_terms(make_terms(), MARK)) | {"gpu": 1}
    assert read_terms(annotated(json.dumps(document))) == make_terms()
