"""Parts of an Execution's spec: its Sandbox."""

from typing import Annotated

from pydantic import Field

from soulbox.schema.common import DNS_NAME_PATTERN, ApiModel


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
