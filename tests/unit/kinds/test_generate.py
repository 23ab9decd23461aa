"""The CRDs that the models make: structural, explained, bounded, committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field

from soulbox.kinds import generate
from soulbox.model.states import (
    ConditionType,
    ExecutionReason,
    ExecutionState,
    FunctionReason,
    FunctionState,
    SandboxState,
)
from soulbox.schema.structural import UnsupportedSchema, structural_schema

ROOT = Path(__file__).parents[3]
CRDS = {one.info.kind: generate.build_crd(one) for one in generate.DESCRIBED}
KINDS = sorted(CRDS)


def _root(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _nodes(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from _nodes(node[key], f"{path}[]")


def test_committed_files_are_what_the_models_make() -> None:
    assert generate.write_files(ROOT, generate.build_files(), check=True) == []


def test_chart_and_install_are_what_their_sources_make() -> None:
    """The CRDs in the chart and in install.yaml are the generated ones, to the field."""
    install = {
        (document["kind"], document["metadata"]["name"]): document
        for document in yaml.safe_load_all((ROOT / "manifests/install.yaml").read_text())
        if document
    }
    for path in (ROOT / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        assert install[crd["kind"], crd["metadata"]["name"]] == crd
    assert next(iter(install)) == ("Namespace", "soulbox-system")


@pytest.mark.slow
def test_check_reports_a_difference_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main([str(tmp_path)]) == 0
    assert generate.main(["--check", str(tmp_path)]) == 0
    changed = tmp_path / "crds/soulbox.dev_sandboxes.yaml"
    changed.write_text("changed")
    capsys.readouterr()

    assert generate.main(["--check", str(tmp_path)]) == 1

    said = capsys.readouterr().out
    assert "crds/soulbox.dev_sandboxes.yaml" in said
    assert "make generate" in said
    assert changed.read_text() == "changed"


def test_wrong_arguments_end_with_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--bogus"]) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_description(kind: str) -> None:
    missing = [
        path
        for path, node in _nodes(_root(kind), kind)
        if not path.endswith((".metadata", "[]")) and not node.get("description")
    ]
    assert missing == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_spec_is_bounded(kind: str) -> None:
    """Without a bound the API server takes the worst case for the cost of CEL."""
    unbounded = []
    for path, node in _nodes(_root(kind)["properties"]["spec"], "spec"):
        match node.get("type"):
            case "string":
                bounded = "maxLength" in node or "enum" in node
            case "array":
                bounded = "maxItems" in node
            case "integer":
                bounded = "maximum" in node or path.endswith("tolerationSeconds")
            case "object" if "additionalProperties" in node:
                bounded = "maxProperties" in node
            case _:
                bounded = True
        if not bounded:
            unbounded.append(path)
    assert unbounded == []


@pytest.mark.parametrize("kind", KINDS)
def test_lists_say_how_they_are_merged(kind: str) -> None:
    for path, node in _nodes(_root(kind), kind):
        if node.get("type") == "array":
            assert node.get("x-kubernetes-list-type") in ("map", "atomic", "set"), path


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_names_problem_and_remedy(kind: str) -> None:
    for path, node in _nodes(_root(kind), kind):
        for rule in node.get("x-kubernetes-validations", ()):
            problem, colon, remedy = rule["message"].partition(": ")
            assert problem, path
            assert colon, f"{path}: {rule['message']} has no remedy"
            assert remedy, path


def test_enums_are_those_of_the_model() -> None:
    status = _root("Execution")["properties"]["status"]["properties"]
    assert status["state"]["enum"] == list(ExecutionState)
    assert status["reason"]["enum"] == list(ExecutionReason)
    assert _root("Sandbox")["properties"]["status"]["properties"]["state"]["enum"] == list(
        SandboxState
    )
    function = _root("Function")["properties"]["status"]["properties"]
    assert function["state"]["enum"] == list(FunctionState)
    assert function["reason"]["enum"] == list(FunctionReason)


@pytest.mark.parametrize(
    ("kind", "want_state", "want_unknown"),
    [
        ("Execution", "Queued", {ConditionType.SUCCEEDED, ConditionType.READY}),
        ("Sandbox", "Created", {ConditionType.READY}),
    ],
)
def test_default_status_is_in_progress_to_kstatus(
    kind: str, want_state: str, want_unknown: set[ConditionType]
) -> None:
    status = _root(kind)["properties"]["status"]["default"]
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert status["observedGeneration"] == 0
    assert status["state"] == want_state
    assert conditions.pop("Reconciling") == "True"
    assert conditions.pop("Finished", "False") == "False"
    assert conditions == dict.fromkeys(want_unknown, "Unknown")


@pytest.mark.parametrize(
    ("kind", "want_columns", "want_short"),
    [
        ("Execution", ["State", "Reason", "Exit", "Duration", "Sandbox", "Age"], "sbe"),
        ("Sandbox", ["State", "Reason", "Class", "CPU", "Memory", "Node", "Age"], "sbx"),
        ("SandboxClass", ["Image", "Language", "Runtime", "Status", "Sandboxes", "Age"], "sbc"),
    ],
)
def test_names_and_columns(kind: str, want_columns: list[str], want_short: str) -> None:
    spec = CRDS[kind]["spec"]
    version = spec["versions"][0]
    columns = version["additionalPrinterColumns"]
    assert [column["name"] for column in columns if "priority" not in column] == want_columns
    assert spec["names"]["shortNames"] == [want_short]
    namespaced = kind != "SandboxClass"
    assert spec["names"].get("categories", []) == (["soulbox"] if namespaced else [])
    assert spec["scope"] == ("Cluster" if kind == "SandboxClass" else "Namespaced")
    assert version["subresources"] == {"status": {}}


@pytest.mark.parametrize("kind", KINDS)
def test_printer_columns_point_to_fields(kind: str) -> None:
    fields = {path for path, _ in _nodes(_root(kind), "")}
    for column in CRDS[kind]["spec"]["versions"][0]["additionalPrinterColumns"]:
        if not column["jsonPath"].startswith(".metadata"):
            assert column["jsonPath"] in fields
    for field in CRDS[kind]["spec"]["versions"][0].get("selectableFields", ()):
        assert field["jsonPath"] in fields


def test_what_a_crd_cannot_say_is_an_error() -> None:
    class Union(BaseModel):
        value: int | str = Field(description="Either.")

    class Exclusive(BaseModel):
        value: Annotated[int, Field(gt=0)] = 1

    for model in (Union, Exclusive):
        with pytest.raises(UnsupportedSchema, match=rf"{model.__name__}\.value"):
            structural_schema(model)


def test_reference_page_lists_every_field() -> None:
    page = generate.build_files()["docs/reference/crds.md"]
    for kind in KINDS:
        for part in ("spec", "status"):
            node = _root(kind)["properties"].get(part)
            for path, _ in _nodes(node, part) if node else ():
                if "." in path and not path.endswith("[]"):
                    assert f"| `{path}` |" in page or f"`{path.replace('[]', '.*')}`" in page
