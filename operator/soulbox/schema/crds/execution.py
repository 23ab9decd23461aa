"""Execution: one program run once. Namespaced.

Bounds on status are looser than what the operator writes: a status that the API server
refuses would leave an Execution without its end.
"""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from soulbox.model.specs import (
    MAX_CODE_BYTES,
    MAX_INPUT_BYTES,
    RESERVED_PATH_PREFIX,
    FileEncoding,
)
from soulbox.model.states import ConditionType, ExecutionReason, ExecutionState
from soulbox.schema.crds.common import (
    ATOMIC,
    DNS_NAME_PATTERN,
    LANGUAGE_PATTERN,
    MAX_ENV,
    MAX_TIMEOUT_SECONDS,
    ApiModel,
    Condition,
    EnvVar,
    LimitTexts,
    Message,
    cel,
    immutable,
    list_map,
    pending_conditions,
    validations,
)

# With 64 the estimated cost of the rule on all input is over the API server's budget.
MAX_FILES: Final = 32
MAX_ARGS: Final = 128
MAX_ARG: Final = 32_768
# Inline output is at most 32 KiB a stream as the operator writes it; twice that is room.
MAX_INLINE_OUTPUT: Final = 65_536


class SandboxRef(ApiModel):
    """A Sandbox of the same namespace."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=DNS_NAME_PATTERN,
            description="Name of the Sandbox.",
        ),
    ]


class KeyRef(ApiModel):
    """One key of an object of the same namespace."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=DNS_NAME_PATTERN,
            description="Name of the ConfigMap or Secret.",
        ),
    ]
    key: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^[-._a-zA-Z0-9]+$",
            description="Key in its data.",
        ),
    ]


class CodeFrom(ApiModel):
    """Where the code lies when it is not in the Execution itself."""

    config_map_key_ref: Annotated[
        KeyRef | None, Field(description="A key of a ConfigMap of the same namespace.")
    ] = None
    secret_key_ref: Annotated[
        KeyRef | None,
        Field(
            description=(
                "A key of a Secret of the same namespace that carries the label"
                ' soulbox.dev/readable: "true".'
            )
        ),
    ] = None


class InputFile(ApiModel):
    """A file written below the workspace before the code starts."""

    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=255,
            description="Where it goes, relative to the workspace: data/input.csv.",
            json_schema_extra=validations(
                cel(
                    "!self.startsWith('/')"
                    " && self.split('/').all(part, part != '' && part != '.' && part != '..')",
                    "file path leaves the workspace or is not plain:"
                    " make it relative, without '.', '..' and empty parts",
                ),
                cel(
                    rf"!self.contains('\u0000') && !self.startsWith('{RESERVED_PATH_PREFIX}')",
                    f"file path holds NUL or starts with {RESERVED_PATH_PREFIX},"
                    " which is the runner's own: name it otherwise",
                ),
            ),
        ),
    ]
    content: Annotated[
        str,
        Field(
            max_length=MAX_INPUT_BYTES,
            description="What it holds, written down as encoding says. Default: empty.",
        ),
    ] = ""
    encoding: Annotated[
        FileEncoding,
        Field(
            description="utf8: content is the text itself. base64: content is base64 of the bytes.",
            strict=False,
        ),
    ] = FileEncoding.UTF8


class ExecutionSpec(ApiModel):
    """What shall be run, and where."""

    sandbox_ref: Annotated[
        SandboxRef | None,
        Field(
            description=(
                "Run in this Sandbox. It may appear later: the Execution waits 60 s for it."
                " Exactly one of sandboxRef and className."
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
                "Run in a pod of its own, made from this SandboxClass and gone after the run."
                " Exactly one of sandboxRef and className."
            ),
        ),
    ] = None
    language: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=LANGUAGE_PATTERN,
            description="One of the class's interpreters. Default: the class's defaultLanguage.",
        ),
    ] = None
    code: Annotated[
        str | None,
        Field(
            max_length=MAX_CODE_BYTES,
            description=(
                "The program, at most 262144 bytes. Exactly one of code and codeFrom. Above about"
                " 200 KiB use kubectl create or apply --server-side."
            ),
        ),
    ] = None
    code_from: Annotated[
        CodeFrom | None,
        Field(
            description="Where the program lies. Exactly one of code and codeFrom.",
            json_schema_extra=validations(
                cel(
                    "has(self.configMapKeyRef) != has(self.secretKeyRef)",
                    "spec.codeFrom needs exactly one of configMapKeyRef and secretKeyRef:"
                    " set one and remove the other",
                )
            ),
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
            description="What the program reads from standard input. Default: nothing.",
        ),
    ] = None
    env: Annotated[
        list[EnvVar],
        Field(
            default_factory=list,
            max_length=MAX_ENV,
            description="Environment of the program, over the Sandbox's and the class's.",
            json_schema_extra=list_map("name"),
        ),
    ]
    timeout_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_TIMEOUT_SECONDS,
            description=(
                "Longest wall time in seconds, from the code's start; then it is killed and its"
                " state is Timeout. Default: the Sandbox's defaultTimeoutSeconds, else the class's."
            ),
        ),
    ] = None
    cancel: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "Set to true to end it: SIGTERM, a second later SIGKILL to all its processes."
                " Cannot be taken back."
            ),
        ),
    ]
    ttl_seconds_after_finished: Annotated[
        int | None,
        Field(
            ge=0,
            le=31_536_000,
            description=(
                "The object is deleted this many seconds after its end; its rows stay. Default:"
                " kept. With GitOps self-heal a deleted Execution is made, run and billed again."
            ),
        ),
    ] = None
    user: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            description=(
                "User it is billed to. Only oneself, or anybody with the verb billto on"
                " executions. Cannot be changed."
            ),
        ),
    ] = None


