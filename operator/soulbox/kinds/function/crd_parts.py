"""Parts of a Function's spec: its schemas, what the registry of tools says of it, its scale."""

import re
from typing import Annotated, Any, Final

from pydantic import Field, WithJsonSchema

from soulbox.schema.common import ApiModel, cel, validations

MAX_TAGS: Final = 16
MAX_WORD: Final = 63
# A word of a registry: letters of any script, digits, and what joins them.
_NOT_A_WORD: Final = (
    "begins or ends with a blank, or holds a control character or a line break: correct it"
)
WORD: Final = re.compile(r"[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?", re.ASCII)


def _word(field: str) -> dict[str, Any]:
    return validations(cel(f"self.matches(r'^{WORD.pattern}$')", f"{field} {_NOT_A_WORD}"))


_ANY_FIELDS: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
# What a JSON Schema says of itself is not looked into here: the judge does.
AnySchema = Annotated[dict[str, Any], WithJsonSchema(_ANY_FIELDS)]
InputSchema = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            **_ANY_FIELDS,
            "properties": {
                "type": {
                    "type": "string",
                    "maxLength": 32,
                    "description": "object: an input has fields.",
                }
            },
        }
    ),
]
INPUT_SCHEMA_RULES: Final = validations(
    cel(
        "has(self.type) && self.type == 'object'",
        "spec.inputSchema describes no object: an input has fields, so set its type to object",
    )
)
Hints = Annotated[dict[str, Any], WithJsonSchema({**_ANY_FIELDS, "maxProperties": 16})]


class ToolEntry(ApiModel):
    """What the registry of tools says of the Function."""

    title: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            description="Name for people, such as Resize an image.",
            json_schema_extra=_word("spec.tool.title"),
        ),
    ] = None
    category: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_WORD,
            description="One word that tools are listed by, such as media.",
            json_schema_extra=_word("spec.tool.category"),
        ),
    ] = None
    tags: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_WORD)]],
        Field(
            default_factory=list,
            max_length=MAX_TAGS,
            description="Words that it is found by; each once.",
            json_schema_extra={
                "x-kubernetes-list-type": "set",
                **validations(
                    cel(
                        f"self.all(tag, tag.matches(r'^{WORD.pattern}$'))",
                        f"spec.tool.tags has an entry that {_NOT_A_WORD}",
                    )
                ),
            },
        ),
    ]
    type: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_WORD,
            description="What kind of tool it is, in a word of your own, such as code.",
            json_schema_extra=_word("spec.tool.type"),
        ),
    ] = None
    annotations: Annotated[
        Hints | None,
        Field(
            description=(
                "MCP's hints to clients, passed on as they are: readOnlyHint, destructiveHint,"
                " idempotentHint, openWorldHint. They change nothing about how it runs."
            )
        ),
    ] = None


class ScaleBounds(ApiModel):
    """How many Sandboxes of its own it has, and how many calls run at once in each."""

    min: Annotated[
        int,
        Field(ge=0, le=100, description="Sandboxes that are kept though nobody calls."),
    ] = 0
    max: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description=(
                "Most Sandboxes at once, of all versions; further calls wait. While one version"
                " replaces another there may be one more. 0: each call has a pod of its own,"
                " which nothing of an earlier call can have touched, and starts slower."
            ),
        ),
    ] = 1
    idle_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=86_400,
            description="A Sandbox that was not called for so many seconds ends.",
        ),
    ] = 300
    concurrency: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description=(
                "Calls that may run at once in one Sandbox. Above 1 they share memory, files and a"
                " user id, so they must trust each other."
            ),
        ),
    ] = 1


SCALE_RULES: Final = validations(
    cel(
        # Both are set by then; of the default the API server judges this before they are.
        "!has(self.min) || !has(self.max) || self.min <= self.max",
        "spec.scale.min is above spec.scale.max: lower min, or raise max",
    )
)
