"""A Function's status."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from soulbox.model.states import ConditionType, FunctionReason, FunctionState
from soulbox.schema.common import ApiModel, Condition, Message, list_map, pending_conditions

# The current one, those that revisionHistoryLimit keeps, and those that calls still name.
MAX_VERSIONS: Final = 256


class PublishedVersion(ApiModel):
    """One version that can be called."""

    version: Annotated[
        str, Field(min_length=1, max_length=63, description="spec.version, or the number counted.")
    ]
    revision: Annotated[str, Field(max_length=253, description="ControllerRevision that holds it.")]
    published_time: Annotated[
        datetime | None, Field(description="When it was published: its ControllerRevision made.")
    ] = None
    code_sha256: Annotated[
        str | None,
        Field(
            alias="codeSHA256", max_length=64, description="SHA-256 of its code, in hexadecimal."
        ),
    ] = None


class WithdrawnVersion(ApiModel):
    """One version that cannot be called any more."""

    version: Annotated[str, Field(min_length=1, max_length=63, description="Its name.")]
    revision: Annotated[str, Field(max_length=253, description="ControllerRevision that held it.")]
    withdrawn_time: Annotated[datetime | None, Field(description="When it was withdrawn.")] = None


class FunctionStatus(ApiModel):
    """What can be called, written by the operator."""

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
        FunctionState | None,
        Field(description="Ready, Suspended or Error; a summary of conditions."),
    ] = None
    reason: Annotated[
        FunctionReason | None, Field(description="Why it is in this state, in one word.")
    ] = None
    message: Message | None = None
    version: Annotated[
        str | None,
        Field(
            max_length=63,
            description="The current version: it is called where a call names none.",
        ),
    ] = None
    revision: Annotated[
        str | None,
        Field(max_length=253, description="ControllerRevision of the current version."),
    ] = None
    ready_sandboxes: Annotated[
        int | None,
        Field(ge=0, description="How many Sandboxes of its own run, of all its versions."),
    ] = None
    tool_id: Annotated[
        str | None,
        Field(
            alias="toolID",
            max_length=255,
            description="Id of the current version in the registry: tool:namespace/name@version.",
        ),
    ] = None
    versions: Annotated[
        list[PublishedVersion],
        Field(
            default_factory=list,
            max_length=MAX_VERSIONS,
            description="Versions that can be called, the newest first.",
            json_schema_extra=list_map("version"),
        ),
    ]
    withdrawn: Annotated[
        list[WithdrawnVersion],
        Field(
            default_factory=list,
            max_length=64,
            description=(
                "Versions that were withdrawn, the last first. None of their names can be given"
                " to another content; the oldest are left out."
            ),
            json_schema_extra=list_map("version"),
        ),
    ]
    published: Annotated[
        int | None,
        Field(ge=0, description="How many versions were ever published: the next is counted on."),
    ] = None


STATUS_DEFAULT: Final = {
    "default": {
        "observedGeneration": 0,
        "reason": FunctionReason.PENDING,
        "conditions": pending_conditions(ConditionType.READY, ConditionType.RECONCILING),
    }
}
