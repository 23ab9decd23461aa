"""The terms of a run as its Execution carries them: the annotation soulbox.dev/terms.

Written in the patch that marks the dispatch, and valid only with that mark: a copy of an Execution,
or a dispatch by an older release, has no terms. Only the operator may write the annotation
(ValidatingAdmissionPolicy); a malformed one counts as absent.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from soulbox.model.keys import DISPATCHED_ANNOTATION, TERMS_ANNOTATION
from soulbox.model.specs import Interpreter, Limits
from soulbox.model.terms import RunTerms
from soulbox.schema.common import MAX_TIMEOUT_SECONDS

# At least as much as a class may allow of each.
_MAX_OUTPUT_BYTES: Final = 2**30
_MAX_PROCESSES: Final = 2**15
# int64: what the wire to the runner and PostgreSQL's bigint take.
_Amount = Annotated[int, Field(ge=1, le=2**63 - 1)]
_Name = Annotated[str, Field(min_length=1, max_length=253)]


class _Terms(BaseModel):
    """Unknown fields are ignored: a later release may say more."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, strict=True
    )

    dispatched: _Name  # the mark that it belongs to
    class_name: _Name
    language: _Name
    command: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(min_length=1)]
    extension: Annotated[str, Field(max_length=16)]
    timeout_seconds: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_SECONDS)]
    output_limit_bytes: Annotated[int, Field(ge=0, le=_MAX_OUTPUT_BYTES)]
    pids: Annotated[int, Field(ge=1, le=_MAX_PROCESSES)]
    cpu_millicores: _Amount
    memory_bytes: _Amount
    disk_bytes: _Amount


def write_terms(terms: RunTerms, mark: str) -> str:
    """The annotation's value, beside that mark (`model/marks.py`)."""
    written = _Terms(
        dispatched=mark,
        class_name=terms.class_name,
        language=terms.language,
        command=list(terms.interpreter.command),
        extension=terms.interpreter.extension,
        timeout_seconds=terms.timeout_seconds,
        output_limit_bytes=terms.output_limit_bytes,
        pids=terms.max_processes,
        cpu_millicores=terms.limits.cpu_millicores,
        memory_bytes=terms.limits.memory_bytes,
        disk_bytes=terms.limits.disk_bytes,
    )
    return orjson.dumps(written.model_dump(by_alias=True)).decode()


def read_terms(metadata: Mapping[str, Any]) -> RunTerms | None:
    """The terms on an Execution; None if it has none, or malformed ones."""
    annotations = metadata.get("annotations") or {}
    value = annotations.get(TERMS_ANNOTATION)
    if not isinstance(value, str):
        return None
    try:
        read = _Terms.model_validate_json(value)
    except ValidationError:
        return None
    if read.dispatched != annotations.get(DISPATCHED_ANNOTATION):
        return None
    return RunTerms(
        class_name=read.class_name,
        language=read.language,
        interpreter=Interpreter(command=tuple(read.command), extension=read.extension),
        timeout_seconds=read.timeout_seconds,
        output_limit_bytes=read.output_limit_bytes,
        max_processes=read.pids,
        limits=Limits(
            cpu_millicores=read.cpu_millicores,
            memory_bytes=read.memory_bytes,
            disk_bytes=read.disk_bytes,
        ),
    )
