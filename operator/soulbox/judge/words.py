"""What a person reads of a problem that the library found.

Words about a document stand in status, rows and Events, and its values may be secrets: what is
quoted of it are keys, booleans, null and short numbers. A schema is quoted as it is, for whoever
reads of a call may read the Function.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson
from jsonschema_rs import ValidationError

from soulbox.judge import limits

_TYPES: Final = "array, boolean, integer, null, number, object or string, or a list of some"
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,62}\Z")


def words_of(
    error: ValidationError, name: str, field: str, tell: Callable[[Any], str] | None = None
) -> str:
    """One problem of a document, beginning with its place: `input.width: 9000 is more than …`.

    Args:
        name: what the document is called ("input").
        field: what its schema is called ("inputSchema").
        tell: how its values are told; by default so that none is given away.
    """
    tell = tell or told
    place = placed(name, error.instance_path)
    kind = error.kind
    keyword = kind.name
    if keyword == "required":
        return f"{place} has no {shown(kind.property)}, which {field} requires"  # type: ignore[attr-defined]
    if keyword == "unevaluatedItems":
        items = _count(len(kind.unexpected), "item")  # type: ignore[attr-defined]
        return f"{place} has {items} that {field} does not allow"
    if keyword in ("additionalProperties", "unevaluatedProperties"):
        return f"{place} has {_listed(kind.unexpected)}, which {field} does not allow"  # type: ignore[attr-defined]
    if keyword == "falseSchema":
        if error.schema_path and error.schema_path[-1] in ("additionalProperties", "propertyNames"):
            return f"{place} has a key that {field} does not allow"
        return f"{place} is not allowed by {field}"
    if keyword == "propertyNames":
        inner: ValidationError = kind.error  # type: ignore[attr-defined]
        said = _SAID.get(inner.kind.name)
        why = said(inner) if said else f"{field} does not allow"
        return f"{place} has the key {shown(inner.instance)}, which {why}"
    # Of minContains and maxContains the library tells only where they stand in the schema.
    said = _SAID.get(str(error.schema_path[-1])) or _SAID.get(keyword)
    if said is None:
        return f"{place}: {tell(error.instance)} does not match {shown(keyword)} of {field}"
    return f"{place}: {tell(error.instance)} {said(error)}"


def refusal_of(error: ValidationError, field: str) -> str:
    """Why the metaschema refuses a schema, beginning with the place in it."""
    path = error.instance_path
    if error.kind.name == "format" and getattr(error.kind, "format", "") == "regex":
        # Of patternProperties the pattern is the last step of the path itself.
        place = placed(field, path[:-1] if path and path[-1] == error.instance else path)
        return (
            f"{place}: {shown(error.instance)} is not a pattern that is judged in linear time: "
            "write a valid one without look-around, back-references and large repetitions"
        )
    if error.kind.name == "anyOf" and path and path[-1] == "type":
        return f"{placed(field, path)}: {shown(error.instance)} is not a type: use {_TYPES}"
    return words_of(error, field, "JSON Schema 2020-12", shown)


def placed(name: str, path: Iterable[str | int]) -> str:
    """A place in a document: `input.sizes[3].width`."""
    place = name
    for step in path:
        if isinstance(step, int):
            place += f"[{step}]"
        elif _PLAIN_KEY.match(step):
            place += f".{step}"
        else:
            place += f"[{shown(step)}]"
    if len(place) > limits.PROBLEM_LETTERS // 2:
        place = place[: limits.PROBLEM_LETTERS // 2] + "…"
    return place


def told(value: Any) -> str:
    """A value that may be a secret: what it is, and how large."""
    match value:
        case None | bool():
            return shown(value)
        case str():
            return f"a string of {_count(len(value), 'character')}" if value else "an empty string"
        case list():
            return f"an array of {_count(len(value), 'item')}" if value else "an empty array"
        case dict():
            return f"an object with {_count(len(value), 'key')}" if value else "an empty object"
    text = shown(value)
    # A number of more letters may be that of a card or a telephone.
    return text if len(text) <= limits.NUMBER_LETTERS else f"a number of {len(text)} characters"


def shown(value: Any) -> str:
    """A key, or a value of a schema, as JSON, cut."""
    if isinstance(value, str):
        value = value[: limits.VALUE_LETTERS + 1]
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        # A number that the library holds with more digits than JSON's writer.
        text = str(value)
    if len(text) > limits.VALUE_LETTERS:
        text = text[: limits.VALUE_LETTERS] + "…"
    return text


def _listed(values: list[Any]) -> str:
    text = ", ".join(shown(value) for value in values[:5])
    return text if len(values) <= 5 else f"{text} and {len(values) - 5} more"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _types(error: ValidationError) -> str:
    return " or ".join(sorted(error.kind.types))  # type: ignore[attr-defined]


def _limit(error: ValidationError) -> Any:
    return error.kind.limit  # type: ignore[attr-defined]


# What is wrong with the value, after it; by the library's name of the keyword.
_SAID: Final[dict[str, Callable[[ValidationError], str]]] = {
    "type": lambda e: f"is not of type {_types(e)}",
    "maximum": lambda e: f"is more than the maximum of {shown(_limit(e))}",
    "minimum": lambda e: f"is less than the minimum of {shown(_limit(e))}",
    "exclusiveMaximum": lambda e: f"is not less than {shown(_limit(e))}",
    "exclusiveMinimum": lambda e: f"is not more than {shown(_limit(e))}",
    "multipleOf": lambda e: f"is not a multiple of {shown(e.kind.multiple_of)}",  # type: ignore[attr-defined]
    "minLength": lambda e: f"is shorter than {_count(_limit(e), 'character')}",
    "maxLength": lambda e: f"is longer than {_count(_limit(e), 'character')}",
    "pattern": lambda e: f"does not match the pattern {shown(e.kind.pattern)}",  # type: ignore[attr-defined]
    "enum": lambda e: f"is not one of {_listed(e.kind.options)}",  # type: ignore[attr-defined]
    "const": lambda e: f"is not {shown(e.kind.expected_value)}",  # type: ignore[attr-defined]
    "minItems": lambda e: f"has fewer than {_count(_limit(e), 'item')}",
    "maxItems": lambda e: f"has more than {_count(_limit(e), 'item')}",
    "uniqueItems": lambda _: "has the same item twice",
    "contains": lambda _: "has no item that matches contains",
    "minContains": lambda _: "has too few items that match contains",
    "maxContains": lambda _: "has too many items that match contains",
    "minProperties": lambda e: f"has fewer than {_count(_limit(e), 'key')}",
    "maxProperties": lambda e: f"has more than {_count(_limit(e), 'key')}",
    "anyOf": lambda _: "matches none of the schemas in anyOf",
    "oneOf": lambda e: (
        "matches more than one of the schemas in oneOf"
        if type(e.kind).__name__ == "OneOfMultipleValid"
        else "matches none of the schemas in oneOf"
    ),
    "not": lambda _: "matches the schema in not",
}
