"""What hostile tenants send the judge, as data: five documents that hurt an operator which judges
in its own process, and more of their families. The bench goes through them too
(tests/perf/bench_judge.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from soulbox.judge.judge import Judge
from soulbox.judge.verdicts import Outcome, Type, Verdict

GOOD, BAD, REFUSED = Outcome.GOOD, Outcome.BAD, Outcome.REFUSED
# The kernel's timer comes first, or the limit of memory: by the machine's speed.
TOO_MUCH = (Outcome.LATE, Outcome.OUTGREW, Outcome.DIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One attempt.

    Attributes:
        want: the outcomes that are right.
        says: what the first problem must hold.
    """

    ask: Callable[[Judge, str], Awaitable[Verdict]]
    want: tuple[Outcome, ...]
    says: str = ""


def checked(schema: Any, *want: Outcome, says: str = "") -> Case:
    """A schema that is to be published."""

    async def ask(judge: Judge, owner: str) -> Verdict:
        return await judge.check_schema(schema, owner=owner, field="inputSchema")

    return Case(ask=ask, want=want, says=says)


def judged(schema: Any, document: Any, *want: Outcome, says: str = "") -> Case:
    """A document, by a schema that was published."""

    async def ask(judge: Judge, owner: str) -> Verdict:
        return await judge.validate(
            document, schema, owner=owner, name="input", field="inputSchema"
        )

    return Case(ask=ask, want=want, says=says)


def evaluated(expression: str, inputs: Any, *want: Outcome, says: str = "") -> Case:
    """An expression over `input`."""

    async def ask(judge: Judge, owner: str) -> Verdict:
        return await judge.evaluate_cel(
            expression, inputs, owner=owner, field="when", variables={"input": Type.ANY}
        )

    return Case(ask=ask, want=want, says=says)


def doubling(levels: int, keyword: str = "anyOf") -> dict[str, Any]:
    """A schema whose work doubles with each level; 60 bytes a level."""
    levels_of: dict[str, Any] = {"l0": {"type": "string"}}
    for level in range(1, levels + 1):
        below = {"$ref": f"#/$defs/l{level - 1}"}
        levels_of[f"l{level}"] = {keyword: [below, below]}
    return {"$defs": levels_of, "$ref": f"#/$defs/l{levels}"}


def nested(levels: int, keyword: str = "not") -> dict[str, Any]:
    """A schema in a schema in a schema."""
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {keyword: schema}
    return schema


def _deep(levels: int) -> list[Any]:
    document: list[Any] = []
    for _ in range(levels):
        document = [document]
    return document


def _keys(levels: int) -> dict[str, Any]:
    document: Any = 1
    for _ in range(levels):
        document = {"key": document}
    return {"key": document}


def _maps(levels: int) -> str:
    expression = "1"
    for level in range(levels):
        expression = f"[0,1,2,3,4,5,6,7,8,9].map(v{level}, {expression})"
    return expression


RECURSIVE = {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}
LONG = "a" * 200_000
GROWTH = "[1,2,3,4,5,6,7,8,9].map(i, [1,2,3,4,5,6,7,8,9].map(j, input + input + input + input))"

FIVE: dict[str, Case] = {
    "$ref to a file": checked(
        {"$ref": "file:///etc/passwd"}, REFUSED,
        says='inputSchema refers to "file:///etc/passwd" outside itself: copy that schema into',
    ),
    "$ref to an address": checked(
        {"properties": {"a": {"$ref": "http://10.0.0.1/"}}}, REFUSED,
        says='inputSchema refers to "http://10.0.0.1/" outside itself',
    ),
    "anyOf that doubles 32 times": checked(
        doubling(32), *TOO_MUCH,
        says="inputSchema took over 250 ms to judge an empty document: simplify anyOf and $ref",
    ),
    "a document of 100,000 levels": judged(
        RECURSIVE, b"[" * 100_000 + b"]" * 100_000, BAD, says="input is not JSON that can be kept",
    ),
    "six CEL maps in each other": evaluated(
        _maps(6), {"input": 1}, BAD, says="when failed: Iteration budget exceeded",
    ),
}  # fmt: skip

