"""What a version holds, by which it is known again, and the ControllerRevision that keeps it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from soulbox.model.keys import (
    FUNCTION_LABEL,
    FUNCTION_UID_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    VERSION_LABEL,
)
from soulbox.model.manifests import Manifest, reference_to
from soulbox.model.specs import FileEncoding
from soulbox.model.states import Kind
from soulbox.pure.programs import code_sha256

# Of what runs, all but the code.
_RUNS: Final = (
    "files",
    "handler",
    "language",
    "className",
    "env",
    "resources",
    "network",
    "timeoutSeconds",
    "inputSchema",
    "outputSchema",
)
# What is asked of the Function itself at each call, so that a change of it needs no version. The
# user too: who may bill whom was checked of the Function, and of nothing else.
_NOT_PUBLISHED: Final = frozenset(
    {"suspend", "scale", "revisionHistoryLimit", "deprecated", "user", "version", "code"}
)
_HASH_LETTERS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code of a version. `text` is None for that of a Secret, which is not copied."""

    text: str | None
    encoding: FileEncoding = FileEncoding.UTF8
    sha256: str


def code_of(text: str, encoding: FileEncoding = FileEncoding.UTF8, *, secret: bool = False) -> Code:
    """The code that an object or a ConfigMap holds, or a Secret.

    Raises:
        ValueError: it is not in its encoding.
    """
    sha256 = code_sha256(text, encoding)
    return Code(text=None if secret else text, encoding=encoding, sha256=sha256)


def content_sha256(spec: Mapping[str, Any], code: str) -> str:
    """SHA-256 of all that runs, hex: the same for the same, wherever the code lies. Of a Secret
    the reference counts too, because that is where it is read.

    Args:
        spec: as the API server has it.
        code: SHA-256 of the code, hex.
    """
    content = {name: spec[name] for name in _RUNS if spec.get(name) not in (None, [], {})}
    content["code"] = code
    secret = _secret_reference(spec)
    if secret is not None:
        content["codeFrom"] = secret
    return hashlib.sha256(_canonical(content)).hexdigest()


def revision_name(function_name: str, function_uid: str, version: str, content: str) -> str:
    """Name of the ControllerRevision of a version. It says all that makes the version what it
    is, and whose: one that somebody else made under this name holds the same, or is found out."""
    told = hashlib.sha256(f"{function_uid}\n{version}\n{content}".encode()).hexdigest()
    return f"{function_name}-{told[:_HASH_LETTERS]}"


def build_revision(
    function: Manifest, *, version: str, ordinal: int, code: Code, content: str
) -> dict[str, Any]:
    """The ControllerRevision that keeps what `function` says now. It goes with its Function.

    Args:
        ordinal: how many versions were published, this one included.
    """
    metadata, spec = function["metadata"], function["spec"]
    published = {name: value for name, value in spec.items() if name not in _NOT_PUBLISHED}
    if code.text is not None:
        published.pop("codeFrom", None)
    data: dict[str, Any] = {"version": version, "codeSHA256": code.sha256, "spec": published}
    if code.text is not None:
        data |= {"code": code.text, "codeEncoding": code.encoding.value}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision_name(metadata["name"], metadata["uid"], version, content),
            "namespace": metadata["namespace"],
            "labels": {
                MANAGED_BY_LABEL: MANAGED_BY,
                FUNCTION_LABEL: metadata["name"],
                FUNCTION_UID_LABEL: metadata["uid"],
                VERSION_LABEL: version,
            },
            "ownerReferences": [reference_to(Kind.FUNCTION, metadata["name"], metadata["uid"])],
        },
        "revision": ordinal,
        "data": data,
    }


def _secret_reference(spec: Mapping[str, Any]) -> Any:
    return (spec.get("codeFrom") or {}).get("secretKeyRef")


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