class ExecutionOutput(ApiModel):
    """What the program wrote. Here are the head and the tail of each stream; all of it, up
    to the class's max.outputBytes, is in the table execution_outputs."""

    stdout: Annotated[
        str, Field(max_length=MAX_INLINE_OUTPUT, description="Standard output, perhaps cut.")
    ] = ""
    stderr: Annotated[
        str, Field(max_length=MAX_INLINE_OUTPUT, description="Standard error, perhaps cut.")
    ] = ""
    stdout_bytes: Annotated[
        int | None, Field(ge=0, description="Bytes the program wrote to stdout, all counted.")
    ] = None
    stderr_bytes: Annotated[
        int | None, Field(ge=0, description="Bytes the program wrote to stderr, all counted.")
    ] = None
    stdout_truncated: Annotated[
        bool | None, Field(description="Whether stdout above is less than what was written.")
    ] = None
    stderr_truncated: Annotated[
        bool | None, Field(description="Whether stderr above is less than what was written.")
    ] = None
    stdout_sha256: Annotated[
        str | None, Field(max_length=64, description="SHA-256 in hex of all of stdout.")
    ] = None
    stderr_sha256: Annotated[
        str | None, Field(max_length=64, description="SHA-256 in hex of all of stderr.")
    ] = None


class ExecutionError(ApiModel):
    """What went wrong in the program: a Python exception, else stderr's last line."""

    type: Annotated[
        str | None,
        Field(max_length=256, description="Exception class (ValueError), else the reason."),
    ] = None
    message: Annotated[
        str | None,
        Field(max_length=8192, description="The exception's words, or stderr's last line."),
    ] = None
    stack_trace: Annotated[
        str | None,
        Field(max_length=16384, description="The traceback as printed, its end if long."),
    ] = None


class ExecutionUsage(ApiModel):
    """What the run used; a figure that could not be read is absent."""

    cpu_time_milliseconds: Annotated[
        int | None, Field(ge=0, description="CPU time of all its processes, user and system.")
    ] = None
    peak_memory_bytes: Annotated[
        int | None, Field(ge=0, description="Largest memory of its process tree seen.")
    ] = None
    disk_read_bytes: Annotated[int | None, Field(ge=0, description="Bytes read from disk.")] = None
    disk_write_bytes: Annotated[int | None, Field(ge=0, description="Bytes written to disk.")] = (
        None
    )
    network_rx_bytes: Annotated[
        int | None, Field(ge=0, description="Bytes the pod received during the run.")
    ] = None
    network_tx_bytes: Annotated[
        int | None, Field(ge=0, description="Bytes the pod sent during the run.")
    ] = None
    shared: Annotated[
        bool | None,
        Field(
            description="Whether other runs overlapped, so that pod-wide figures hold theirs too."
        ),
    ] = None


class ExecutionBilling(ApiModel):
    """The part of its pod's bill that falls on this run, decimal numbers as text. In a
    Sandbox it is a share for information: the Sandbox's own seconds are what is billed."""

    compute_units: Annotated[
        str | None,
        Field(max_length=40, description="Seconds times the larger of vCPU and GiB / 2."),
    ] = None
    cost_usd: Annotated[
        str | None, Field(max_length=40, description="computeUnits at the price in force, in USD.")
    ] = None
    tier: Annotated[str | None, Field(max_length=63, description="Tier of the tenant.")] = None
    price_plan: Annotated[
        str | None, Field(max_length=253, description="Price plan the price came from.")
    ] = None