REFERENCES: dict[str, Case] = {
    "$ref to a name": checked({"$ref": "other.json"}, REFUSED, says='refers to "other.json"'),
    "$ref to a URN": checked({"$ref": "urn:a:b"}, REFUSED, says='refers to "urn:a:b"'),
    "$ref by a $id of a file": checked(
        {"$id": "file:///etc/", "$ref": "passwd"}, REFUSED, says='refers to "passwd" outside itself'
    ),
    "$dynamicRef to an address": checked(
        {"$dynamicRef": "http://10.0.0.1/x#meta"}, REFUSED, says="outside itself"
    ),
    "$ref to another draft": checked(
        {"$ref": "http://json-schema.org/draft-07/schema#"}, REFUSED, says="outside itself"
    ),
    "$ref that leads nowhere": checked(
        {"$ref": "#/$defs/none"}, REFUSED, says="a reference that leads nowhere"
    ),
    "$ref that is no URI": checked({"$ref": "http://[::1"}, REFUSED, says="outside itself"),
    "$ref that is a number": checked({"$ref": 3}, REFUSED, says="inputSchema.$ref: 3 is not of"),
    "$id that is a number": checked({"$id": 3}, REFUSED, says="inputSchema.$id: 3 is not of type"),
    "$id with a fragment": checked({"$id": "http://a/#b"}, REFUSED, says="inputSchema.$id"),
    "a dialect of one's own": checked(
        {"$schema": "http://10.0.0.1/"}, REFUSED, says="judged by draft 2020-12"
    ),
    "a reference that is data": judged(
        {"const": {"$ref": "http://10.0.0.1/"}}, {"$ref": "http://10.0.0.1/"}, GOOD
    ),
    "$ref to itself": judged({"$ref": "#"}, {"a": 1}, GOOD),
    "two that refer to each other": judged(
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        1, GOOD,
    ),
    "not of itself": judged({"not": {"$ref": "#"}}, 1, GOOD, BAD),
    "$dynamicRef to itself": judged(
        {"$dynamicAnchor": "a", "anyOf": [{"$dynamicRef": "#a"}]}, 1, GOOD, BAD
    ),
}  # fmt: skip

BOMBS: dict[str, Case] = {
    "allOf that doubles 40 times": checked(doubling(40, "allOf"), *TOO_MUCH, says="inputSchema"),
    "oneOf that doubles 24 times": checked(doubling(24, "oneOf"), *TOO_MUCH, says="inputSchema"),
    "anyOf that explains itself 18 times": judged(
        {"properties": {"a": doubling(18) | {"$id": "http://a/"}}}, {"a": 1}, *TOO_MUCH,
        says="inputSchema",
    ),
    "600 patterns that are large": checked(
        {"patternProperties": {f"^(a|b|c){{1,50}}{i}(x{{200}}){{5}}$": True for i in range(600)}},
        GOOD, *TOO_MUCH,
    ),
    "patterns of whole alphabets": checked(
        {"anyOf": [{"pattern": f"[\\pL\\pN]{{99}}{i}"} for i in range(900)]}, GOOD, *TOO_MUCH
    ),
    "an enum of thousands on thousands": judged(
        {"items": {"enum": [[i] for i in range(2_500)]}}, [[-1]] * 40_000,
        BAD, *TOO_MUCH, says="input",
    ),
    "unique items that are objects": judged(
        {"uniqueItems": True}, [{"a": i} for i in range(20_000)], GOOD, *TOO_MUCH
    ),
    "unevaluated after each branch": judged(
        {"unevaluatedProperties": False,
         "anyOf": [{"properties": {f"p{i}": True}} for i in range(600)]},
        {f"p{i}": 1 for i in range(20_000)}, BAD, *TOO_MUCH, says="input",
    ),
    "contains in contains": judged(
        nested(40, "contains"), _deep(200), GOOD, BAD, *TOO_MUCH
    ),
    "strings that grow in CEL": evaluated(GROWTH, {"input": LONG}, BAD, *TOO_MUCH, says="when"),
    "loops to their bound in CEL": evaluated(
        "input.all(i, input.all(j, i + j >= 0))", {"input": list(range(30_000))}, BAD, *TOO_MUCH,
        says="when",
    ),
    "120,000 problems": judged(
        {"items": {"type": "string"}}, [1] * 120_000, BAD,
        says="input[0]: 1 is not of type string",
    ),
}  # fmt: skip

