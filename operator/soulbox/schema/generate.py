"""Writes the CRDs and the reference pages that come from the models. ::

    python -m soulbox.schema.generate [--check] [ROOT]

With --check nothing is written: the exit code is 1 when a file would change. ROOT is the
checkout, by default the folder above `operator/`.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from soulbox.model import kinds
from soulbox.model.keys import GROUP, VERSION
from soulbox.schema import reference
from soulbox.schema.crds import common, execution, sandbox, sandbox_class
from soulbox.schema.manifests import TEMPLATE, kinds_template
from soulbox.schema.structural import structural_schema

COMMAND: Final = "python -m soulbox.schema.generate"


class Column(NamedTuple):
    """A column of `kubectl get`; a wide one is shown only with -o wide."""

    name: str
    type: str
    json_path: str
    description: str
    wide: bool = False


class Described(NamedTuple):
    """One of our kinds, with what its CRD is made from."""

    info: kinds.KindInfo
    model: type[common.ApiModel]
    columns: tuple[Column, ...]
    # What --field-selector takes, from Kubernetes 1.31 on; 1.30 leaves it out.
    selectable: tuple[str, ...] = ()


_AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", "Time since its creation.")
DESCRIBED: Final = (
    Described(
        kinds.SANDBOX_CLASS,
        sandbox_class.SandboxClass,
        columns=(
            Column("Image", "string", ".spec.image", "Image of its sandboxes."),
            Column("Language", "string", ".spec.defaultLanguage", "Language if none is named."),
            Column("Runtime", "string", ".spec.runtimeClassName", "RuntimeClass, if any."),
            Column("Status", "string", ".status.reason", "Ready, or why not."),
            Column("Sandboxes", "integer", ".status.sandboxes", "Sandboxes that name it."),
            _AGE,
        ),
    ),
    Described(
        kinds.SANDBOX,
        sandbox.Sandbox,
        columns=(
            Column("State", "string", ".status.state", "Summary of its conditions."),
            Column("Reason", "string", ".status.reason", "Why it is in this state."),
            Column("Class", "string", ".spec.className", "SandboxClass it is made from."),
            Column("CPU", "string", ".status.resources.cpu", "CPU limit of its pods."),
            Column("Memory", "string", ".status.resources.memory", "Memory limit of its pods."),
            Column("Node", "string", ".status.pod.node", "Node of its pod."),
            _AGE,
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
    ),
    Described(
        kinds.EXECUTION,
        execution.Execution,
        columns=(
            Column("State", "string", ".status.state", "Summary of its conditions."),
            Column("Reason", "string", ".status.reason", "Why it ended."),
            Column("Exit", "integer", ".status.exitCode", "Exit code of the program."),
            Column(
                "Duration", "integer", ".status.durationMilliseconds", "Wall time, milliseconds."
            ),
            Column("Sandbox", "string", ".spec.sandboxRef.name", "Sandbox; empty: its own pod."),
            _AGE,
            Column("Class", "string", ".spec.className", "Class of its own pod.", wide=True),
            Column("Language", "string", ".spec.language", "Language, if named.", wide=True),
            Column("User", "string", ".spec.user", "User it is billed to.", wide=True),
            Column("Node", "string", ".status.receipt.node", "Node it ran on.", wide=True),
            Column(
                "Timeout", "integer", ".status.timeoutSeconds", "Wall time it has, s.", wide=True
            ),
        ),
        selectable=(
            ".status.state",
            ".status.reason",
            ".spec.sandboxRef.name",
            ".spec.className",
            ".spec.user",
        ),
    ),
)


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


def build_files() -> dict[str, str]:
    """Every generated file: path below the checkout to content."""
    crds = {described.info.plural: build_crd(described) for described in DESCRIBED}
    files = {
        f"crds/{GROUP}_{plural}.yaml": f"# Generated by {COMMAND}; edits are lost.\n{_yaml(crd)}"
        for plural, crd in crds.items()
    }
    files[TEMPLATE] = kinds_template(COMMAND)
    files["docs/reference/crds.md"] = reference.crds_page(list(crds.values()), COMMAND)
    files["docs/reference/configuration.md"] = reference.configuration_page(COMMAND)
    return files


def main(arguments: list[str]) -> int:
    """Write or compare; the exit code."""
    check = "--check" in arguments
    roots = [argument for argument in arguments if not argument.startswith("-")]
    if len(roots) > 1 or set(arguments) - {"--check", *roots}:
        print(f"usage: {COMMAND} [--check] [ROOT]", file=sys.stderr)
        return 2
    root = Path(roots[0]) if roots else Path(__file__).parents[3]
    stale = write_files(root, build_files(), check=check)
    for path in stale:
        print(f"{path}: {'is not what the models say; run make generate' if check else 'written'}")
    return 1 if check and stale else 0


def write_files(root: Path, files: Mapping[str, str], *, check: bool) -> list[str]:
    """Paths whose content differed; they are written unless `check`."""
    stale = []
    for path, content in files.items():
        target = root / path
        if target.is_file() and target.read_text() == content:
            continue
        stale.append(path)
        if not check:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
    return stale


class _Dumper(yaml.SafeDumper):
    """Enums as their text; no anchors, which kubectl reads but people do not."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


_Dumper.add_multi_representer(str, lambda dumper, data: dumper.represent_str(str(data)))


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
