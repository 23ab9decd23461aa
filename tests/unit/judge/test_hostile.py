"""What hostile tenants send: each gets its verdict, and the next caller is served."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from soulbox.judge.judge import Judge
from soulbox.judge.verdicts import Outcome
from tests.unit.judge.hostile import HOSTILE, doubling

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SCHEMA = {"type": "object", "required": ["url"], "properties": {"width": {"maximum": 4096}}}


async def serves(judge: Judge) -> None:
    """An ordinary tenant is served, right both times."""
    for document, want in (({"url": "a"}, Outcome.GOOD), ({"width": 9000}, Outcome.BAD)):
        verdict = await judge.validate(
            document, SCHEMA, owner="honest", name="input", field="inputSchema"
        )
        assert verdict.outcome is want


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_gets_its_verdict_and_the_next_is_served(judge: Judge, name: str) -> None:
    case = HOSTILE[name]

    verdict = await case.ask(judge, name)

    assert verdict.outcome in case.want, verdict
    assert verdict.good is not bool(verdict.problems)
    if not verdict.good:
        assert case.says in verdict.problems[0]
    assert all(len(problem) <= 301 and problem.isprintable() for problem in verdict.problems)
    await serves(judge)


async def test_reference_to_an_address_that_listens_calls_nobody(judge: Judge) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        schema = {"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/schema"}
        verdict = await judge.check_schema(schema, owner="curious", field="outputSchema")
        assert verdict.outcome is Outcome.REFUSED
        assert "outside itself: copy that schema into $defs" in verdict.message
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_innocents_behind_a_late_one_are_judged(judge: Judge) -> None:
    before = judge.statistics().ended.get("Late", 0)
    late = asyncio.ensure_future(
        judge.check_schema(doubling(33), owner="late", field="inputSchema")
    )
    await asyncio.gather(*(serves(judge) for _ in range(20)))
    assert (await late).outcome is Outcome.LATE
    assert judge.statistics().ended["Late"] == before + 1


async def test_flood_of_one_owner_keeps_nobody_waiting(judge: Judge) -> None:
    judged = []

    async def flood(number: int) -> None:
        schema = doubling(34) | {"$comment": str(number)}
        await judge.check_schema(schema, owner="flood", field="inputSchema")
        judged.append(number)

    crowd = [asyncio.ensure_future(flood(number)) for number in range(200)]
    await asyncio.sleep(0)  # all of it waits before anybody else comes
    try:
        await serves(judge)
        # One had its turn before; the rest waits apart from then on.
        assert len(judged) <= 2
        assert judge.statistics().waiting >= 190
    finally:
        for ask in crowd:
            ask.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


async def test_suspects_are_judged_apart_and_the_same_ask_from_memory(judge: Judge) -> None:
    async def ask(schema: object) -> Outcome:
        verdict = await judge.check_schema(schema, owner="known", field="inputSchema")
        return verdict.outcome

    bomb = doubling(35)
    assert await ask(bomb) is Outcome.LATE
    ended = judge.statistics().ended
    assert await ask(bomb) is Outcome.LATE
    assert judge.statistics().ended == ended, "it was remembered: no child was ended again"
    # A suspect's ordinary asks are served as well.
    assert await ask(SCHEMA) is Outcome.GOOD
    # Another bomb of its ends the other child; this one goes on.
    assert await ask(bomb | {"$comment": "another"}) is Outcome.LATE
    await serves(judge)


async def test_problems_are_at_most_ten_and_the_rest_is_said(judge: Judge) -> None:
    verdict = await judge.validate(
        [1] * 50, {"items": {"type": "string"}}, owner="a", name="input", field="inputSchema"
    )
    assert len(verdict.problems) == 10
    assert verdict.problems[0] == "input[0]: 1 is not of type string"
    assert verdict.problems[-1] == "and more"


SECRET = "hunter2-hunter2"
CARD = 4111111111111111
# Schema, document, and all that is said of it.
UNTOLD: list[tuple[dict[str, Any], Any, str]] = [
    ({"type": "integer"}, SECRET, "input: a string of 15 characters is not of type integer"),
    ({"type": "integer"}, "", "input: an empty string is not of type integer"),
    ({"enum": ["a", 1]}, SECRET, 'input: a string of 15 characters is not one of "a", 1'),
    ({"const": "a"}, SECRET, 'input: a string of 15 characters is not "a"'),
    ({"pattern": "^a"}, SECRET, 'input: a string of 15 characters does not match the pattern "^a"'),
    ({"maxLength": 1}, SECRET, "input: a string of 15 characters is longer than 1 character"),
    ({"maximum": 9}, CARD, "input: a number of 16 characters is more than the maximum of 9"),
    ({"maximum": 9}, 123_456_789, "input: 123456789 is more than the maximum of 9"),
    ({"type": "string"}, None, "input: null is not of type string"),
    ({"type": "string"}, True, "input: true is not of type string"),
    ({"type": "string"}, [SECRET], "input: an array of 1 item is not of type string"),
    ({"type": "string"}, {"a": SECRET}, "input: an object with 1 key is not of type string"),
    ({"type": "string"}, {}, "input: an empty object is not of type string"),
    ({"minItems": 1}, [], "input: an empty array has fewer than 1 item"),
    ({"uniqueItems": True}, [SECRET] * 2, "input: an array of 2 items has the same item twice"),
    (
        {"prefixItems": [True], "unevaluatedItems": False},
        [1, SECRET, SECRET],
        "input has 2 items that inputSchema does not allow",
    ),
    (
        {"prefixItems": [True], "items": False},
        [1, SECRET],
        "input[1] is not allowed by inputSchema",
    ),
    (
        {"anyOf": [{"const": 1}, {"maxLength": 2}]},
        SECRET,
        "input: a string of 15 characters matches none of the schemas in anyOf",
    ),
    (
        {"not": {"type": "string"}},
        SECRET,
        "input: a string of 15 characters matches the schema in not",
    ),
    (
        {"contains": {"const": 1}},
        [SECRET],
        "input: an array of 1 item has no item that matches contains",
    ),
    # Keys are told: they are names.
    (
        {"properties": {"a": True}, "additionalProperties": False},
        {"b": SECRET},
        'input has "b", which inputSchema does not allow',
    ),
    (
        {"propertyNames": {"anyOf": [{"const": "a"}, {"maxLength": 1}]}},
        {"bb": SECRET},
        'input has the key "bb", which matches none of the schemas in anyOf',
    ),
]


@pytest.mark.parametrize(("schema", "document", "want"), UNTOLD, ids=[want for *_, want in UNTOLD])
async def test_words_tell_no_value_that_may_be_a_secret(
    judge: Judge, schema: dict[str, Any], document: Any, want: str
) -> None:
    verdict = await judge.validate(document, schema, owner="a", name="input", field="inputSchema")
    assert verdict.message == want


async def test_words_are_the_design_s(judge: Judge) -> None:
    input_schema = {"type": "object", "properties": {"width": {"type": "integer", "maximum": 4096}}}
    refused = await judge.validate(
        {"width": 9000}, input_schema, owner="a", name="input", field="inputSchema"
    )
    assert refused.message == "input.width: 9000 is more than the maximum of 4096"
    result = await judge.validate(
        b"{}", {"required": ["bytes"]}, owner="a", name="result", field="outputSchema"
    )
    assert result.message == 'result has no "bytes", which outputSchema requires'
    top = await judge.check_schema(
        {"type": "array"}, owner="a", field="inputSchema", object_at_top=True
    )
    assert top.message == 'inputSchema.type must be "object": a call has named arguments'
    assert top.blames_schema
    assert not refused.blames_schema