FORMS: dict[str, Case] = {
    "a schema of 101 levels": checked(nested(101), REFUSED, says="nested deeper than 100 levels"),
    "a schema of 5,000 levels": checked(
        b'{"not":' * 4_000 + b"1" + b"}" * 4_000, REFUSED, says="inputSchema is not JSON"
    ),
    "a schema of 32 KiB and one byte": checked(
        {"description": "a" * (32_769 - 18)}, REFUSED, says="has 32,769 bytes of at most 32,768"
    ),
    "a document of 256 KiB and one byte": judged(
        True, b'"' + b"a" * 262_143 + b'"', BAD, says="has 262,145 bytes of at most 262,144"
    ),
    "a document that nobody can write": judged(
        RECURSIVE, b"[" * 400 + b"]" * 400, BAD, says="input is not JSON that can be kept"
    ),
    "an object that nobody can write": judged(True, _deep(400), BAD, says="input is not JSON"),
    "a list as a schema": checked([], REFUSED, says="a schema is an object, true or false"),
    "a number as a schema": checked(3, REFUSED, says="inputSchema is 3: a schema is"),
    "null as a schema": checked(None, REFUSED, says="inputSchema is null: a schema is"),
    "true as a schema": judged(True, {"anything": 1}, GOOD),
    "false as a schema": judged(False, 1, BAD, says="input is not allowed by inputSchema"),
    "a type that is none": checked(
        {"properties": {"a": {"type": "objekt"}}}, REFUSED,
        says='inputSchema.properties.a.type: "objekt" is not a type: use array, boolean',
    ),
    "a keyword of a wrong type": checked(
        {"required": "a"}, REFUSED, says='inputSchema.required: "a" is not of type array'
    ),
    "look-around": checked(
        {"properties": {"a": {"pattern": "a(?!b)"}}}, REFUSED,
        says='inputSchema.properties.a.pattern: "a(?!b)" is not a pattern that is judged in linear',
    ),
    "look-behind in a key": checked(
        {"patternProperties": {"(?<=a)b": True}}, REFUSED, says="inputSchema.patternProperties: "
    ),
    "a back-reference": checked({"pattern": "(a)\\1"}, REFUSED, says="inputSchema.pattern"),
    "a pattern that is none": checked({"pattern": "("}, REFUSED, says="inputSchema.pattern"),
    "a pattern of a million states": checked(
        {"pattern": "(a{1000}){1000}"}, REFUSED, *TOO_MUCH, says="inputSchema"
    ),
    "a pattern that backtracks": judged(
        {"pattern": "^(a+)+$"}, LONG + "!", BAD, says="does not match the pattern"
    ),
    "a document that is not UTF-8": judged(True, b'"\xff"', BAD, says="not valid UTF-8"),
    "half of a surrogate pair": judged(True, b'"\\ud800"', BAD, says="input is not JSON"),
    "half of one in Python": judged(True, {"a": "\ud800"}, BAD, says="input is not JSON"),
    "NaN": judged(True, b'{"a":NaN}', BAD, says="input is not JSON"),
    "a number beyond all": judged(True, b"1e400", BAD, says="input is not JSON"),
    "a number of 31 digits": judged({"type": "integer"}, b"1" + b"0" * 30, GOOD),
    "a key twice: the last counts": judged(
        {"properties": {"a": {"type": "string"}}}, b'{"a":1,"a":"x"}', GOOD
    ),
    "no document at all": judged(True, b"", BAD, says="input is not JSON"),
    "two documents": judged(True, b"1 2", BAD, says="input is not JSON"),
    "a byte order mark": judged(True, b"\xef\xbb\xbf1", BAD, says="input is not JSON"),
    "a format that is none, and one that is": judged(
        {"properties": {"a": {"format": "nonsense"}, "b": {"format": "email"}}},
        {"a": 1, "b": "?"}, GOOD,
    ),
    "content that is not what it says": judged(
        {"contentMediaType": "application/json", "contentEncoding": "base64"}, "%%%", GOOD
    ),
    "what a terminal obeys": judged(
        {"properties": {"a": True}, "additionalProperties": False},
        {"\x1b]0;owned\x07": 1, "\u202eevil": 2}, BAD,
        says='input has "\\u001b]0;owned\\u0007", "\\u202eevil", which inputSchema does not allow',
    ),
    "a key with NUL": judged(
        {"properties": {"a\0b": {"type": "string"}}}, {"a\0b": 1}, BAD,
        says='input["a\\u0000b"]: 1 is not of type string',
    ),
    "a path of 4,000 letters": judged(
        {"additionalProperties": {"type": "string"}}, {"k" * 4_000: 1}, BAD, says='input["kkkk'
    ),
    "a path of 200 steps": judged(
        {"$ref": "#/$defs/a", "$defs": {"a": {
            "type": ["object", "string"], "additionalProperties": {"$ref": "#/$defs/a"}}}},
        _keys(200), BAD, says="…: 1 is not of type object or string",
    ),
    "multipleOf of nearly nothing": judged({"multipleOf": 1e-300}, 1.5, GOOD, BAD),
    "multipleOf of nothing": checked({"multipleOf": 0}, REFUSED, says="inputSchema.multipleOf"),
}  # fmt: skip

