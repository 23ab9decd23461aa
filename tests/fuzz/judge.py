"""Schemas and expressions as the judge's child reads them: whatever comes, the answer is one that
the parent takes, and no exception ends the process."""

from __future__ import annotations

import json
from typing import Any

import orjson

from soulbox.judge import limits
from soulbox.judge.child import parse_reply
from soulbox.judge.expressions import Expressions
from soulbox.judge.schemas import Schemas
from soulbox.judge.verdicts import Outcome
from soulbox.model.text import printable
from tests.unit.judge.cel_cases import FAILURES, REFUSALS, RESULTS, X
from tests.unit.judge.schema_cases import EVERY

_ABOUT = {"key": "", "field": "f", "name": "n", "object": False}


def schemas(data: bytes) -> None:
    """A schema and, after NUL, a document."""
    schema, _, document = data.partition(b"\0")
    judge = Schemas()
    checked = judge.judge(_ABOUT | {"check": True}, schema, b"{}")
    judged = judge.judge(_ABOUT | {"check": False}, schema, document)
    refused = [_check(answer) is Outcome.REFUSED for answer in (checked, judged)]
    assert refused[0] == refused[1], "what can be published can be used"


def expressions(data: bytes) -> None:
    """An expression and, after NUL, its inputs."""
    text, _, document = data.partition(b"\0")
    ask = _ABOUT | {"variables": {"x": "dyn"}, "result": "dyn", "check": False}
    # The parent sends text only.
    answer = Expressions().judge(ask, text.decode("utf-8", "replace").encode(), document)
    _check(answer)
    if "value" in answer:
        value = orjson.loads(orjson.dumps(answer["value"]))
        assert len(orjson.dumps(value)) <= 4 * limits.VALUE_BYTES


def _check(answer: dict[str, Any]) -> Outcome:
    reply = parse_reply(orjson.dumps(answer | {"spent": False}))
    for problem in reply.problems:
        assert 0 < len(problem) <= limits.PROBLEM_LETTERS + 1
        assert printable(problem) == problem
        assert "\n" not in problem
    return reply.outcome


def seeds(name: str) -> list[bytes]:
    """Inputs to begin with: the conformance cases."""
    if name == "expressions":
        texts = (*RESULTS, *FAILURES, *REFUSALS)
        inputs = json.dumps({"x": X}).encode()
        return [text.encode() + b"\0" + inputs for text in texts]
    return [
        json.dumps(schema).encode() + b"\0" + json.dumps(document).encode()
        for rows in EVERY.values()
        for schema, matching, others in rows
        for document in (*matching[:1], *others[:1])
    ]
