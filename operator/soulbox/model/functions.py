"""Functions and their versions, as the inside of SoulBox sees them.

`kinds/function/spec.py` makes these from manifests, and they can be trusted as those of
`model.specs`. Whether a schema is one is the judge's to say, and not known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from soulbox.model.specs import (
    DEFAULT_CLASS,
    NO_NETWORK,
    CodeFrom,
    EnvFrom,
    EnvVar,
    FileEncoding,
    InputFile,
    Resources,
)

# As JSON. What is larger is a data set, and is read by the API server at each write.
MAX_SCHEMA_BYTES: Final = 32_768
# A label's value, and what leaves MCP's names (namespace.name) below their 128 characters.
MAX_FUNCTION_NAME: Final = 63
DEFAULT_TIMEOUT_SECONDS: Final = 30
DEFAULT_TTL_SECONDS: Final = 3_600
DEFAULT_HISTORY: Final = 10

# A JSON Schema as its owner wrote it.
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many Sandboxes of its own a Function has, and how many calls run at once in each."""

    min: int = 0
    max: int = 1  # 0: a pod of its own for each call
    idle_seconds: int = 300  # a Sandbox above min that has not been called for so long ends
    concurrency: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What the registry of tools says of a Function."""

    title: str | None = None
    category: str | None = None
    tags: tuple[str, ...] = ()
    type: str | None = None  # a free word
    annotations: Mapping[str, Any] = field(default_factory=dict)  # MCP's hints, as written


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """`spec` of a Function; exactly one of code and code_from is set."""

    version: str | None = None  # None: versions are counted
    class_name: str = DEFAULT_CLASS
    language: str | None = None  # None: the class's default language
    handler: str | None = None  # a function of the code; None: the code is the program
    code: str | None = None
    code_from: CodeFrom | None = None
    files: tuple[InputFile, ...] = ()
    env: tuple[EnvVar | EnvFrom, ...] = ()
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    resources: Resources = field(default_factory=Resources)
    network: str = NO_NETWORK.name  # a profile of the class
    idempotent: bool = False
    suspend: bool = False
    user: str | None = None  # None: its calls are not billed to a named user
    ttl_seconds_after_finished: int = DEFAULT_TTL_SECONDS
    revision_history_limit: int = DEFAULT_HISTORY
    scale: Scale = field(default_factory=Scale)
    input_schema: Schema | None = None  # None: any input
    output_schema: Schema | None = None  # None: any result
    description: str | None = None
    tool: Tool | None = None  # None: it is in no registry
    deprecated: str | None = None  # what to use instead; None: it is not deprecated


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What calls ask of the Function as it is now, whatever version they run."""

    scale: Scale = field(default_factory=Scale)
    suspend: bool = False
    user: str | None = None  # None: its calls are not billed to a named user
    ttl_seconds_after_finished: int = DEFAULT_TTL_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One version of a Function, as it was published; it never changes.

    Attributes:
        name: of the ControllerRevision.
        version: as the Function's spec said, or the number counted.
        spec: as published. Code of a ConfigMap is in `code`, as it was then, and `code_from` is
            None; code of a Secret is read from `code_from` by whoever runs it, and is that of
            this version where its hash is `code_sha256`. What says nothing about a run (suspend,
            scale, revision_history_limit, deprecated) has its default here: read it from the
            Function.
        code_encoding: of `code`: base64 where the ConfigMap holds bytes.
        code_sha256, content_sha256: hex; of the code, and of all that runs.
    """

    name: str
    function_uid: str
    function_name: str
    namespace: str
    version: str
    spec: FunctionSpec
    code_encoding: FileEncoding = FileEncoding.UTF8
    code_sha256: str
    content_sha256: str
