"""A Function, and a version of one, as the API server stores them, to `model.functions`."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from soulbox.kinds.function import crd, crd_parts
from soulbox.kinds.function.decide.content import Code, code_of, content_sha256, revision_name
from soulbox.model import functions, specs
from soulbox.model.errors import InvalidManifest
from soulbox.model.handlers import HANDLER_NAME_PATTERN
from soulbox.model.manifests import Manifest, controller_of
from soulbox.model.states import Kind
from soulbox.schema.parse import (
    to_key_source,
    to_resources,
    to_sourced_env,
    to_user,
    validate_spec,
)
from soulbox.schema.parse_inputs import size_bytes, to_input_files, to_language

# Fields of a Function that its versions do not have.
_SERVING: Final = ("scale", "suspend", "user", "ttlSecondsAfterFinished")


def parse_function(manifest: Manifest) -> functions.FunctionSpec:
    """The spec of a Function.

    Raises:
        InvalidManifest: the stored object is malformed; says which field.
    """
    spec = validate_spec(crd.FunctionSpec, manifest)
    if (spec.code is None) == (spec.code_from is None):
        raise InvalidManifest(
            "spec", "needs exactly one of code and codeFrom", "set one and remove the other"
        )
    if spec.tool is not None and spec.description is None:
        raise InvalidManifest(
            "spec.description", "is missing, and spec.tool needs it", "say what the tool does"
        )
    if spec.input_schema is not None and spec.input_schema.get("type") != "object":
        raise InvalidManifest("spec.inputSchema", "describes no object", "set its type to object")
    _check_words(spec)
    _check_sizes(spec)
    return functions.FunctionSpec(
        version=spec.version,
        class_name=spec.class_name,
        language=to_language(spec.language),
        handler=spec.handler,
        code=spec.code,
        code_from=None
        if spec.code_from is None
        else to_key_source("spec.codeFrom", spec.code_from),
        files=to_input_files(spec.files),
        env=to_sourced_env(spec.env),
        timeout_seconds=spec.timeout_seconds,
        resources=specs.Resources() if spec.resources is None else to_resources(spec.resources),
        network=spec.network,
        idempotent=spec.idempotent,
        suspend=spec.suspend,
        user=to_user(spec.user),
        ttl_seconds_after_finished=spec.ttl_seconds_after_finished,
        revision_history_limit=spec.revision_history_limit,
        scale=_scale(spec.scale),
        input_schema=spec.input_schema,
        output_schema=spec.output_schema,
        description=spec.description,
        tool=None if spec.tool is None else _tool(spec.tool),
        deprecated=spec.deprecated,
    )


def parse_serving(manifest: Manifest) -> functions.Serving:
    """What calls ask of a Function, by itself: what else is malformed in a Function that was
    stored under an earlier schema is nothing to the versions that were published.

    Raises:
        InvalidManifest: one of these fields is malformed.
    """
    stored = manifest.get("spec") or {}
    asked = {name: stored[name] for name in _SERVING if name in stored}
    spec = validate_spec(crd.FunctionSpec, {"spec": asked})
    return functions.Serving(
        scale=_scale(spec.scale),
        suspend=spec.suspend,
        user=to_user(spec.user),
        ttl_seconds_after_finished=spec.ttl_seconds_after_finished,
    )


def parse_revision(manifest: Manifest) -> functions.Revision:
    """One version, from its ControllerRevision. Whoever may create such objects can write one
    that looks like ours: its name must follow from its owner and its content.

    Raises:
        InvalidManifest: it is none of ours, or malformed.
    """
    metadata = manifest["metadata"]
    owner = controller_of(manifest)
    data = manifest.get("data")
    if owner is None or owner[0] != Kind.FUNCTION or not isinstance(data, Mapping):
        raise _not_ours("it has no Function as its controller, or no data")
    version, spec = data.get("version"), data.get("spec")
    if not isinstance(version, str) or not isinstance(spec, Mapping):
        raise _not_ours("its data has no version and spec")
    code = _code(data)
    content = content_sha256(spec, code.sha256)
    if metadata["name"] != revision_name(owner[2], owner[1], version, content):
        raise _not_ours("its name does not follow from what it holds")
    # Code may be larger as base64 than the text of a Function may be.
    stored = spec if code.text is None else {**spec, "code": ""}
    parsed = parse_function({"spec": stored})
    return functions.Revision(
        name=metadata["name"],
        function_uid=owner[1],
        function_name=owner[2],
        namespace=metadata["namespace"],
        version=version,
        spec=replace(parsed, version=version, code=code.text),
        code_encoding=code.encoding,
        code_sha256=code.sha256,
        content_sha256=content,
    )


def _not_ours(problem: str) -> InvalidManifest:
    return InvalidManifest(
        "data",
        f"this ControllerRevision is no version of a Function: {problem}",
        "delete it; the Function is published again",
    )


def _code(data: Mapping[str, Any]) -> Code:
    text, sha256 = data.get("code"), data.get("codeSHA256")
    try:
        encoding = specs.FileEncoding(data.get("codeEncoding", specs.FileEncoding.UTF8))
        if isinstance(text, str):
            return code_of(text, encoding)
    except ValueError:
        raise _not_ours("its code is not in its encoding") from None
    if text is not None or not isinstance(sha256, str):
        raise _not_ours("it has neither code nor the hash of code")
    return Code(text=None, sha256=sha256)


def _check_words(spec: crd.FunctionSpec) -> None:
    if spec.version is not None and not re.fullmatch(crd.VERSION_PATTERN, spec.version):
        raise InvalidManifest(
            "spec.version", "is not a version such as 1.2.0", "write three numbers, or leave it out"
        )
    if spec.handler is not None and not re.fullmatch(HANDLER_NAME_PATTERN, spec.handler):
        raise InvalidManifest(
            "spec.handler", "is not the name of a function", "use letters, digits and _"
        )


def _check_sizes(spec: crd.FunctionSpec) -> None:
    code_bytes = size_bytes(spec.code or "")
    if code_bytes > specs.MAX_CODE_BYTES:
        raise InvalidManifest(
            "spec.code",
            f"is larger than {specs.MAX_CODE_BYTES} bytes",
            "shorten it, or move data into files",
        )
    total_bytes = (
        code_bytes
        + sum(size_bytes(each.content) for each in spec.files)
        + sum(size_bytes(each.value) for each in spec.env)
    )
    if total_bytes > specs.MAX_INPUT_BYTES:
        raise InvalidManifest(
            "spec",
            f"holds more than {specs.MAX_INPUT_BYTES} bytes in code, files and env",
            "reduce them",
        )


def _scale(scale: crd_parts.ScaleBounds) -> functions.Scale:
    if scale.min > scale.max:
        raise InvalidManifest("spec.scale.min", "is above spec.scale.max", "lower it")
    return functions.Scale(
        min=scale.min,
        max=scale.max,
        idle_seconds=scale.idle_seconds,
        concurrency=scale.concurrency,
    )


def _tool(tool: crd_parts.ToolEntry) -> functions.Tool:
    words = {"title": tool.title, "category": tool.category, "type": tool.type}
    words |= {f"tags[{index}]": tag for index, tag in enumerate(tool.tags)}
    for field, word in words.items():
        if word is not None and crd_parts.WORD.fullmatch(word) is None:
            raise InvalidManifest(
                f"spec.tool.{field}",
                "begins or ends with a blank, or holds a control character",
                "correct it",
            )
    return functions.Tool(
        title=tool.title,
        category=tool.category,
        tags=tuple(tool.tags),
        type=tool.type,
        annotations=tool.annotations or {},
    )
