"""A kind's CustomResourceDefinition, from its model."""

from typing import Any, Final, NamedTuple

from soulbox.model.keys import GROUP, VERSION
from soulbox.model.kinds import KindInfo
from soulbox.schema.common import ApiModel
from soulbox.schema.structural import structural_schema


class Column(NamedTuple):
    """A column of `kubectl get`; a wide one is shown only with -o wide."""

    name: str
    type: str
    json_path: str
    description: str
    wide: bool = False


class Described(NamedTuple):
    """One of our kinds, with what its CRD is made from."""

    info: KindInfo
    model: type[ApiModel]
    columns: tuple[Column, ...]
    # What --field-selector takes, from Kubernetes 1.31 on; 1.30 leaves it out.
    selectable: tuple[str, ...] = ()


AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", "Time since its creation.")


def build_crd(described: Described) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    info = described.info
    schema = structural_schema(described.model)
    properties = schema["properties"]
    schema["properties"] = {
        "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
        "kind": {"type": "string", "description": info.kind.value},
        "metadata": {"type": "object"},
        **properties,
    }
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": [
            {
                "name": column.name,
                "type": column.type,
                "jsonPath": column.json_path,
                "description": column.description,
                **({"priority": 1} if column.wide else {}),
            }
            for column in described.columns
        ],
    }
    if described.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in described.selectable]
    if "status" in properties:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{info.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "soulbox"},
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": info.kind.value,
                "listKind": f"{info.kind}List",
                "plural": info.plural,
                "singular": info.kind.lower(),
                "shortNames": [info.short_name],
                # Not classes: they are cluster-wide and would appear among one namespace's objects.
                **({"categories": ["soulbox"]} if info.namespaced else {}),
            },
            "scope": "Namespaced" if info.namespaced else "Cluster",
            "versions": [version],
        },
    }
