"""Execution: one program run once. Namespaced."""

from typing import Annotated, Any, Final

from pydantic import Field

from soulbox.kinds.execution.crd_inputs import Cause, FunctionRef, SandboxRef
from soulbox.kinds.execution.crd_status import STATUS_DEFAULT, ExecutionStatus
from soulbox.model.handlers import HANDLER_NAME_PATTERN
from soulbox.model.kinds import EXECUTION
from soulbox.model.specs import MAX_CAPTURE_GLOBS, MAX_CODE_BYTES, MAX_INPUT_BYTES
from soulbox.schema.common import (
    ANY_JSON,
    ATOMIC,
    DNS_NAME_PATTERN,
    MAX_ENV,
    MAX_TIMEOUT_SECONDS,
    SOURCED_ENV,
    USER_RULES,
    ApiModel,
    Resources,
    SourcedEnvVar,
    all_immutable,
    cel,
    list_map,
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

MAX_ARGS: Final = 128
# What Go's path.Match accepts, without backslashes: * and ? within a part of the path, [a-z] and
# [^a-z] with at least one member, which may be a bracket ([[]), ** for any number of parts.
GLOB_PATTERN: Final = r"^([^\[\\]|\[\^?([^\]\\/^-](-[^\]\\/^-])?)+\])+$"
MAX_ARG: Final = 32_768


class ExecutionSpec(ApiModel):
    """What to run, and where."""

    sandbox_ref: Annotated[
        SandboxRef | None,
        Field(
            description=(
                "Run in this Sandbox. It may appear later: the Execution waits 60 s for it."
                " Exactly one of sandboxRef and className; neither with functionRef."
            )
        ),
    ] = None
    class_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=253,
            pattern=DNS_NAME_PATTERN,
            description=(
                "Run in a pod of its own, made from this SandboxClass and deleted after the run."
                " Exactly one of sandboxRef and className."
            ),
        ),
    ] = None
    language: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=63,
            description="One of the class's interpreters. Default: the class's defaultLanguage.",
            json_schema_extra=LANGUAGE_RULES,
        ),
    ] = None
    function_ref: Annotated[
        FunctionRef | None,
        Field(
            description=(
                "Call this Function: its code is run where the Function says, with the input."
                " Exactly one of code, codeFrom and functionRef. It may appear later: the call"
                " waits 60 s for it."
            )
        ),
    ] = None
    code: Annotated[
        str | None,
        Field(
            max_length=MAX_CODE_BYTES,
            description=(
                "The program, at most 262144 bytes. Exactly one of code, codeFrom and functionRef."
                " Above about 200 KiB use kubectl create or apply --server-side."
            ),
        ),
    ] = None
    code_from: Annotated[
        CodeFrom | None,
        Field(
            description="Where the program comes from. Exactly one of code and codeFrom.",
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
    args: Annotated[
        list[Annotated[str, Field(max_length=MAX_ARG)]],
        Field(
            default_factory=list,
            max_length=MAX_ARGS,
            description="Arguments of the program.",
            json_schema_extra=ATOMIC,
        ),
    ]
    stdin: Annotated[
        str | None,
        Field(
            max_length=MAX_INPUT_BYTES,
            description="What the program reads from standard input. Default: the input.",
        ),
    ] = None
    input: Annotated[
        Any,
        Field(
            description=(
                "Any JSON, at most 262144 bytes. The file that SOULBOX_INPUT names holds it, and"
                " standard input too if stdin is not set; a handler is called with it. What the"
                " program writes as JSON to the file that SOULBOX_RESULT names is status.result."
            ),
            json_schema_extra=ANY_JSON,
        ),
    ] = None
    handler: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            description=(
                "A function of the code, for Python and Node: it is called with the input, and what"
                " it returns is status.result. Default: the code itself is the program."
            ),
            json_schema_extra=validations(
                cel(
                    f"self.matches('{HANDLER_NAME_PATTERN}')",
                    "spec.handler is not the name of a function: use letters, digits and _, and"
                    " begin with no digit",
                )
            ),
        ),
    ] = None
    env: Annotated[
        list[SourcedEnvVar],
        Field(
            default_factory=list,
            max_length=MAX_ENV,
            description="Environment of the program; it overrides the Sandbox's and the class's.",
            json_schema_extra=SOURCED_ENV,
        ),
    ]
    resources: Annotated[
        Resources | None,
        Field(
            description=(
                "What its own pod may use; only with className. In a Sandbox the Sandbox's"
                " resources apply."
            )
        ),
    ] = None
    timeout_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_TIMEOUT_SECONDS,
            description=(
                "Longest wall time in seconds, from the start of its code; then it is killed and"
                " its state is Timeout. Default: the Sandbox's defaultTimeoutSeconds, or without"
                " it the class's."
            ),
        ),
    ] = None
    queue_timeout_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_TIMEOUT_SECONDS,
            description=(
                "Longest wait in seconds, from its creation to the start of its code; then its"
                " state is Timeout and its reason QueueTimeout. Default: no limit."
            ),
        ),
    ] = None
    output_limit_bytes: Annotated[
        int | None,
        Field(
            ge=0,
            le=1_073_741_824,
            description=(
                "Most bytes kept of each of stdout and stderr, and of all captured files together."
                " Bytes beyond that are counted and hashed but not kept; the run continues."
                " Default and maximum: the class's max.outputBytes."
            ),
        ),
    ] = None
    capture_files: Annotated[
        list[
            Annotated[
                str,
                Field(
                    min_length=1,
                    max_length=255,
                    pattern=GLOB_PATTERN,
                    description="A glob relative to the workspace, such as results/**/*.csv.",
                    json_schema_extra=validations(
                        cel(
                            "!self.startsWith('/') && self.split('/')"
                            ".all(part, part != '' && part != '.' && part != '..')",
                            "captureFiles holds a glob that leaves the workspace or is not in"
                            " plain form: make it relative, without '.', '..' and empty parts",
                        ),
                        cel(
                            r"!self.contains('\u0000')",
                            "captureFiles holds a NUL character, which no path can have: remove it",
                        ),
                    ),
                ),
            ]
        ],
        Field(
            default_factory=list,
            max_length=MAX_CAPTURE_GLOBS,
            description=(
                "Files of the workspace to keep after the run, as globs: * and ? within a name,"
                " [a-c] and [^a-c] for one letter, ** for any number of directories. A glob that"
                " is exactly the name of a file means that file; [[] is a bracket. At most 64"
                " files are kept, the first by path; links, devices and FIFOs are skipped."
            ),
            json_schema_extra=ATOMIC,
        ),
    ]
    priority: Annotated[
        int,
        Field(
            ge=-100,
            le=100,
            description=(
                "Of the Executions that wait for one Sandbox the highest priority goes first; at"
                " equal priority users take turns, then it is first come, first served."
            ),
        ),
    ] = 0
    idempotent: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "Says that running it twice does no harm: after the loss of its pod it is run"
                " again, up to three attempts in all, counted in status.attempt. Default: code"
                " runs at most once."
            ),
        ),
    ]
    cancel: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "Set to true to end it: all its processes get SIGTERM, and SIGKILL a second later."
                " Cannot be undone."
            ),
        ),
    ]
    ttl_seconds_after_finished: Annotated[
        int | None,
        Field(
            ge=0,
            le=31_536_000,
            description=(
                "The object is deleted this many seconds after its end; its rows stay. Default: it"
                " is kept. With GitOps self-heal a deleted Execution is created, run and billed"
                " again."
            ),
        ),
    ] = None
    user: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            description=(
                "User it is billed to: yourself, or any user if you have the verb billto on"
                " executions. Cannot be changed."
            ),
            json_schema_extra=USER_RULES,
        ),
    ] = None
    cause: Annotated[
        Cause | None,
        Field(
            description=(
                "What started it, where nobody created it by hand: leave it out, because only"
                " SoulBox may write it. Cannot be changed."
            )
        ),
    ] = None


