"""JSON Schema as pydantic writes it to the structural schema that a CRD takes.

Kubernetes wants every reference inlined, no titles, no unions except int-or-string, and bounds
written its own way (https://kubernetes.io/docs/tasks/extend-kubernetes/
custom-resources/custom-resource-definitions/#specifying-a-structural-schema). What cannot be
expressed is an error, never dropped silently.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

# Taken over as they are.
_KEPT: Final = frozenset(
    {
        "default",
        "description",
        "enum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "nullable",
        "pattern",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-validations",
    }
)
_DROPPED: Final = frozenset({"title", "$defs"})


class UnsupportedSchema(TypeError):
    """A model says something that a CRD cannot express; change the model."""


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model, by alias, ready for `openAPIV3Schema`.

    Raises:
        UnsupportedSchema: see the class.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(schema, schema.get("$defs", {}), model.__name__)


def _convert(node: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> dict[str, Any]:
    node = _resolve(node, definitions)
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key in _DROPPED or (key == "default" and value is None):
            continue
        if key == "properties":
            result[key] = {
                name: _convert(child, definitions, f"{path}.{name}")
                for name, child in value.items()
            }
        elif key in ("items", "additionalProperties"):
            result[key] = _convert(value, definitions, f"{path}[]")
        elif key in _KEPT or (key, value) == ("format", "date-time") or _is_quantity(key, node):
            result[key] = value
        else:
            raise UnsupportedSchema(f"{path}: {key} cannot be said in a CRD")
    if "description" in result:  # a docstring's line breaks mean nothing
        result["description"] = " ".join(result["description"].split())
    if result.get("type") == "integer":
        result["format"] = "int64"
    return result


def _is_quantity(key: str, node: Mapping[str, Any]) -> bool:
    """Whether this is the one union a CRD takes."""
    return key == "anyOf" and bool(node.get("x-kubernetes-int-or-string"))


def _resolve(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Inline a reference and drop "or null": in a CRD an absent field says that already. What is
    beside a reference overrides what it points to."""
    merged = dict(node)
    while True:
        choices = merged.get("anyOf", ())
        if "$ref" in merged:
            inner = definitions[merged.pop("$ref").removeprefix("#/$defs/")]
        elif len(choices) == 2 and choices[1] == {"type": "null"}:
            inner = choices[0]
            del merged["anyOf"]
        else:
            return merged
        merged = {**inner, **merged}