EXPRESSIONS: dict[str, Case] = {
    "no expression": evaluated("", {"input": 1}, REFUSED, says="when is not valid CEL"),
    "a name that nobody declared": evaluated(
        "inputs.a", {"input": 1}, REFUSED, says="undeclared reference to 'inputs.a' (line 1"
    ),
    "300 parentheses": evaluated(
        "(" * 300 + "1" + ")" * 300, {"input": 1}, REFUSED, says="recursion limit exceeded"
    ),
    "an expression of 4 KiB and one byte": evaluated(
        "1" * 4_097, {"input": 1}, REFUSED, says="has 4,097 bytes of at most 4,096"
    ),
    "half of a surrogate pair in CEL": evaluated("'\ud800'", {}, REFUSED, says="when is not text"),
    "a pattern that backtracks in CEL": evaluated(
        "input.matches('^(a+)+$')", {"input": LONG + "!"}, GOOD
    ),
    "look-around in CEL": evaluated(
        "input.matches('(?=a)')", {"input": "a"}, BAD, says="when failed: invalid regular"
    ),
    "a result over 64 KiB": evaluated(
        "input", {"input": LONG}, BAD, says="resulted in 200,002 bytes of at most 65,536"
    ),
    "a result that is infinite": evaluated(
        "1.0 / 0.0", {}, BAD, says="when resulted in what JSON cannot hold"
    ),
    "a result that is a time": evaluated(
        "timestamp(0)", {}, REFUSED, says="timestamp, which JSON cannot hold: write string(…)"
    ),
    "bytes hidden in a list": evaluated(
        "[b'a']", {}, BAD, says="when resulted in what JSON cannot hold"
    ),
    "an object of a type that is none": evaluated(
        "google.protobuf.Any{type_url: 'x'}", {}, REFUSED, BAD, says="when"
    ),
    "inputs that are no object": evaluated("1", [1], BAD, says="inputs is not an object"),
    "a number that CEL cannot hold": evaluated("input > 1.0", b'{"input":1e30}', GOOD),
}  # fmt: skip

HOSTILE: dict[str, Case] = FIVE | REFERENCES | BOMBS | FORMS | EXPRESSIONS
