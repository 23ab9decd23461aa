"""Sandbox: a pod that stays, in which Executions run. Namespaced."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from soulbox.model.kinds import SANDBOX
from soulbox.model.specs import DEFAULT_CLASS
from soulbox.model.states import ConditionType, SandboxReason, SandboxState
from soulbox.schema.common import (
    DNS_NAME_PATTERN,
    MAX_ENV,
    MAX_LIFETIME_SECONDS,
    MAX_TIMEOUT_SECONDS,
    PROFILE_PATTERN,
    SOURCED_ENV,
    USER_RULES,
    ApiModel,
    Condition,
    Disk,
    LimitTexts,
    Message,
    Resources,
    SourcedEnvVar,
    cel,
    immutable,
    list_map,
    pending_conditions,
    validations,
)
from soulbox.schema.crd import AGE, Column, Described


class Workspace(ApiModel):
    """Whether the workspace outlives the Sandbox's pods."""

    persistent: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "true: /workspace is on a PersistentVolumeClaim of the Sandbox's own; it stays"
                " when the pod is replaced or the Sandbox suspended, and is deleted with the"
                " Sandbox."
            ),
        ),
    ]
    size: Annotated[
        Disk | None,
        Field(description="Size of the claim, such as 5Gi. Default: resources.disk."),
    ] = None
    storage_class_name: Annotated[
        str | None,
        Field(
            max_length=253,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$",
            description=(
                "StorageClass of the claim; the empty string means a volume made by hand. Default:"
                " the cluster's."
            ),
        ),
    ] = None


class SandboxSpec(ApiModel):
    """What the Sandbox should be."""

    class_name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=DNS_NAME_PATTERN,
            description="SandboxClass it is made from. Cannot be changed.",
        ),
    ] = DEFAULT_CLASS
    resources: Annotated[
        Resources,
        Field(
            default_factory=Resources,
            description=(
                "What its pod may use. Can be changed while it is suspended, for its next pod."
            ),
        ),
    ]
    env: Annotated[
        list[SourcedEnvVar],
        Field(
            default_factory=list,
            max_length=MAX_ENV,
            description="Environment of every program run in it. Cannot be changed.",
            json_schema_extra=SOURCED_ENV,
        ),
    ]
    lifetime_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_LIFETIME_SECONDS,
            description=(
                "It becomes Terminated this many seconds after its first start. Default and"
                " maximum: the class's max.lifetimeSeconds."
            ),
        ),
    ] = None
    idle_timeout_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_LIFETIME_SECONDS,
            description=(
                "It becomes Terminated when no Execution has run or waited in it for this many"
                " seconds. Default: it may be idle as long as it lives."
            ),
        ),
    ] = None
    suspend: Annotated[
        bool,
        Field(
            default_factory=lambda: False,
            description=(
                "true: running Executions end, new ones wait, then its pod is deleted and nothing"
                " is billed. false brings it back, with a new pod. Its lifetime keeps running"
                " meanwhile."
            ),
        ),
    ]
    workspace: Annotated[
        Workspace | None,
        Field(
            description="Whether its files outlive its pods; default: they do not. Cannot be"
            " changed."
        ),
    ] = None
    network: Annotated[
        str,
        Field(
            min_length=1,
            max_length=40,
            pattern=PROFILE_PATTERN,
            description=(
                "Network profile of the class: what its programs may reach. none: nothing except,"
                " on most clusters, ports of its own node. Cannot be changed."
            ),
        ),
    ] = "none"
    default_timeout_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_TIMEOUT_SECONDS,
            description=(
                "Time-out in seconds of its Executions that set no timeoutSeconds. Default: the"
                " class's."
            ),
        ),
    ] = None
    max_concurrent_executions: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description=(
                "How many Executions may run in it at once. Above 1 they share memory, files and a"
                " user id, so they must trust each other."
            ),
        ),
    ] = 1
    user: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            description=(
                "User it is billed to: yourself, or any user if you have the verb billto on"
                " sandboxes. Cannot be changed."
            ),
            json_schema_extra=USER_RULES,
        ),
    ] = None


class SandboxPod(ApiModel):
    """The pod of the current incarnation."""

    name: Annotated[str | None, Field(max_length=253, description="Name of the pod.")] = None
    uid: Annotated[str | None, Field(max_length=64, description="UID of the pod.")] = None
    node: Annotated[str | None, Field(max_length=253, description="Node it runs on.")] = None
    ip: Annotated[str | None, Field(max_length=64, description="Address of the pod.")] = None
    image_id: Annotated[
        str | None,
        Field(alias="imageID", max_length=1024, description="Image with its digest, as pulled."),
    ] = None
    runtime_class: Annotated[
        str | None,
        Field(max_length=253, description="RuntimeClass it runs under; absent for the default."),
    ] = None
    start_time: Annotated[
        datetime | None,
        Field(
            description="When its container started, by the kubelet's clock; billing starts here."
        ),
    ] = None
    finish_time: Annotated[
        datetime | None,
        Field(description="When its container ended, by the kubelet's clock; billing ends here."),
    ] = None
    lost_time: Annotated[
        datetime | None,
        Field(
            description=(
                "Where billing ends for a pod whose end was not observed: its node's last sign of"
                " life."
            )
        ),
    ] = None


