"""What must hold of everything that is taken over from a sandbox."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from soulbox.kinds.execution.decide.output import json_size
from soulbox.model.runs import MAX_RESULT_BYTES, ResultFile, RunDocument, RunStats
from soulbox.model.states import ResultProblem, RunState
from soulbox.model.text import printable, storable
from soulbox.schema.results import NoResult, parse_result
from soulbox.schema.wire import MAX_AGE, MAX_AHEAD, MAX_EXCERPT_BYTES

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
INT64 = 2**63 - 1
# A program's own words may hold any character that YAML can: these are its output and paths.
_VERBATIM = frozenset({"stdout", "stderr", "content", "path"})
# Of an object etcd takes 1.5 MiB; the spec may have half of it.
MOST_STATUS_BYTES = 600_000


def check_refusal(error: Exception) -> None:
    """What is said about a hostile reply is short and harmless."""
    text = str(error)
    assert 0 < len(text) <= 512, "a refusal of any length"
    assert printable(text) == text, "a refusal that a terminal obeys"


def check_time(moment: datetime | None) -> None:
    if moment is not None:
        assert moment.utcoffset() == timedelta(0)
        assert -MAX_AGE <= moment - NOW <= MAX_AHEAD


def check_document(run: RunDocument) -> None:
    """A run that was believed is within every bound of the status and of PostgreSQL."""
    assert 1 <= len(run.uid) <= 128
    assert 1 <= run.attempt < 2**31
    finished = run.state is RunState.FINISHED
    assert finished == (run.result is not None) == (run.completion_time is not None)
    for moment in (run.accepted_time, run.start_time, run.completion_time):
        check_time(moment)
    if run.start_time is not None and run.completion_time is not None:
        assert run.start_time <= run.completion_time
    for stream in (run.stdout, run.stderr):
        if stream is not None:
            assert max(len(stream.head), len(stream.tail)) <= MAX_EXCERPT_BYTES
            assert len(stream.head) + len(stream.tail) <= stream.size_bytes <= INT64
            assert 0 <= stream.stored_bytes <= stream.size_bytes
            assert stream.truncated == (stream.stored_bytes < stream.size_bytes)
    assert len(run.files) <= 64
    assert all(0 < len(file.path) <= 66_000 and 0 <= file.size_bytes <= INT64 for file in run.files)
    assert 0 <= run.files_omitted <= INT64
    if run.result_file is not None:
        assert finished
        check_result_file(run.result_file)


def check_result_file(file: ResultFile) -> None:
    """All of it and what its hash says, or none of it and why."""
    assert 0 <= file.size_bytes <= INT64
    assert len(file.message) <= 256
    assert printable(file.message) == file.message
    if file.problem is None:
        assert len(file.content) == file.size_bytes <= MAX_RESULT_BYTES
        assert file.sha256 == hashlib.sha256(file.content).hexdigest()
    else:
        assert (file.content, file.sha256) == (b"", "")
        too_large = file.size_bytes > MAX_RESULT_BYTES
        assert too_large == (file.problem is ResultProblem.TOO_LARGE)
    found = parse_result(file)
    if isinstance(found, NoResult):
        assert 0 < len(found.message) <= 512
        assert printable(found.message) == found.message
    else:
        assert file.problem is None
        text = json.dumps(found.value, ensure_ascii=False)
        assert storable(text) == text


def check_stats(stats: RunStats) -> None:
    check_time(stats.time)
    assert len(stats.running_executions) <= 1024
    figures = [getattr(stats, name) for name in RunStats.__slots__]
    assert all(0 <= figure <= INT64 for figure in figures if isinstance(figure, int))


def check_status(model: type[BaseModel], status: Mapping[str, Any]) -> None:
    """The CRD takes it, YAML can hold it, no terminal obeys it, and it is not too large."""
    stored = _without_nulls(status)
    model.model_validate_json(json.dumps(stored))
    assert json_size(stored) <= MOST_STATUS_BYTES
    for key, text in _texts("", stored):
        assert storable(text) == text, f"{key} breaks YAML"
        assert key in _VERBATIM or printable(text) == text, f"{key} reaches a terminal"


def _without_nulls(value: Any) -> Any:
    """As a merge patch is stored."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _texts(key: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [found for name, each in value.items() for found in _texts(str(name), each)]
    if isinstance(value, list | tuple):
        return [found for each in value for found in _texts(key, each)]
    return [(key, value)] if isinstance(value, str) else []


def check_work(what: Callable[[], object], most: int) -> None:
    """It makes at most that many calls: a number that depends on no clock. What a sandbox sent is
    read in the operator's only thread."""
    before, made = sys.getprofile(), 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        what()
    finally:
        sys.setprofile(before)
    assert made <= most, f"{made} calls, {most} allowed"
