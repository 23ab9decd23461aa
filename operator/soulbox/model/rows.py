"""Rows of PostgreSQL as values: what `build/rows` makes and `store` writes and reads.

Field names are column names. JSON columns are plain mappings with snake_case keys. `TABLE`
and the marks of fields say how a row is written: the statements are generated from them
(`make generate`), so that a column stands here, in a migration and in schema.sql alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Protocol
from uuid import UUID

from soulbox.model.billing import EndSource
from soulbox.model.json_values import Json
from soulbox.model.states import ExecutionState, SandboxState
from soulbox.model.tables import Feed, First, Known, Saved, Settled, Table


class TableRow(Protocol):
    """A row that knows its table."""

    TABLE: ClassVar[Table]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRow:
    """One Sandbox as last seen. None means "not known (yet)" in every optional field.

    Attributes:
        resource_limits: {"cpu": "250m", ...} as asked for; empty when the class decides.
        pod_uid: of the incarnation that runs or ran last.
        spec: without the values of environment variables.
        resource_version: of the version this row shows; grows within a mirror_epoch.
        cleaned: some text held NUL or a lone surrogate, which PostgreSQL cannot store.
        deleted_at: when its deletion was asked for, else when it was found gone.
    """

    TABLE: ClassVar[Table] = Table(
        name="sandboxes",
        key=("uid",),
        gone={"state": SandboxState.TERMINATED.lower()},
        feed=Feed(kind="sandbox", sandbox="uid"),
    )

    uid: UUID
    cluster: First[UUID]
    tenant: First[str]
    user_name: First[str]
    namespace: First[str]
    name: First[str]
    class_name: str
    language: str | None
    state: str
    reason: str | None
    message: str | None
    resource_limits: Mapping[str, Any]
    network: str | None
    incarnation: int
    pod_uid: UUID | None
    pod_name: str | None
    node: str | None
    image_id: str | None
    runtime_class: str | None
    created_at: First[datetime]
    started_at: datetime | None
    expires_at: datetime | None
    terminated_at: datetime | None
    last_activity_at: datetime | None
    runtime_seconds: Decimal | None
    labels: Mapping[str, Any]
    spec: Mapping[str, Any]
    resource_version: int
    cleaned: bool
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRow:
    """One Execution as last seen. None means "not known (yet)" in every optional field.

    Attributes:
        sandbox_uid: None for a one-shot, and until it was dispatched to its sandbox.
        class_name, language: its own, else those it was dispatched under.
        timeout_seconds, output_limit_bytes: as it was dispatched; None before, and where a
            release that kept no receipt dispatched it.
        code_sha256: hex; None when the code is not in the object and nobody told.
        exit_code: None also when a signal ended it.
        stdout, stderr: what the status holds inline; None when no code has started.
        output_complete: every byte of both streams is in this row or in
            execution_outputs, and every captured file is there.
        captured_files: {"files": [{path, size_bytes, sha256, truncated}], "omitted": n}; None
            where none was captured.
        function_uid, function_version: of the Function that it is a call of.
        cause: {"kind": "Trigger", "name": ..., ...}: what started it; None: its creator did.
        trigger_uid: of the cause, if that is a Trigger.
        event_id: of the cause.
        input, result: any JSON, as far as PostgreSQL can hold it. A result for which the object had
            no room is only in its first final version.
    """

    TABLE: ClassVar[Table] = Table(
        name="executions",
        key=("uid", "created_at"),
        month="created_at",
        ended="completed_at",
        feed=Feed(kind="execution", sandbox="sandbox_uid"),
        open_states=tuple(state.lower() for state in ExecutionState if not state.is_final),
    )

    uid: UUID
    created_at: datetime
    cluster: First[UUID]
    tenant: First[str]
    user_name: First[str]
    sandbox_uid: Settled[UUID | None]
    one_shot: Settled[bool]
    namespace: First[str]
    name: First[str]
    class_name: str | None
    language: str | None
    code_sha256: Settled[str | None]
    state: str
    reason: str | None
    message: str | None
    attempt: int | None
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    exit_code: int | None
    signal: str | None
    stdout: str | None
    stderr: str | None
    stdout_bytes: int | None
    stderr_bytes: int | None
    stdout_truncated: bool | None
    stderr_truncated: bool | None
    stdout_sha256: str | None
    stderr_sha256: str | None
    output_complete: Saved[bool]
    error: Mapping[str, Any] | None
    resource_usage: Mapping[str, Any] | None
    billing: Mapping[str, Any] | None
    receipt: Mapping[str, Any] | None
    captured_files: Mapping[str, Any] | None
    timeout_seconds: int | None
    output_limit_bytes: int | None
    kind: First[str]
    function_uid: Settled[UUID | None]
    function_version: Settled[str | None]
    cause: Mapping[str, Any] | None
    trigger_uid: UUID | None
    event_id: str | None
    input: Json
    result: Known[Json]
    resource_version: int
    cleaned: bool
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRow:
    """A program's code, kept once a tenant however often it runs.

    Attributes:
        cluster, user_name: where and for whom it was first seen.
        code_sha256: hex, of the code's bytes as given (before cleaning).
        cleaned: the stored text differs from what ran by cleaned characters.
    """

    TABLE: ClassVar[Table] = Table(name="programs", key=("tenant", "code_sha256"), uid="")

    tenant: str
    code_sha256: str
    cluster: UUID
    user_name: str
    language: str | None
    code: str
    code_bytes: int
    cleaned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRow:
    """One Function as last seen. None means "not known (yet)" in every optional field.

    Attributes:
        version: the current one.
        versions: those that can be called; SQL withdraws the others.
        spec: without its code and the values of environment variables.
    """

    TABLE: ClassVar[Table] = Table(
        name="functions", key=("uid",), feed=Feed(kind="function", user=None)
    )

    uid: UUID
    cluster: First[UUID]
    tenant: First[str]
    namespace: First[str]
    name: First[str]
    version: str | None
    versions: tuple[str, ...]
    state: str | None
    reason: str | None
    message: str | None
    suspended: bool
    created_at: First[datetime]
    labels: Mapping[str, Any]
    spec: Mapping[str, Any]
    resource_version: int
    cleaned: bool
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionVersionRow:
    """A version of a Function, as it was when the Function last showed it as current.

    Attributes:
        tool_id: "tool:acme/resize@1.2.0"; None: the Function is no tool.
        revision: name of the ControllerRevision.
        content_sha256, code_sha256: hex.
        input_schema, output_schema: as written; None where any value will do.
        deprecated: what to use instead; None: it is not deprecated.
        resource_version: of the Function; of a version that is only known by its
            ControllerRevision that of the latter.
    """

    TABLE: ClassVar[Table] = Table(
        name="function_versions", key=("function_uid", "version"), uid="function_uid", is_part=True
    )

    function_uid: UUID
    version: str
    cluster: First[UUID]
    tenant: First[str]
    namespace: First[str]
    name: First[str]
    tool_id: str | None
    revision: str | None
    content_sha256: str | None
    code_sha256: str | None
    input_schema: Json
    output_schema: Json
    execution_config: Mapping[str, Any]
    tags: tuple[str, ...]
    category: str | None
    tool_type: str | None
    title: str | None
    description: str | None
    published_by: str | None
    registered_at: datetime
    deprecated: str | None
    resource_version: int
    cleaned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRunRow:
    """The running time of one pod: what its bill is proved from.

    Attributes:
        cpu_millicores, memory_bytes: the reserved limits.
        finished_at, end_source, exit_reason: None while it runs, or while nobody knows
            its end.
        deleted_at: when the pod was found gone before its end was known.
    """

    TABLE: ClassVar[Table] = Table(
        name="pod_runs", key=("pod_uid",), uid="pod_uid", ended="finished_at", is_closed=True
    )

    pod_uid: UUID
    cluster: First[UUID]
    tenant: First[str]
    user_name: First[str]
    namespace: First[str]
    pod_name: First[str]
    owner_name: First[str | None]
    class_name: First[str | None]
    sandbox_uid: First[UUID | None]
    execution_uid: First[UUID | None]
    incarnation: First[int]
    node: Known[str | None]
    cpu_millicores: First[int]
    memory_bytes: First[int]
    sku: First[str]
    started_at: First[datetime]
    finished_at: datetime | None
    end_source: EndSource | None
    exit_reason: str | None
    resource_version: int
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """What PostgreSQL (or the row builder) refused, whole.

    Attributes:
        kind: the object's kind, or "BillingEvent" for a bill that contradicts the ledger.
        sqlstate: None when it was refused before it reached PostgreSQL.
        payload: the whole object as JSON text of ASCII characters only.
        refusals: how often it was refused.
    """

    cluster: UUID
    tenant: str | None
    user_name: str | None
    kind: str
    uid: str
    namespace: str | None
    name: str | None
    resource_version: str | None
    sqlstate: str | None
    constraint_name: str | None
    error: str
    payload: str
    refusals: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """What one pod used at one moment. None is a figure that could not be read.

    Attributes:
        sandbox_uid: the Sandbox; of a one-shot pod the Execution.
        execution_uid: the one that alone ran then.
        cpu_cores: since the sample before; None in a pod's first.
        custom: other figures by name.
    """

    sandbox_uid: UUID
    recorded_at: datetime
    cluster: UUID
    tenant: str
    user_name: str
    pod_uid: UUID | None
    execution_uid: UUID | None
    cpu_seconds_total: Decimal | None
    cpu_cores: Decimal | None
    memory_bytes: int | None
    memory_peak_bytes: int | None
    memory_limit_bytes: int | None
    disk_used_bytes: int | None
    disk_read_bytes: int | None
    disk_write_bytes: int | None
    network_rx_bytes: int | None
    network_tx_bytes: int | None
    network_rx_packets: int | None
    network_tx_packets: int | None
    processes: int | None
    custom: Mapping[str, Any] | None