# Bytes, not characters: maxLength counts characters, but bytes are stored, sent and billed.
_INPUT_BYTES = " + ".join(
    (
        "(has(self.code) ? size(bytes(self.code)) : 0)",
        "(has(self.stdin) ? size(bytes(self.stdin)) : 0)",
        "(has(self.files) ? self.files.map(f, size(bytes(f.content))).sum() : 0)",
        "(has(self.args) ? self.args.map(a, size(bytes(a))).sum() : 0)",
        "(has(self.env) ? self.env.map(e, size(bytes(e.value))).sum() : 0)",
    )
)
IMMUTABLE_FIELDS = (
    "functionRef",
    "sandboxRef",
    "className",
    "language",
    "code",
    "codeFrom",
    "files",
    "args",
    "stdin",
    "handler",
    "env",
    "resources",
    "timeoutSeconds",
    "queueTimeoutSeconds",
    "outputLimitBytes",
    "captureFiles",
    "priority",
    "idempotent",
    "user",
    "cause",
)
SPEC_RULES = validations(
    cel(
        "[has(self.code), has(self.codeFrom), has(self.functionRef)].filter(x, x).size() == 1",
        "spec needs exactly one of code, codeFrom and functionRef: set one and remove the others",
    ),
    cel(
        "!has(self.functionRef) || !(has(self.sandboxRef) || has(self.className))",
        "spec.functionRef runs where the Function says: remove sandboxRef and className",
        field_path=".functionRef",
    ),
    cel(
        "!has(self.functionRef) || !(has(self.language) || has(self.handler)"
        " || has(self.files) && size(self.files) > 0)",
        "spec.functionRef runs what the Function says: remove language, handler and files",
        field_path=".functionRef",
    ),
    cel(
        "has(self.functionRef) || has(self.sandboxRef) != has(self.className)",
        "spec needs exactly one of sandboxRef and className: sandboxRef runs in a Sandbox that"
        " stays, className in a pod of its own; set one and remove the other",
    ),
    cel(
        "!has(self.resources) || has(self.className)",
        "spec.resources needs className, because it is for a pod of its own: give the Sandbox what"
        " it needs, or set className instead of sandboxRef",
        field_path=".resources",
    ),
    cel(
        f"!has(self.code) || size(bytes(self.code)) <= {MAX_CODE_BYTES}",
        f"spec.code is larger than {MAX_CODE_BYTES} bytes: shorten it, or move data into files",
        field_path=".code",
    ),
    cel(
        f"{_INPUT_BYTES} <= {MAX_INPUT_BYTES}",
        f"spec holds more than {MAX_INPUT_BYTES} bytes in code, files, args, stdin and env"
        " together: reduce the input",
    ),
    cel(
        r"!has(self.args) || self.args.all(a, !a.contains('\u0000'))",
        "spec.args holds a NUL character, which no program can be given: remove it",
        field_path=".args",
    ),
    cel(
        "!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",
        "spec.cancel cannot be undone: create another Execution",
        field_path=".cancel",
    ),
    all_immutable(
        IMMUTABLE_FIELDS, ("cancel", "ttlSecondsAfterFinished"), "create another Execution"
    ),
)