class ExecutionCounts(ApiModel):
    """How many Executions name this Sandbox, by outcome."""

    queued: Annotated[int, Field(ge=0, description="Waiting for their turn.")] = 0
    running: Annotated[int, Field(ge=0, description="Running now.")] = 0
    completed: Annotated[int, Field(ge=0, description="Ended with exit code 0.")] = 0
    failed: Annotated[int, Field(ge=0, description="Ended in any other way.")] = 0


class SandboxStatus(ApiModel):
    """What it is doing, written by the operator."""

    observed_generation: Annotated[
        int | None, Field(ge=0, description="metadata.generation that this status was made from.")
    ] = None
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=8,
            description="Ready, Reconciling and Stalled, after the kstatus conventions.",
            json_schema_extra=list_map("type"),
        ),
    ]
    state: Annotated[
        SandboxState | None,
        Field(
            description=(
                "Created, Starting, Running, Stopped, Error or Terminated; a summary of conditions."
            )
        ),
    ] = None
    reason: Annotated[
        SandboxReason | None, Field(description="Why it is in this state, in one word.")
    ] = None
    message: Message | None = None
    incarnation: Annotated[
        int | None, Field(ge=0, description="How many pods it has had, including the current one.")
    ] = None
    pod: Annotated[SandboxPod | None, Field(description="The pod of the current incarnation.")] = (
        None
    )
    resources: Annotated[
        LimitTexts | None,
        Field(
            description="Limits that its pods get: what it asks for, or else the class's defaults."
        ),
    ] = None
    start_time: Annotated[datetime | None, Field(description="When its first pod was running.")] = (
        None
    )
    last_activity_time: Annotated[
        datetime | None,
        Field(description="When an Execution last started or ended in it; at most 30 s behind."),
    ] = None
    expiration_time: Annotated[
        datetime | None, Field(description="When it will be Terminated at the latest.")
    ] = None
    termination_time: Annotated[datetime | None, Field(description="When it was Terminated.")] = (
        None
    )
    executions: Annotated[
        ExecutionCounts | None,
        Field(description="Counts of the Executions that name it; at most 30 s behind."),
    ] = None
    runtime_seconds: Annotated[
        int | None,
        Field(
            ge=0,
            description=(
                "Seconds that its ended pods ran; those of the current one count from"
                " pod.startTime."
            ),
        ),
    ] = None


_REMEDY = "delete the Sandbox and create it again, or create another"
SPEC_RULES = validations(
    *(immutable(field, _REMEDY) for field in ("className", "env", "user", "workspace", "network")),
    cel(
        "(has(self.suspend) && self.suspend && has(oldSelf.suspend) && oldSelf.suspend)"
        " || (has(self.resources) == has(oldSelf.resources)"
        " && (!has(self.resources) || self.resources == oldSelf.resources))",
        "spec.resources cannot be changed while the Sandbox may have a pod: set suspend to true,"
        " change the resources, then set suspend to false",
        field_path=".resources",
    ),
)
STATUS_DEFAULT = {
    "default": {
        "observedGeneration": 0,
        "state": SandboxState.CREATED,
        "reason": SandboxReason.PENDING,
        "conditions": pending_conditions(ConditionType.READY, ConditionType.RECONCILING),
    }
}


class Sandbox(ApiModel):
    """A Sandbox is a pod of its own that stays, with a workspace, in which Executions run: one
    at a time, or as many as spec.maxConcurrentExecutions allows. When its time is over it becomes
    Terminated; the object stays until somebody deletes it."""

    spec: Annotated[
        SandboxSpec,
        Field(
            default_factory=SandboxSpec,
            description="What the Sandbox should be.",
            json_schema_extra={**SPEC_RULES, "default": {}},
        ),
    ]
    status: Annotated[
        SandboxStatus | None,
        Field(
            description="What it is doing, written by the operator.",
            json_schema_extra=STATUS_DEFAULT,
        ),
    ] = None


DESCRIBED: Final = Described(
    SANDBOX,
    Sandbox,
    columns=(
        Column("State", "string", ".status.state", "Summary of its conditions."),
        Column("Reason", "string", ".status.reason", "Why it is in this state."),
        Column("Class", "string", ".spec.className", "SandboxClass it is made from."),
        Column("CPU", "string", ".status.resources.cpu", "CPU limit of its pods."),
        Column("Memory", "string", ".status.resources.memory", "Memory limit of its pods."),
        Column("Node", "string", ".status.pod.node", "Node of its pod."),
        AGE,
        Column("Pod", "string", ".status.pod.name", "Its pod.", wide=True),
        Column("User", "string", ".spec.user", "User it is billed to.", wide=True),
        Column("Network", "string", ".spec.network", "Its network profile.", wide=True),
        Column(
            # Not as a date: kubectl shows dates as ages, and cannot show a future one.
            "Expires",
            "string",
            ".status.expirationTime",
            "When it will be Terminated at the latest.",
            wide=True,
        ),
    ),
    selectable=(".status.state", ".status.reason", ".spec.className", ".spec.user"),
)
