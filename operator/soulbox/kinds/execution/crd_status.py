"""Status of an Execution.

Bounds are looser than what the operator writes: if the API server refused a status, the Execution
would never show its end.
"""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field

from soulbox.model.states import ConditionType, ExecutionReason, ExecutionState
from soulbox.schema.common import (
    ANY_JSON,
    ATOMIC,
    ApiModel,
    Condition,
    LimitTexts,
    Message,
    list_map,
    pending_conditions,
)

# The operator writes at most 32 KiB of inline output per stream; twice that leaves room.
MAX_INLINE_OUTPUT: Final = 65_536


class CapturedFile(ApiModel):
    """A file of the workspace that captureFiles named."""

    path: Annotated[str, Field(max_length=4096, description="Relative to the workspace.")]
    size: Annotated[int | None, Field(ge=0, description="Bytes of the file.")] = None
    sha256: Annotated[
        str | None,
        Field(
            max_length=64,
            description="SHA-256 in hex of the part that was kept: of the whole file unless"
            " truncated.",
        ),
    ] = None
    truncated: Annotated[
        bool | None,
        Field(description="True if only its first part was kept because of outputLimitBytes."),
    ] = None
    content: Annotated[
        str | None,
        Field(
            max_length=MAX_INLINE_OUTPUT,
            description=(
                "Its content, if that is UTF-8 text and the contents of all files together have at"
                " most 16 KiB; the bytes of every file are in the view execution_files."
            ),
        ),
    ] = None


class ExecutionOutput(ApiModel):
    """What the program wrote: the head and the tail of each stream. The full output, up to the
    class's max.outputBytes, is in the table execution_outputs."""

    stdout: Annotated[
        str, Field(max_length=MAX_INLINE_OUTPUT, description="Standard output, perhaps shortened.")
    ] = ""
    stderr: Annotated[
        str, Field(max_length=MAX_INLINE_OUTPUT, description="Standard error, perhaps shortened.")
    ] = ""
    stdout_bytes: Annotated[
        int | None, Field(ge=0, description="All bytes that the program wrote to stdout.")
    ] = None
    stderr_bytes: Annotated[
        int | None, Field(ge=0, description="All bytes that the program wrote to stderr.")
    ] = None
    stdout_truncated: Annotated[
        bool | None, Field(description="Whether stdout above is less than the program wrote.")
    ] = None
    stderr_truncated: Annotated[
        bool | None, Field(description="Whether stderr above is less than the program wrote.")
    ] = None
    stdout_sha256: Annotated[
        str | None, Field(max_length=64, description="SHA-256 in hex of all of stdout.")
    ] = None
    stderr_sha256: Annotated[
        str | None, Field(max_length=64, description="SHA-256 in hex of all of stderr.")
    ] = None
    files: Annotated[
        list[CapturedFile],
        Field(
            default_factory=list,
            max_length=64,
            description="Captured files in the order of their paths.",
            json_schema_extra=ATOMIC,
        ),
    ]
    files_omitted: Annotated[
        int | None,
        Field(ge=0, description="How many more files matched captureFiles but were not kept."),
    ] = None
    files_omitted_reason: Annotated[
        str | None,
        Field(
            max_length=1024,
            description=(
                "Why files were not kept: there were too many, one could not be copied, or one"
                " that was asked for by name is missing. Also set if not all of the workspace"
                " could be searched."
            ),
        ),
    ] = None


class ExecutionError(ApiModel):
    """What went wrong in the program: an exception of Python or Node, or else the last line of
    stderr."""

    type: Annotated[
        str | None,
        Field(max_length=256, description="Exception class (ValueError), or else the reason."),
    ] = None
    message: Annotated[
        str | None,
        Field(
            max_length=8192, description="The exception's message, or else the last line of stderr."
        ),
    ] = None
    stack_trace: Annotated[
        str | None,
        Field(
            max_length=16384, description="The traceback as printed; only its end if it is long."
        ),
    ] = None


class ExecutionUsage(ApiModel):
    """What the run used; figures that could not be read are absent."""

    cpu_time_milliseconds: Annotated[
        int | None, Field(ge=0, description="CPU time of all its processes, user and system.")
    ] = None
    peak_memory_bytes: Annotated[
        int | None, Field(ge=0, description="Largest memory of its process tree that was measured.")
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
            description="Whether other runs overlapped, so that pod-wide figures include theirs."
        ),
    ] = None


class ExecutionBilling(ApiModel):
    """This run's share of its pod's bill, decimal numbers as text, without the plan's minimum,
    increment and free allowance. In a Sandbox the share is for information only: the Sandbox's own
    seconds are billed."""

    compute_units: Annotated[
        str | None,
        Field(max_length=40, description="Seconds times the larger of vCPU and GiB / 2."),
    ] = None
    cost_usd: Annotated[
        str | None, Field(max_length=40, description="computeUnits at the price in force, in USD.")
    ] = None
    tier: Annotated[str | None, Field(max_length=63, description="Tier that pricePlan is for.")] = (
        None
    )
    price_plan: Annotated[
        str | None, Field(max_length=253, description="Price plan that the price came from.")
    ] = None