class Execution(ApiModel):
    """An Execution is one program run once, in a Sandbox or in a pod of its own. It ends as
    Completed, Failed, Timeout or Cancelled and keeps its output in status."""

    spec: Annotated[
        ExecutionSpec,
        Field(
            description="What to run, and where. Only cancel and ttlSecondsAfterFinished can be"
            " changed.",
            json_schema_extra=SPEC_RULES,
        ),
    ]
    status: Annotated[
        ExecutionStatus | None,
        Field(
            description="Its progress and outcome, written by the operator.",
            json_schema_extra=STATUS_DEFAULT,
        ),
    ] = None


DESCRIBED: Final = Described(
    EXECUTION,
    Execution,
    columns=(
        Column("State", "string", ".status.state", "Summary of its conditions."),
        Column("Reason", "string", ".status.reason", "Why it ended."),
        Column("Exit", "integer", ".status.exitCode", "Exit code of the program."),
        Column("Duration", "integer", ".status.durationMilliseconds", "Wall time, milliseconds."),
        Column("Sandbox", "string", ".spec.sandboxRef.name", "Sandbox; empty: its own pod."),
        AGE,
        Column("Function", "string", ".spec.functionRef.name", "Function it calls.", wide=True),
        Column("Class", "string", ".spec.className", "Class of its own pod.", wide=True),
        Column("Language", "string", ".spec.language", "Language, if named.", wide=True),
        Column("User", "string", ".spec.user", "User it is billed to.", wide=True),
        Column("Cause", "string", ".spec.cause.name", "What started it.", wide=True),
        Column("Node", "string", ".status.receipt.node", "Node it ran on.", wide=True),
        Column("Timeout", "integer", ".status.timeoutSeconds", "Wall time it has, s.", wide=True),
    ),
    selectable=(
        ".status.state",
        ".status.reason",
        ".spec.sandboxRef.name",
        ".spec.functionRef.name",
        ".spec.className",
        ".spec.user",
        ".spec.cause.name",
    ),
)
