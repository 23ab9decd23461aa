"""JSON Schema 2020-12, inside of the judge's process: schemas checked, documents judged by them.

`format`, `contentEncoding` and `contentMediaType` are annotations, as the standard has it: they
refuse nothing. Patterns run in linear time; what cannot (look-around, back-references) is refused
with the schema. Nothing is fetched: a reference leads to a place in the same document, or
to the metaschema of 2020-12 itself.
"""

from collections import OrderedDict
from typing import Any, Final

import orjson
from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from soulbox.judge import limits
from soulbox.judge.verdicts import Outcome
from soulbox.judge.words import refusal_of, shown, words_of

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# Keywords whose value is a reference (https://json-schema.org/draft/2020-12/json-schema-core#8.2.3).
_REFERENCES: Final = frozenset({"$ref", "$dynamicRef"})
_PATTERNS: Final = RegexOptions()


class Refused(Exception):
    """The schema or expression cannot be used: the text says why and what to do."""


class Schemas:
    """Checks schemas and judges documents; keeps what it compiled."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[str, Draft202012Validator] = OrderedDict()

    def judge(self, ask: dict[str, Any], schema: bytes, document: bytes) -> dict[str, Any]:
        """The answer to one ask.

        Args:
            ask: `key` (the schema's sha256), `field` (what messages call the schema), `name` (what
                they call the document), `check`: the schema itself is asked about, with
                `object`: its top must be an object; the document is then an empty one.
        """
        try:
            validator = self._validator(ask, schema)
        except Refused as refused:
            return {"outcome": Outcome.REFUSED, "problems": [str(refused)]}
        try:
            # Written as well as read: a document that only orjson's reader takes cannot be kept.
            value = orjson.loads(document)
            orjson.dumps(value)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
            problem = f"{ask['name']} is not JSON that can be kept: {str(error)[:200]}"
            return {"outcome": Outcome.BAD, "problems": [problem]}
        problems = _problems(validator, value, len(document), ask["name"], ask["field"])
        if problems and not ask["check"]:
            return {"outcome": Outcome.BAD, "problems": problems}
        return {"outcome": Outcome.GOOD, "problems": []}

    def _validator(self, ask: dict[str, Any], text: bytes) -> Draft202012Validator:
        field, key = ask["field"], ask["key"]
        if ask["check"]:
            return _compile(_looked_over(text, field, object_at_top=ask["object"]), field)
        if (kept := self._compiled.get(key)) is not None:
            self._compiled.move_to_end(key)
            return kept
        validator = _compile(_looked_over(text, field, object_at_top=False), field)
        self._compiled[key] = validator
        if len(self._compiled) > limits.CACHE_ENTRIES:
            self._compiled.popitem(last=False)
        return validator


def _looked_over(text: bytes, field: str, *, object_at_top: bool) -> dict[str, Any] | bool:
    """The schema as a value, if its form is right."""
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused(f"{field} is not JSON: {str(error)[:200]}") from error
    if not isinstance(schema, dict | bool):
        raise Refused(f"{field} is {shown(schema)}: a schema is an object, true or false")
    if isinstance(schema, dict):
        _look_at_depth(schema, field)
        dialect = schema.get("$schema", _DIALECT)
        if not isinstance(dialect, str) or dialect.removesuffix("#") != _DIALECT:
            raise Refused(
                f"{field}.$schema is {shown(dialect)}: schemas are judged by draft 2020-12, "
                f"remove it or set {_DIALECT}"
            )
    if object_at_top and (not isinstance(schema, dict) or schema.get("type") != "object"):
        raise Refused(f'{field}.type must be "object": a call has named arguments')
    return schema


def _look_at_depth(schema: dict[str, Any], field: str) -> None:
    level: list[Any] = [schema]
    for _ in range(limits.SCHEMA_LEVELS):
        inner: list[Any] = []
        for value in level:
            inner += value.values() if isinstance(value, dict) else value
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise Refused(
        f"{field} is nested deeper than {limits.SCHEMA_LEVELS} levels: "
        "name its parts in $defs and refer to them"
    )


def _compile(schema: dict[str, Any] | bool, field: str) -> Draft202012Validator:
    try:
        return Draft202012Validator(schema, pattern_options=_PATTERNS, offline=True)
    except ValidationError as error:
        if error.kind.name in _REFERENCES:
            raise Refused(_misled(schema, error.message, field)) from error
        raise Refused(refusal_of(error, field)) from error
    except ValueError as error:
        # What compiles in no keyword of its own, such as a pattern that grows too large.
        raise Refused(f"{field} cannot be compiled: {str(error)[:200]}") from error


def _misled(schema: Any, message: str, field: str) -> str:
    """What to say of a reference that leads nowhere. The library tells it resolved; people
    look for what they wrote."""
    written = [reference for reference in _references(schema) if not reference.startswith("#")]
    outside = next((reference for reference in written if reference in message), None)
    if outside is None and written and "does not exist" not in message:
        outside = written[0]
    if outside is not None:
        return f"{field} refers to {shown(outside)} outside itself: copy that schema into $defs"
    return f"{field} has a reference that leads nowhere: {message[:200]}"


def _references(schema: Any) -> list[str]:
    """Every reference of the schema (and what looks like one in its data), in its order."""
    found: list[str] = []
    left = [schema]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            found += [text for key in _REFERENCES if isinstance(text := value.get(key), str)]
            left += reversed(value.values())
        elif isinstance(value, list):
            left += reversed(value)
    return found


def _problems(
    validator: Draft202012Validator, value: Any, size: int, name: str, field: str
) -> list[str]:
    try:
        if validator.is_valid(value):
            return []
        if size > limits.ALL_PROBLEMS_BYTES:
            validator.validate(value)
        problems: list[str] = []
        for error in validator.iter_errors(value):
            if len(problems) == limits.PROBLEMS:
                problems[-1] = "and more"
                break
            problems.append(words_of(error, name, field))
    except ValidationError as error:
        return [words_of(error, name, field)]
    except ValueError as error:
        return [f"{name} cannot be judged by {field}: {str(error)[:200]}"]
    return problems
