"""Parts of an Execution's spec: its Sandbox."""

from typing import Annotated

from pydantic import Field

from soulbox.schema.common import DNS_NAME_PATTERN, ApiModel


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