class ExecutionReceipt(ApiModel):
    """Exactly what it ran on."""

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
        str | None,
        Field(
            max_length=63,
            description="Network profile of its pod; unless it is none, followed by a hash of what"
            " it allowed.",
        ),
    ] = None
    node: Annotated[str | None, Field(max_length=253, description="Node it ran on.")] = None
    pod_uid: Annotated[
        str | None, Field(alias="podUID", max_length=64, description="UID of its pod.")
    ] = None
    command: Annotated[
        list[Annotated[str, Field(max_length=1024)]],
        Field(
            default_factory=list,
            max_length=64,
            description="Interpreter and its first arguments, as the class had them at dispatch.",
            json_schema_extra=ATOMIC,
        ),
    ]
    runner_version: Annotated[
        str | None, Field(max_length=128, description="Version of the runner that ran it.")
    ] = None


class ExecutionStatus(ApiModel):
    """Its progress and outcome, written by the operator. After completionTime nothing changes
    except observedGeneration."""

    observed_generation: Annotated[
        int | None, Field(ge=0, description="metadata.generation that this status was made from.")
    ] = None
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=8,
            description=(
                "Finished and Succeeded; Ready, Reconciling and Stalled after the kstatus"
                " conventions."
            ),
            json_schema_extra=list_map("type"),
        ),
    ]
    state: Annotated[
        ExecutionState | None,
        Field(description="Queued, Running, Completed, Failed, Timeout or Cancelled."),
    ] = None
    reason: Annotated[
        ExecutionReason | None,
        Field(description="Why it is in this final state, in one word; absent until its end."),
    ] = None
    message: Message | None = None
    queued_time: Annotated[
        datetime | None, Field(description="When the operator first saw it.")
    ] = None
    queue_position: Annotated[
        int | None,
        Field(
            ge=1,
            description=(
                "Its place among those that wait for the same Sandbox; 1 is next. Written when it"
                " begins to wait, then at most every 30 s."
            ),
        ),
    ] = None
    start_time: Annotated[datetime | None, Field(description="When its code started.")] = None
    completion_time: Annotated[datetime | None, Field(description="When it ended.")] = None
    duration_milliseconds: Annotated[
        int | None, Field(ge=0, description="Wall time of the code, in milliseconds.")
    ] = None
    attempt: Annotated[
        int | None, Field(ge=0, description="How many times it was handed to a runner.")
    ] = None
    class_name: Annotated[
        str | None,
        Field(max_length=253, description="SandboxClass it runs under: its own, or its Sandbox's."),
    ] = None
    language: Annotated[
        str | None,
        Field(max_length=63, description="Language it was dispatched in."),
    ] = None
    timeout_seconds: Annotated[
        int | None,
        Field(
            ge=0,
            description=(
                "Wall time it was given at dispatch, in seconds; later changes of its class or"
                " Sandbox do not affect it."
            ),
        ),
    ] = None
    output_limit_bytes: Annotated[
        int | None,
        Field(
            ge=0,
            description=(
                "Most bytes kept of each stream, and of all captured files together; fixed at"
                " dispatch like timeoutSeconds."
            ),
        ),
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
        str | None, Field(max_length=32, description="Signal that ended it, such as SIGSEGV.")
    ] = None
    output: Annotated[
        ExecutionOutput | None,
        Field(description="What the program wrote; present, perhaps empty, once code has started."),
    ] = None
    revision: Annotated[
        str | None,
        Field(max_length=253, description="ControllerRevision of the Function that it ran from."),
    ] = None
    function_uid: Annotated[
        str | None,
        Field(
            alias="functionUID",
            max_length=64,
            description="UID of the Function that was called, or would not be.",
        ),
    ] = None
    function_version: Annotated[
        str | None, Field(max_length=63, description="Version of the Function that was called.")
    ] = None
    result: Annotated[
        Any,
        Field(
            description=(
                "What a handler returned, or the program wrote to the file that SOULBOX_RESULT"
                " names: any JSON, at most 65536 bytes."
            ),
            json_schema_extra=ANY_JSON,
        ),
    ] = None
    result_omitted_bytes: Annotated[
        int | None,
        Field(
            ge=0,
            description=(
                "Set where the object, full of its spec, had no room for the result: its size. The"
                " result itself is in PostgreSQL."
            ),
        ),
    ] = None
    error: Annotated[
        ExecutionError | None, Field(description="What went wrong in the program.")
    ] = None
    usage: Annotated[ExecutionUsage | None, Field(description="What the run used.")] = None
    billing: Annotated[
        ExecutionBilling | None, Field(description="Its share of its pod's bill.")
    ] = None
    receipt: Annotated[ExecutionReceipt | None, Field(description="Exactly what it ran on.")] = None


STATUS_DEFAULT = {
    "default": {
        "observedGeneration": 0,
        "state": ExecutionState.QUEUED,
        "conditions": pending_conditions(
            ConditionType.FINISHED,
            ConditionType.SUCCEEDED,
            ConditionType.READY,
            ConditionType.RECONCILING,
        ),
    }
}
