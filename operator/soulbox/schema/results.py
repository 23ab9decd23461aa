"""What a program left as its result, as JSON: hostile input, whose hash alone was proved."""

from dataclasses import replace
from typing import Any, Final

import orjson

from soulbox.model.runs import MAX_RESULT_BYTES, NoResult, ResultFile, ResultValue, RunDocument
from soulbox.model.states import ResultProblem
from soulbox.model.text import storable

# What goes through objects, patches and rows is gone through level by level.
MAX_RESULT_DEPTH: Final = 64


class _Unfit(Exception):
    """It ends the walk through a value."""


def parse_result(file: ResultFile) -> ResultValue | NoResult:
    """The result in a file. Of equal keys the last counts; of numbers what 64 bits hold."""
    match file.problem:
        case ResultProblem.TOO_LARGE:
            return NoResult(
                f"has {file.size_bytes:,} bytes of at most {MAX_RESULT_BYTES:,}:"
                " write a file, capture it, return its path"
            )
        case ResultProblem.NOT_A_FILE | ResultProblem.UNREADABLE:
            return NoResult(f"could not be read: {file.message}")
        case None:
            pass
    if not file.content.strip():
        return NoResult("is empty: write JSON to the file, or make none")
    try:
        return ResultValue(_fit(orjson.loads(file.content), MAX_RESULT_DEPTH))
    except orjson.JSONDecodeError as error:
        # A place, and no word of the program's.
        return NoResult(f"is not JSON: {str(error)[:128]}")
    except _Unfit as error:
        return NoResult(str(error))


def _fit(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        if "\0" in value:  # jsonb holds all others
            raise _Unfit("holds the character U+0000, which PostgreSQL cannot store")
        return storable(value)
    if not isinstance(value, dict | list):
        return value
    if levels == 0:
        raise _Unfit(f"is nested more than {MAX_RESULT_DEPTH} levels deep")
    if isinstance(value, list):
        return [_fit(each, levels - 1) for each in value]
    return {_fit(key, 0): _fit(each, levels - 1) for key, each in value.items()}


def with_result(run: RunDocument) -> RunDocument:
    """The same, with the result read that the program left."""
    return run if run.result_file is None else replace(run, left=parse_result(run.result_file))
