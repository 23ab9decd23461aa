"""Function: a program with versions, a schema for each end, and perhaps an entry in the registry
of tools. Namespaced."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from soulbox.kinds.function.crd_parts import (
    INPUT_SCHEMA_RULES,
    SCALE_RULES,
    AnySchema,
    InputSchema,
    ScaleBounds,
    ToolEntry,
)
from soulbox.kinds.function.crd_status import STATUS_DEFAULT, FunctionStatus
from soulbox.model.functions import (
    DEFAULT_HISTORY,
    DEFAULT_TIMEOUT_SECONDS,
    DEFAULT_TTL_SECONDS,
    MAX_FUNCTION_NAME,
)
from soulbox.model.handlers import HANDLER_NAME_PATTERN
from soulbox.model.kinds import FUNCTION
from soulbox.model.specs import DEFAULT_CLASS, MAX_CODE_BYTES, MAX_INPUT_BYTES, NO_NETWORK
from soulbox.schema.common import (
    DNS_NAME_PATTERN,
    MAX_ENV,
    MAX_TIMEOUT_SECONDS,
    PROFILE_PATTERN,
    SOURCED_ENV,
    USER_RULES,
    ApiModel,
    Resources,
    SourcedEnvVar,
    cel,
    immutable,
    list_map,
    same_value,
    validations,
)
from soulbox.schema.crd import AGE, Column, Described
from soulbox.schema.inputs import (
    CODE_FROM_RULES,
    LANGUAGE_RULES,
    MAX_FILES,
    CodeFrom,
    InputFile,
)

# SemVer 2.0.0 without build metadata, which orders nothing and which no label can hold. It
# ends with a letter or digit, as a label must.
_NUMBER: Final = "(0|[1-9][0-9]*)"
VERSION_PATTERN: Final = (
    rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?)?$"
)
MAX_VERSION: Final = 63

# All that runs: what makes one version another than the next.
CONTENT_FIELDS: Final = (
    "code",
    "codeFrom",
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


class FunctionSpec(ApiModel):
    """What is called, how it runs, and what is said about it."""

    version: Annotated[
        str | None,
        Field(
            max_length=MAX_VERSION,
            description=(
                "Version of what spec describes, such as 1.2.0 (SemVer, without build metadata)."
                " What was published under it cannot be changed. Default: versions are counted,"
                " 1, 2, 3, with each change of what runs."
            ),
            json_schema_extra=validations(
                cel(
                    f"self.matches(r'{VERSION_PATTERN}')",
                    "spec.version is not a version such as 1.2.0 or 2.0.0-rc.1: write three numbers"
                    " without leading zeros, without build metadata; or leave it out and versions"
                    " are counted",
                    words="'spec.version ' + self + ' is not a version such as 1.2.0 or"
                    " 2.0.0-rc.1: write three numbers without leading zeros, without build"
                    " metadata; or leave it out and versions are counted'",
                )
            ),
        ),
    ] = None
    class_name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=DNS_NAME_PATTERN,
            description="SandboxClass that its calls run in.",
        ),
    ] = DEFAULT_CLASS
    language: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=63,
            description="One of the class's interpreters. Default: the class's defaultLanguage.",
            json_schema_extra=LANGUAGE_RULES,
        ),
    ] = None
    handler: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            description=(
                "A function of the code (Python, Node) that is called with the input and returns"
                " the result. Default: the code is a program; it reads its input from the file"
                " that SOULBOX_INPUT names and writes its result to the one that SOULBOX_RESULT"
                " names."
            ),
            json_schema_extra=validations(
                cel(
                    f"self.matches('{HANDLER_NAME_PATTERN}')",
                    "spec.handler is not the name of a function: begin with a letter or _, then"
                    " use letters, digits and _, such as main",
                )
            ),
        ),
    ] = None
    code: Annotated[
        str | None,
        Field(
            max_length=MAX_CODE_BYTES,
            description="The program, at most 262144 bytes. Exactly one of code and codeFrom.",
        ),
    ] = None
    code_from: Annotated[
        CodeFrom | None,
        Field(
            description=(
                "Where the program comes from. Exactly one of code and codeFrom. The code of a"
                " ConfigMap is published with the version; of that of a Secret only the hash is,"
                " and the version can be called as long as the Secret holds it."
            ),
            json_schema_extra=CODE_FROM_RULES,
        ),
    ] = None
    files: Annotated[
        list[InputFile],
        Field(
            default_factory=list,
            max_length=MAX_FILES,
            description="Files written below the workspace before the code starts.",
            json_schema_extra=list_map("path"),
        ),
    ]
    env: Annotated[
        list[SourcedEnvVar],
        Field(
            default_factory=list,
            max_length=MAX_ENV,
            description=(
                "Environment of the program; it overrides the class's. What valueFrom names is"
                " read at each call and is not part of a version."
            ),
            json_schema_extra=SOURCED_ENV,
        ),
    ]
    timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_TIMEOUT_SECONDS,
            description=(
                "Longest wall time of a call in seconds, from the start of its code; then it is"
                " killed and its state is Timeout."
            ),
        ),
    ] = DEFAULT_TIMEOUT_SECONDS
    resources: Annotated[
        Resources | None,
        Field(description="What the pods that its calls run in may use."),
    ] = None
    network: Annotated[
        str,
        Field(
            min_length=1,
            max_length=40,
            pattern=PROFILE_PATTERN,
            description="Network profile of the class: what its programs may reach.",
        ),
    ] = NO_NETWORK.name
    idempotent: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "Says that running a call twice does no harm: after the loss of its pod it is run"
                " again."
            ),
        ),
    ]
    suspend: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "true: new calls end as Failed with the reason FunctionSuspended; those under way"
                " go on."
            ),
        ),
    ]
    user: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            description=(
                "User that calls are billed to which name none: yourself, or any user if you have"
                " the verb billto on functions."
            ),
            json_schema_extra=USER_RULES,
        ),
    ] = None
    ttl_seconds_after_finished: Annotated[
        int,
        Field(
            ge=0,
            le=31_536_000,
            description="Calls are deleted this many seconds after their end; their rows stay.",
        ),
    ] = DEFAULT_TTL_SECONDS
    revision_history_limit: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description=(
                "How many versions besides the current one can be called. Older ones are"
                " withdrawn, but for those that an unfinished call runs."
            ),
        ),
    ] = DEFAULT_HISTORY
    scale: Annotated[
        ScaleBounds,
        Field(
            default_factory=ScaleBounds,
            description="Sandboxes of its own that calls run in.",
            json_schema_extra={**SCALE_RULES, "default": {}},
        ),
    ]
    input_schema: Annotated[
        InputSchema | None,
        Field(
            description=(
                "JSON Schema (2020-12) of the input, an object, at most 32768 bytes as JSON. An"
                " input that does not match is refused before anything runs. Default: any input."
            ),
            json_schema_extra=INPUT_SCHEMA_RULES,
        ),
    ] = None
    output_schema: Annotated[
        AnySchema | None,
        Field(
            description=(
                "JSON Schema (2020-12) of the result, at most 32768 bytes as JSON. A call whose"
                " result does not match ends as Failed. Default: any result."
            )
        ),
    ] = None
    description: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=4096,
            description="What it does and when to use it, for people and models.",
        ),
    ] = None
    tool: Annotated[
        ToolEntry | None,
        Field(description="Makes it a tool: it is in the registry, with this. Needs description."),
    ] = None
    deprecated: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            description="What to use instead, such as use resize2. It can still be called.",
        ),
    ] = None


# Bytes, not characters: maxLength counts characters, but bytes are stored and sent.
_INPUT_BYTES = " + ".join(
    (
        "(has(self.code) ? size(bytes(self.code)) : 0)",
        "(has(self.files) ? self.files.map(f, size(bytes(f.content))).sum() : 0)",
        "(has(self.env) ? self.env.map(e, size(bytes(e.value))).sum() : 0)",
    )
)
_IS_PUBLISHED = (
    "has(self.spec.version) && has(oldSelf.spec.version) && has(oldSelf.status)"
    " && has(oldSelf.status.version) && self.spec.version == oldSelf.spec.version"
    " && oldSelf.status.version == oldSelf.spec.version"
)
_RAISE = "raise it, or leave it out and versions are counted"
SPEC_RULES = validations(
    immutable("user", "delete the Function and create it again, or create another"),
    cel(
        "has(self.code) != has(self.codeFrom)",
        "spec needs exactly one of code and codeFrom: set one and remove the other",
    ),
    cel(
        f"!has(self.code) || size(bytes(self.code)) <= {MAX_CODE_BYTES}",
        f"spec.code is larger than {MAX_CODE_BYTES} bytes: shorten it, or move data into files",
        field_path=".code",
    ),
    cel(
        f"{_INPUT_BYTES} <= {MAX_INPUT_BYTES}",
        f"spec holds more than {MAX_INPUT_BYTES} bytes in code, files and env together: reduce"
        " them",
    ),
    cel(
        "!has(self.tool) || has(self.description)",
        "spec.tool needs spec.description: say what the tool does and when to use it, because that"
        " is all a model knows of it",
        field_path=".description",
    ),
)
OBJECT_RULES = validations(
    cel(
        f"size(self.metadata.name) <= {MAX_FUNCTION_NAME}",
        f"metadata.name of a Function has at most {MAX_FUNCTION_NAME} characters, so that the"
        " name of the tool, namespace.name, stays below MCP's 128: shorten it",
    ),
    # Of a version that was not published the content is still free: what was wrong with it is
    # corrected under the same name. What the API server cannot see the operator does.
    cel(
        f"{_IS_PUBLISHED} ? self.spec == oldSelf.spec || "
        + " && ".join(f"({same_value(field, 'spec.')})" for field in CONTENT_FIELDS)
        + " : true",
        f"spec changed but spec.version is still the same: {_RAISE}",
        field_path=".spec.version",
        words=f"'spec changed but spec.version is still ' + self.spec.version + ': {_RAISE}'",
    ),
)


class Function(ApiModel):
    """A Function is a program with versions, which Executions call by its name. Its input and
    its result are judged by JSON Schemas. With spec.tool it is a tool, which models find."""

    model_config = ConfigDict(json_schema_extra=OBJECT_RULES)

    spec: Annotated[
        FunctionSpec,
        Field(
            description="What is called, how it runs, and what is said about it.",
            json_schema_extra=SPEC_RULES,
        ),
    ]
    status: Annotated[
        FunctionStatus | None,
        Field(
            description="What can be called, written by the operator.",
            json_schema_extra=STATUS_DEFAULT,
        ),
    ] = None


DESCRIBED: Final = Described(
    FUNCTION,
    Function,
    columns=(
        Column("State", "string", ".status.state", "Summary of its conditions."),
        Column("Reason", "string", ".status.reason", "Why it is in this state."),
        Column("Version", "string", ".status.version", "The current version."),
        Column("Sandboxes", "integer", ".status.readySandboxes", "Sandboxes of its own that run."),
        Column("Class", "string", ".spec.className", "SandboxClass that its calls run in."),
        AGE,
        Column("Tool", "string", ".status.toolID", "Its id in the registry.", wide=True),
        Column("Revision", "string", ".status.revision", "ControllerRevision of it.", wide=True),
        Column("Category", "string", ".spec.tool.category", "Category of the tool.", wide=True),
        Column("Deprecated", "string", ".spec.deprecated", "What to use instead.", wide=True),
        Column("User", "string", ".spec.user", "User its calls are billed to.", wide=True),
    ),
    selectable=(
        ".status.state",
        ".status.reason",
        ".status.version",
        ".spec.className",
        ".spec.tool.category",
        ".spec.user",
    ),
)
