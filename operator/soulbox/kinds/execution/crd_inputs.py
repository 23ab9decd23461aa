"""Parts of an Execution's spec: its Function or Sandbox, and what started it."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from soulbox.schema.common import DNS_NAME_PATTERN, ApiModel

# A CloudEvent's id is any text; an Idempotency-Key and "epoch.xid8.seq" are short. A guess.
MAX_EVENT_ID: Final = 1024


class FunctionRef(ApiModel):
    """A Function of the same namespace."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            pattern=DNS_NAME_PATTERN,
            description="Name of the Function.",
        ),
    ]
    version: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=63,
            description="One of its published versions. Default: the current one.",
        ),
    ] = None


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


class Cause(ApiModel):
    """What started an Execution, where that was no person: written by SoulBox."""

    kind: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            pattern=r"^[A-Z][A-Za-z0-9]*$",
            description="Kind of the object that started it, such as Trigger.",
        ),
    ]
    name: Annotated[
        str,
        Field(min_length=1, max_length=253, pattern=DNS_NAME_PATTERN, description="Its name."),
    ]
    uid: Annotated[
        str,
        Field(
            max_length=36,
            pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
            description="Its uid.",
        ),
    ]
    event_id: Annotated[
        str | None,
        Field(
            alias="eventID",
            min_length=1,
            max_length=MAX_EVENT_ID,
            description="Id of the event or request that this was started for.",
        ),
    ] = None
    scheduled_time: Annotated[
        datetime | None,
        Field(
            strict=False,
            description="Moment of its schedule that this was started for.",
            json_schema_extra={"maxLength": 64},
        ),
    ] = None
    attempt: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000,
            description="Which start for that event or moment this is, counted from 1. Default: 1.",
        ),
    ] = None
