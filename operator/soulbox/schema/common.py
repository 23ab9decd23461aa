"""Parts that several kinds share: the base model, CEL helpers, quantities, conditions."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from soulbox.model.states import NO_TRANSITION, ConditionType

# A week: the longest that any class can allow.
MAX_TIMEOUT_SECONDS: Final = 604_800
# A year.
MAX_LIFETIME_SECONDS: Final = 31_536_000
# The runner itself takes up to 10 MiB of its pod's memory.
MIN_MEMORY: Final = "16Mi"
MIN_CPU: Final = "10m"
MIN_DISK: Final = "1Mi"
MAX_ENV: Final = 64
# Linux takes at most 128 KiB for one argument or variable (MAX_ARG_STRLEN).
MAX_ENV_VALUE: Final = 32_768

QUANTITY_PATTERN: Final = (
    r"^([0-9]+\.?[0-9]*|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]{1,2}))?$"
)
DNS_NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
ENV_NAME: Final = re.compile("[-._a-zA-Z][-._a-zA-Z0-9]*")
PROFILE_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
LANGUAGE_PATTERN: Final = r"^[a-z][a-z0-9+.#-]*$"


class ApiModel(BaseModel):
    """snake_case inside, camelCase outside; unknown fields are dropped, as the API server
    prunes them; types are taken as they are ("5" is not a number)."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        strict=True,
    )


def cel(
    rule: str, message: str, *, field_path: str | None = None, words: str | None = None
) -> dict[str, str]:
    """One entry of `x-kubernetes-validations`.

    Args:
        rule: CEL over `self` (and `oldSelf`: then it is evaluated on updates only).
        message: names the field, the problem and the remedy.
        field_path: relative to the place of the rule, for machine-readable causes.
        words: CEL that gives the message with the value in it.
    """
    entry = {"rule": rule, "message": message}
    if words is not None:
        entry["messageExpression"] = words
    if field_path is not None:
        entry["fieldPath"] = field_path
    return entry


def immutable(field: str, remedy: str) -> dict[str, str]:
    """A rule for the parent of `field`: adding, removing and changing are all refused.

    It must be on the parent: a rule on an optional field itself is not evaluated when the field
    appears or disappears.
    """
    return cel(
        same_value(field),
        f"spec.{field} cannot be changed after creation: {remedy}",
        field_path=f".{field}",
    )


def all_immutable(fields: Sequence[str], changeable: Sequence[str], remedy: str) -> dict[str, str]:
    """`immutable` for many fields in one rule, which names the first that differs.

    For objects whose status is written often: rules about spec are evaluated then too, and each
    access to a field costs the API server a map of all fields. So a single comparison tells an
    untouched spec from a changed one.
    """
    rule = " && ".join(f"({same_value(field)})" for field in fields)
    *others, last = fields
    named = "".join(f"!({same_value(field)}) ? '{field}' : " for field in others)
    entry = cel(
        f"self == oldSelf || ({rule})",
        f"spec can be changed after creation in {' and '.join(changeable)} only: {remedy}",
    )
    entry["messageExpression"] = (
        f"'spec.' + ({named}'{last}') + ' cannot be changed after creation: {remedy}'"
    )
    return entry


def same_value(field: str, within: str = "") -> str:
    """CEL: `field` of `self` is set as it is in `oldSelf`, or is in neither.

    Args:
        within: the path to what has the field, with its dot ("spec.").
    """
    now, before = f"self.{within}{field}", f"oldSelf.{within}{field}"
    return f"has({now}) == has({before}) && (!has({now}) || {now} == {before})"


def validations(*entries: Mapping[str, str]) -> dict[str, Any]:
    """`json_schema_extra` holding CEL rules."""
    return {"x-kubernetes-validations": [dict(entry) for entry in entries]}


# A field that holds any JSON, null too, as it was given.
ANY_JSON: Final[dict[str, Any]] = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}


