"""Status of an Execution.

Bounds are looser than what the operator writes: a status that the API server refuses
would leave an Execution without its end.
"""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from soulbox.model.states import ConditionType, ExecutionReason, ExecutionState
from soulbox.schema.crds.common import (
    ATOMIC,
    ApiModel,
    Condition,
    LimitTexts,
    Message,
    list_map,
    pending_conditions,
)

# Inline output is at most 32 KiB a stream as the operator writes it; twice that is room.
MAX_INLINE_OUTPUT: Final = 65_536


class CapturedFile(ApiModel):
    """A file of the workspace that captureFiles named."""

    path: Annotated[str, Field(max_length=4096, description="Relative to the workspace.")]
    size: Annotated[int | None, Field(ge=0, description="Bytes of the file.")] = None
    sha256: Annotated[
        str | None,
        Field(
            max_length=64,
            description="SHA-256 in hex of what was kept of it: of all when not truncated.",
        ),
    ] = None
    truncated: Annotated[
        bool | None,
        Field(description="True when outputLimitBytes let only its first part be kept."),
    ] = None
    content: Annotated[
        str | None,
        Field(
            max_length=MAX_INLINE_OUTPUT,
            description=(
                "What it holds, where that is text in UTF-8 and all contents together have at most"
                " 16 KiB; the bytes of every file are in the view execution_files."
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
        Field(ge=0, description="How many more files matched captureFiles and were not kept."),
    ] = None
    files_omitted_reason: Annotated[
        str | None,
        Field(
            max_length=1024,
            description=(
                "Why files were not kept: too many, one could not be copied, or one that was asked"
                " for by its name is not there; also when not all of the workspace could be"
                " searched."
            ),
        ),
    ] = None


class ExecutionError(ApiModel):
    """What went wrong in the program: an exception of Python or Node, else stderr's last
    line."""

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
    """The part of its pod's bill that falls on this run, decimal numbers as text, without
    the plan's minimum, increment and free allowance. In a Sandbox it is a share for
    information: the Sandbox's own seconds are what is billed."""

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
        str | None,
        Field(
            max_length=63,
            description="Network profile of its pod; but for none with a hash of what it allowed.",
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
        Field(description="Why it is in this final state, one word; absent before its end."),
    ] = None
    message: Message | None = None
    queued_time: Annotated[datetime | None, Field(description="When the operator took it up.")] = (
        None
    )
    queue_position: Annotated[
        int | None,
        Field(
            ge=1,
            description=(
                "Its place among those that wait for the same Sandbox, 1 is next; written when it"
                " begins to wait, then every 30 s at most."
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
                "Wall time it was given at its dispatch, in seconds; what becomes of its class and"
                " Sandbox afterwards does not change it."
            ),
        ),
    ] = None
    output_limit_bytes: Annotated[
        int | None,
        Field(
            ge=0,
            description=(
                "Most bytes kept of each stream, and of all captured files together; fixed at its"
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
