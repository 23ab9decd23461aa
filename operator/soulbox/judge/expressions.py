"""CEL, inside of the judge's process: expressions checked with their types, and evaluated.

The language is the standard one without extensions; regular expressions are RE2's, a loop over
more than 10,000 steps is ended by the library. Inputs and results are JSON.
"""

import json
import re
from collections import OrderedDict
from typing import Any, Final, TypeVar

import orjson
from cel_expr_python import cel

from soulbox.judge import limits
from soulbox.judge.schemas import Refused
from soulbox.judge.verdicts import Outcome, Type

_TYPES: Final[dict[str, Any]] = {
    Type.BOOL: cel.Type.BOOL,
    Type.INT: cel.Type.INT,
    Type.DOUBLE: cel.Type.DOUBLE,
    Type.STRING: cel.Type.STRING,
    Type.LIST: cel.Type.LIST,
    Type.MAP: cel.Type.MAP,
    Type.ANY: cel.Type.DYN,
}
# Where in the expression, and which of the library's statuses: said apart, or not at all.
_STATUS: Final = re.compile(r"(?:[A-Z_]+: )*(?:ERROR: )?(?:<input>:(-?\d+):(-?\d+): )?")
_STATUS_AGAIN: Final = re.compile(r" \[[A-Z_]+\]\Z")
# The library's words that quote a value, which may be a secret of the inputs.
_QUOTING: Final = re.compile(
    r"(Key not found in map : |invalid regular expression: [^:]*: )\"?(.*?)\"?\Z", re.DOTALL
)
# JSON has numbers of one kind: where a double is wanted an int will do.
_WIDER: Final = {Type.DOUBLE: {"DOUBLE", "INT"}}
_NOT_JSON: Final = {"TIMESTAMP", "DURATION", "BYTES", "TYPE", "ERROR"}

_Kept = TypeVar("_Kept")


class Expressions:
    """Checks and evaluates expressions; keeps what it compiled."""

    def __init__(self) -> None:
        self._environments: OrderedDict[str, Any] = OrderedDict()
        self._compiled: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def judge(self, ask: dict[str, Any], text: bytes, document: bytes) -> dict[str, Any]:
        """The answer to one ask.

        Args:
            ask: `field` (what messages call the expression), `name` (what they call the inputs),
                `variables` (name to type), `result` (the type it must have), `check`: it is only
                compiled.
        """
        try:
            expression = self._expression(ask, text.decode())
        except Refused as refused:
            return {"outcome": Outcome.REFUSED, "problems": [str(refused)]}
        if ask["check"]:
            return {"outcome": Outcome.GOOD, "problems": []}
        try:
            return {
                "outcome": Outcome.GOOD,
                "problems": [],
                "value": orjson.Fragment(_evaluated(expression, text.decode(), ask, document)),
            }
        except Refused as failed:
            return {"outcome": Outcome.BAD, "problems": [str(failed)]}

    def _expression(self, ask: dict[str, Any], text: str) -> Any:
        declared = ",".join(f"{name}:{kind}" for name, kind in ask["variables"].items())
        expression = _kept(self._compiled, (declared, text))
        if expression is None:
            environment = _kept(self._environments, declared)
            if environment is None:
                variables = {name: _TYPES[kind] for name, kind in ask["variables"].items()}
                environment = _keep(self._environments, declared, cel.NewEnv(variables=variables))
            try:
                expression = environment.compile(text)
                # Asked for here: of a map with keys of a wrong type it is what refuses it.
                expression.return_type()
            except RuntimeError as error:
                raise Refused(f"{ask['field']} is not valid CEL: {_words(error)}") from error
            _keep(self._compiled, (declared, text), expression)
        _look_at_type(ask, expression.return_type().name(), "can result in")
        return expression


def _kept(entries: "OrderedDict[Any, _Kept]", key: Any) -> "_Kept | None":
    found = entries.get(key)
    if found is not None:
        entries.move_to_end(key)
    return found


def _keep(entries: "OrderedDict[Any, _Kept]", key: Any, value: "_Kept") -> "_Kept":
    entries[key] = value
    if len(entries) > limits.CACHE_ENTRIES:
        entries.popitem(last=False)
    return value


def _look_at_type(ask: dict[str, Any], full: str, verb: str) -> None:
    """Refuse a result of another type than is wanted, or of one that JSON has no word for."""
    name = full.partition("<")[0]
    wanted = Type(ask["result"])
    if name in _NOT_JSON:
        raise Refused(
            f"{ask['field']} {verb} {name.lower()}, which JSON cannot hold: "
            "write string(…) round it"
        )
    # What is only known when it is evaluated is looked at again then.
    if wanted is Type.ANY or name == "DYN" or name in _WIDER.get(wanted, {wanted.upper()}):
        return
    raise Refused(f"{ask['field']} {verb} {name.lower()}, and {wanted} is needed")


def _evaluated(expression: Any, text: str, ask: dict[str, Any], document: bytes) -> bytes:
    field, name = ask["field"], ask["name"]
    try:
        inputs = orjson.loads(document)
    except orjson.JSONDecodeError as error:
        raise Refused(f"{name} is not JSON: {str(error)[:200]}") from error
    if not isinstance(inputs, dict):
        raise Refused(f"{name} is not an object, with a value for each variable")
    try:
        result = expression.eval(data=inputs)
        kind = result.type().name()
        value = result.plain_value()
    except RuntimeError as error:
        raise Refused(f"{field} failed: {_of_failure(error, text, name)}") from error
    if kind == "ERROR":
        raise Refused(f"{field} failed: {_of_failure(value, text, name)}")
    _look_at_type(ask, kind, "resulted in")
    try:
        # The standard library's writer, for it refuses infinity, which orjson writes as null.
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"{field} resulted in what JSON cannot hold: {str(error)[:100]}") from error
    packed = text.encode()
    if len(packed) > limits.VALUE_BYTES:
        raise Refused(
            f"{field} resulted in {len(packed):,} bytes of at most {limits.VALUE_BYTES:,}: "
            "let it select less"
        )
    return packed


def _of_failure(said: object, text: str, name: str) -> str:
    """The library's words, without what they quote unless the expression itself says it."""
    words = _words(said)
    quoting = _QUOTING.search(words)
    if quoting is None or quoting[2] in text:
        return words
    return f"{words[: quoting.end(1)]}a value of {name}"


def _words(said: object) -> str:
    """The library's words, its first line, without its own marks."""
    line = str(said).partition("\n")[0][: limits.PROBLEM_LETTERS]
    match = _STATUS.match(line)
    if match is None:
        return line
    words = _STATUS_AGAIN.sub("", line[match.end() :]).replace(" (in container '')", "")
    if match[1] is None or int(match[1]) < 1:
        return words
    return f"{words} (line {match[1]}, column {match[2]})"