def list_map(*keys: str) -> dict[str, Any]:
    """A list merged by key: duplicates are refused, server-side apply merges by entry."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


# Users' names appear in bills, and bills in spreadsheets, which read anything that begins with = +
# - @ (and their full-width forms) as a formula.
USER: Final = re.compile(
    r"[^\x00-\x20\x7f-\xa0=+@＝＋－＠-]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0])?"
)
USER_RULES: Final = validations(
    cel(
        f"self.matches(r'^{USER.pattern}$')",
        "spec.user is not a name that a bill can show: it begins with =, +, - or @, begins or ends"
        " with a blank, or holds a control character; correct it",
    )
)

ATOMIC: Final[dict[str, Any]] = {"x-kubernetes-list-type": "atomic"}


def _quantity(minimum: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            "x-kubernetes-validations": [
                cel(
                    "isQuantity(string(self))",
                    "this is not a quantity: write it as 256Mi or 1Gi (not MiB, mi or GB)",
                    words="string(self) + ' is not a quantity: write it as 256Mi or 1Gi"
                    " (not MiB, mi or GB)'",
                ),
                cel(
                    "!isQuantity(string(self)) ||"
                    f" quantity(string(self)).compareTo(quantity('{minimum}')) >= 0",
                    f"the quantity is below {minimum}, too little for a sandbox to start:"
                    f" ask for {minimum} or more",
                    words=f"string(self) + ' is below {minimum}, too little for a sandbox to"
                    f" start: ask for {minimum} or more'",
                ),
            ],
        }
    )


# int-or-string accepts no fraction, but people write `cpu: 0.5` without quotes and pods accept it.
# A schema without a type accepts any value: objects and lists are kept out by bounds that none can
# meet. CEL cannot see such a field, so the minimum of a text is checked by the
# ValidatingAdmissionPolicy soulbox-quantities, and by the operator.
_CPU_SCHEMA: Final = {
    "x-kubernetes-preserve-unknown-fields": True,
    "pattern": QUANTITY_PATTERN,
    "maxLength": 32,
    "minimum": 0.01,
    "minItems": 1,
    "maxItems": 0,
    "minProperties": 1,
    "maxProperties": 0,
}

Cpu = Annotated[int | float | str, WithJsonSchema(_CPU_SCHEMA)]
Memory = Annotated[int | float | str, _quantity(MIN_MEMORY)]
Disk = Annotated[int | float | str, _quantity(MIN_DISK)]


class EnvVar(ApiModel):
    """One environment variable."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=256,
            description=("Name: letters, digits, '_', '-' and '.', not starting with a digit."),
            json_schema_extra=validations(
                cel(
                    f"self.matches('^{ENV_NAME.pattern}$')",
                    "env name is not legal: use letters, digits, '_', '-' and '.',"
                    " and do not start with a digit",
                )
            ),
        ),
    ]
    value: Annotated[
        str,
        Field(
            max_length=MAX_ENV_VALUE,
            description="Value, taken as it is (no $(VAR) expansion). Default: empty.",
            json_schema_extra=validations(
                cel(
                    r"!self.contains('\u0000')",
                    "env value holds a NUL character, which no program can be given: remove it",
                )
            ),
        ),
    ] = ""


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


class ValueFrom(ApiModel):
    """Where the value of a variable comes from. It is read when a program starts; no pod holds
    it."""

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


class SourcedEnvVar(EnvVar):
    """One environment variable."""

    value_from: Annotated[
        ValueFrom | None,
        Field(
            description="Where its value comes from, instead of value.",
            json_schema_extra=validations(
                cel(
                    "has(self.configMapKeyRef) != has(self.secretKeyRef)",
                    "env valueFrom needs exactly one of configMapKeyRef and secretKeyRef:"
                    " set one and remove the other",
                )
            ),
        ),
    ] = None


SOURCED_ENV: Final = {
    **list_map("name"),
    **validations(
        cel(
            "self.all(e, !has(e.valueFrom) || !has(e.value) || e.value == '')",
            "spec.env has an entry with both value and valueFrom: remove one",
        )
    ),
}


class Resources(ApiModel):
    """What a pod may use; fields that are left out come from the class's defaults."""

    cpu: Annotated[
        Cpu | None,
        Field(description="CPU limit, in cores: 500m is half a core. At most the class's max.cpu."),
    ] = None
    memory: Annotated[
        Memory | None,
        Field(description="Memory limit, such as 512Mi. At most the class's max.memory."),
    ] = None
    disk: Annotated[
        Disk | None,
        Field(description="Size of the workspace, such as 2Gi. At most the class's max.disk."),
    ] = None


class ConditionStatus(StrEnum):
    """Kubernetes' three answers."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One condition, after the kstatus conventions."""

    type: Annotated[
        ConditionType,
        Field(
            description=(
                "Ready: usable or done. Reconciling: the operator is still working on it. Stalled:"
                " it cannot get further by itself. Executions only: Finished: it is over, whatever"
                " the outcome; Succeeded: the program ended with exit code 0; ResultJudged, False:"
                " whether its result matches outputSchema is not known."
            )
        ),
    ]
    status: Annotated[ConditionStatus, Field(description="True, False or Unknown.")]
    observed_generation: Annotated[
        int | None,
        Field(ge=0, description="metadata.generation that this condition was derived from."),
    ] = None
    last_transition_time: Annotated[
        datetime, Field(description="When status last changed from one value to another.")
    ]
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern="^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$",
            description="One word, for programs to read, from the list in the reference.",
        ),
    ]
    message: Annotated[
        str,
        Field(
            max_length=32768,
            description=(
                "For people: what happened and what to do about it; empty if another condition"
                " says it."
            ),
        ),
    ]


class LimitTexts(ApiModel):
    """Limits that a pod actually had."""

    cpu: Annotated[str | None, Field(max_length=32, description="CPU limit, as '250m'.")] = None
    memory: Annotated[str | None, Field(max_length=32, description="Memory limit, as '256Mi'.")] = (
        None
    )
    disk: Annotated[
        str | None, Field(max_length=32, description="Limit of the workspace, as '1Gi'.")
    ] = None
    pids: Annotated[
        int | None, Field(ge=0, description="Most processes and threads of one run.")
    ] = None


Message = Annotated[
    str,
    Field(max_length=32768, description="For people: what happened and what to do about it."),
]

PullPolicy = Literal["Always", "IfNotPresent", "Never"]


def pending_conditions(*types: ConditionType) -> list[dict[str, str]]:
    """Conditions of an object that no operator has looked at yet.

    They are the CRD's default, so that a fresh object never looks healthy too early, at the cost of
    no write. A default cannot say "now": the epoch stands for "not yet".
    """
    known = {ConditionType.RECONCILING: "True", ConditionType.FINISHED: "False"}
    return [
        {
            "type": condition_type,
            "status": known.get(condition_type, "Unknown"),
            "reason": "Pending",
            "message": "The operator has not looked at this yet.",
            "lastTransitionTime": NO_TRANSITION,
        }
        for condition_type in types
    ]