class ExecutionReceipt(ApiModel):
    """What exactly it ran on."""

    image_id: Annotated[
        str | None,
        Field(alias="imageID", max_length=1024, description="Image with its digest, as pulled."),
    ] = None
    runtime_class: Annotated[
        str | None,
        Field(max_length=253, description="RuntimeClass it ran under; absent for the default."),
    ] = None
    limits: Annotated[LimitTexts | None, Field(description="Limits of its pod.")] = None
    network_profile: Annotated[
        str | None, Field(max_length=63, description="Network profile of its pod.")
    ] = None
    node: Annotated[str | None, Field(max_length=253, description="Node it ran on.")] = None
    pod_uid: Annotated[
        str | None, Field(alias="podUID", max_length=64, description="UID of its pod.")
    ] = None
    runner_version: Annotated[
        str | None, Field(max_length=128, description="Version of the runner that ran it.")
    ] = None


class ExecutionStatus(ApiModel):
    """What became of it, written by the operator. After completionTime nothing changes but
    observedGeneration."""

    observed_generation: Annotated[
        int | None, Field(ge=0, description="metadata.generation this status was made from.")
    ] = None
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=8,
            description="Succeeded, Ready, Reconciling and Stalled, after the kstatus conventions.",
            json_schema_extra=list_map("type"),
        ),
    ]
    state: Annotated[
        ExecutionState | None,
        Field(description="Queued, Running, Completed, Failed, Timeout or Cancelled."),
    ] = None
    reason: Annotated[
        ExecutionReason | None,
        Field(description="Why it is in this final state, one word; absent before its end."),
    ] = None
    message: Message | None = None
    queued_time: Annotated[datetime | None, Field(description="When the operator took it up.")] = (
        None
    )
    start_time: Annotated[datetime | None, Field(description="When its code started.")] = None
    completion_time: Annotated[datetime | None, Field(description="When it ended.")] = None
    duration_milliseconds: Annotated[
        int | None, Field(ge=0, description="Wall time of the code, in milliseconds.")
    ] = None
    attempt: Annotated[
        int | None, Field(ge=0, description="How many times it was handed to a runner.")
    ] = None
    exit_code: Annotated[
        int | None,
        Field(
            ge=0,
            le=255,
            description="The program's exit code; absent when a signal ended it or it never ran.",
        ),
    ] = None
    signal: Annotated[
        str | None, Field(max_length=32, description="Signal that ended it, as SIGSEGV.")
    ] = None
    output: Annotated[
        ExecutionOutput | None,
        Field(description="What the program wrote; present, perhaps empty, once code has started."),
    ] = None
    error: Annotated[
        ExecutionError | None, Field(description="What went wrong in the program.")
    ] = None
    usage: Annotated[ExecutionUsage | None, Field(description="What the run used.")] = None
    billing: Annotated[
        ExecutionBilling | None, Field(description="The part of its pod's bill that falls on it.")
    ] = None
    receipt: Annotated[ExecutionReceipt | None, Field(description="What exactly it ran on.")] = None


# Bytes, not characters: maxLength counts characters, and what is stored, sent and billed
# are bytes.
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
    "sandboxRef",
    "className",
    "language",
    "code",
    "codeFrom",
    "files",
    "args",
    "stdin",
    "env",
    "timeoutSeconds",
    "user",
)
SPEC_RULES = validations(
    cel(
        "has(self.sandboxRef) != has(self.className)",
        "spec needs exactly one of sandboxRef and className: sandboxRef runs in a Sandbox that"
        " stays, className in a pod of its own; set one and remove the other",
    ),
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
        f"spec holds more than {MAX_INPUT_BYTES} bytes in code, files, args, stdin and env"
        " together: give less input",
    ),
    cel(
        r"!has(self.args) || self.args.all(a, !a.contains('\u0000'))",
        "spec.args holds a NUL character, which no program can be given: remove it",
        field_path=".args",
    ),
    cel(
        "!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",
        "spec.cancel cannot be taken back: create another Execution",
        field_path=".cancel",
    ),
    *(immutable(field, "create another Execution") for field in IMMUTABLE_FIELDS),
)
STATUS_DEFAULT = {
    "default": {
        "observedGeneration": 0,
        "state": ExecutionState.QUEUED,
        "conditions": pending_conditions(
            ConditionType.SUCCEEDED, ConditionType.READY, ConditionType.RECONCILING
        ),
    }
}


class Execution(ApiModel):
    """An Execution is one program run once, in a Sandbox or in a pod of its own. It ends as
    Completed, Failed, Timeout or Cancelled and keeps its output in status."""

    spec: Annotated[
        ExecutionSpec,
        Field(
            description="What shall be run, and where. Only cancel and"
            " ttlSecondsAfterFinished can be changed.",
            json_schema_extra=SPEC_RULES,
        ),
    ]
    status: Annotated[
        ExecutionStatus | None,
        Field(
            description="What became of it, written by the operator.",
            json_schema_extra=STATUS_DEFAULT,
        ),
    ] = None
