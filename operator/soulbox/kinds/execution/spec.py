"""An Execution as the API server stores it, to `model.specs.ExecutionSpec`."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from soulbox.kinds.execution import crd as execution
from soulbox.model import specs
from soulbox.model.errors import InvalidManifest
from soulbox.model.handlers import HANDLER_NAME_PATTERN
from soulbox.model.runs import MAX_RUN_INPUT_BYTES
from soulbox.schema.parse import (
    refuse_nul,
    to_key_source,
    to_resources,
    to_sourced_env,
    to_user,
    validate_spec,
)
from soulbox.schema.parse_inputs import size_bytes, to_input_files, to_language


def parse_execution(manifest: Mapping[str, Any]) -> specs.ExecutionSpec:
    """The spec of an Execution.

    Raises:
        InvalidManifest: the stored object is malformed; says which field.
    """
    spec = validate_spec(execution.ExecutionSpec, manifest)
    if spec.function_ref is not None:
        _refuse_beside_a_function(spec)
    elif (spec.sandbox_ref is None) == (spec.class_name is None):
        raise InvalidManifest(
            "spec", "needs exactly one of sandboxRef and className", "set one and remove the other"
        )
    if [spec.code, spec.code_from, spec.function_ref].count(None) != 2:
        raise InvalidManifest(
            "spec",
            "needs exactly one of code, codeFrom and functionRef",
            "set one and remove the others",
        )
    if spec.resources is not None and spec.class_name is None:
        raise InvalidManifest(
            "spec.resources", "is for a pod of its own", "give the Sandbox what it needs"
        )
    env = to_sourced_env(spec.env)
    for index, argument in enumerate(spec.args):
        refuse_nul(f"spec.args[{index}]", argument)
    _check_sizes(spec)
    called = spec.function_ref
    return specs.ExecutionSpec(
        function=None
        if called is None
        else specs.FunctionRef(name=called.name, version=called.version),
        sandbox_name=None if spec.sandbox_ref is None else spec.sandbox_ref.name,
        class_name=spec.class_name,
        language=to_language(spec.language),
        code=spec.code,
        code_from=None
        if spec.code_from is None
        else to_key_source("spec.codeFrom", spec.code_from),
        files=to_input_files(spec.files),
        args=tuple(spec.args),
        stdin=spec.stdin,
        input=_input(spec),
        handler=_handler(spec.handler),
        env=env,
        resources=specs.Resources() if spec.resources is None else to_resources(spec.resources),
        timeout_seconds=spec.timeout_seconds,
        queue_timeout_seconds=spec.queue_timeout_seconds,
        output_limit_bytes=spec.output_limit_bytes,
        capture_files=tuple(_glob(index, each) for index, each in enumerate(spec.capture_files)),
        priority=spec.priority,
        idempotent=spec.idempotent,
        cancel=spec.cancel,
        ttl_seconds_after_finished=spec.ttl_seconds_after_finished,
        user=to_user(spec.user),
    )


def _refuse_beside_a_function(spec: execution.ExecutionSpec) -> None:
    for field, value in (
        ("sandboxRef", spec.sandbox_ref),
        ("className", spec.class_name),
        ("language", spec.language),
        ("handler", spec.handler),
        ("files", spec.files or None),
        ("resources", spec.resources),
    ):
        if value is not None:
            raise InvalidManifest(f"spec.{field}", "is for the Function to say", "remove it")


def _input(spec: execution.ExecutionSpec) -> str | None:
    if "input" not in spec.model_fields_set:
        return None
    try:
        # The same bytes each time: a start that is repeated is known by them.
        text = orjson.dumps(spec.input, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested over 254 levels, or a number over 64 bits
        raise InvalidManifest(
            "spec.input", "is nested too deep, or holds a number over 64 bits", "make it simpler"
        ) from None
    if len(text) > MAX_RUN_INPUT_BYTES:
        raise InvalidManifest(
            "spec.input",
            f"has {len(text):,} bytes of at most {MAX_RUN_INPUT_BYTES:,}",
            "give less, or name a place where the program finds the rest",
        )
    return text.decode()


def _handler(name: str | None) -> str | None:
    if name is not None and re.fullmatch(HANDLER_NAME_PATTERN, name) is None:
        raise InvalidManifest(
            "spec.handler",
            "is not the name of a function",
            "use letters, digits and _, and begin with no digit",
        )
    return name


def _check_sizes(spec: execution.ExecutionSpec) -> None:
    code_bytes = size_bytes(spec.code or "")
    if code_bytes > specs.MAX_CODE_BYTES:
        raise InvalidManifest(
            "spec.code",
            f"is larger than {specs.MAX_CODE_BYTES} bytes",
            "shorten it, or move data into files",
        )
    total_bytes = (
        code_bytes
        + size_bytes(spec.stdin or "")
        + sum(size_bytes(each.content) for each in spec.files)
        + sum(size_bytes(each) for each in spec.args)
        + sum(size_bytes(each.value) for each in spec.env)
    )
    if total_bytes > specs.MAX_INPUT_BYTES:
        raise InvalidManifest(
            "spec",
            f"holds more than {specs.MAX_INPUT_BYTES} bytes in code, files, args, stdin and env",
            "give less input",
        )


def _glob(index: int, glob: str) -> str:
    field = f"spec.captureFiles[{index}]"
    if any(part in ("", ".", "..") for part in glob.split("/")):
        raise InvalidManifest(
            field,
            "leaves the workspace or is not plain",
            "make it relative, without '.', '..' and empty parts",
        )
    refuse_nul(field, glob)
    if re.fullmatch(execution.GLOB_PATTERN, glob) is None:
        raise InvalidManifest(field, "is not a glob", "use *, ?, ** and [a-z]; [[] is a bracket")
    return glob
