"""The CRDs on a real API server: applied, defaulted, explained, printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from soulbox.kinds import generate
from soulbox.kinds.execution.spec import parse_execution
from soulbox.kinds.function.spec import parse_function
from soulbox.kinds.sandbox.spec import parse_sandbox
from soulbox.kinds.sandbox_class.spec import parse_sandbox_class
from tests.support.builders import (
    make_execution,
    make_function,
    make_sandbox,
    make_sandbox_class,
)
from tests.support.fix_kube import ROOT, Kubectl, KubectlError

pytestmark = pytest.mark.api

DRY_RUN = "--dry-run=server"
FOLDER = ROOT / "examples"
EXAMPLES = sorted((*FOLDER.glob("*.yaml"), *FOLDER.glob("functions/*.yaml")))
RESOURCES = {described.info.plural: described for described in generate.DESCRIBED}


@pytest.mark.parametrize("path", sorted((ROOT / "crds").glob("*.yaml")), ids=lambda p: p.stem)
def test_crd_is_taken_and_established(path: Path, kubectl: Kubectl) -> None:
    """The API server estimates what each CEL rule can cost and refuses what is too dear."""
    crd = kubectl.server_apply(
        yaml.safe_load(path.read_text()), DRY_RUN, "--force-conflicts", "--field-manager=test"
    )
    conditions = {each["type"]: each["status"] for each in crd["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_taken(path: Path, kubectl: Kubectl, namespace: str) -> None:
    kubectl.run("apply", "--namespace", namespace, DRY_RUN, "--filename", str(path))
    kubectl.run(
        "apply", "--server-side", "--namespace", namespace, DRY_RUN, "--filename", str(path)
    )


def test_there_are_five_examples_or_more() -> None:
    assert len(EXAMPLES) >= 5
    for path in EXAMPLES:
        head = path.read_text().split("apiVersion:")[0]
        assert "Look at:" in head
        assert f"kubectl apply -f examples/{path.relative_to(FOLDER)}" in head


def test_install_is_taken(kubectl: Kubectl) -> None:
    kubectl.run(
        "apply", "--server-side", "--force-conflicts", DRY_RUN,
        "--filename", str(ROOT / "manifests/install.yaml"),
    )  # fmt: skip


def test_status_default_is_in_progress(kubectl: Kubectl) -> None:
    """Before any operator has looked: not green, and no write was needed for it."""
    execution = kubectl.create(make_execution(), DRY_RUN)["status"]
    assert (execution["state"], execution["observedGeneration"]) == ("Queued", 0)
    assert _conditions(execution) == {
        "Finished": "False",
        "Succeeded": "Unknown",
        "Ready": "Unknown",
        "Reconciling": "True",
    }
    sandbox = kubectl.create(make_sandbox(), DRY_RUN)["status"]
    assert (sandbox["state"], sandbox["observedGeneration"]) == ("Created", 0)
    assert _conditions(sandbox) == {"Ready": "Unknown", "Reconciling": "True"}
    function = kubectl.create(make_function(), DRY_RUN)["status"]
    assert (function["reason"], function["observedGeneration"]) == ("Pending", 0)
    assert _conditions(function) == {"Ready": "Unknown", "Reconciling": "True"}


def test_status_cannot_be_given_at_creation(kubectl: Kubectl) -> None:
    manifest = make_execution() | {"status": {"state": "Completed", "exitCode": 0}}
    status = kubectl.create(manifest, DRY_RUN)["status"]
    assert status["state"] == "Queued"
    assert "exitCode" not in status


def test_defaults_of_the_api_server_are_those_of_the_parser(kubectl: Kubectl) -> None:
    """An object means the same whether its defaults were stored or not."""
    for manifest, parse in (
        (make_sandbox_class("some-class"), parse_sandbox_class),
        (make_sandbox(className=None), parse_sandbox),
        (make_execution(), parse_execution),
        (make_function(), parse_function),
    ):
        stored = kubectl.create(manifest, DRY_RUN)
        assert parse(stored) == parse(manifest)


def test_sandbox_may_come_without_a_spec(kubectl: Kubectl) -> None:
    manifest = make_sandbox()
    del manifest["spec"]
    assert kubectl.create(manifest, DRY_RUN)["spec"] == {
        "className": "python",
        "maxConcurrentExecutions": 1,
        "network": "none",
    }


def test_unknown_fields_are_pruned(kubectl: Kubectl) -> None:
    manifest = make_sandbox(volumes=[{"hostPath": {"path": "/"}}], privileged=True)
    stored = kubectl.create(manifest, DRY_RUN, "--validate=false")
    assert stored["spec"].keys() == {"className", "maxConcurrentExecutions", "network"}


def test_full_status_is_taken_whole(kubectl: Kubectl, namespace: str) -> None:
    """Everything an operator may write survives pruning."""
    kubectl.create(make_execution("run", namespace, sandboxRef={"name": "none"}))
    kubectl.create(make_sandbox("box", namespace, className="none"))
    kubectl.create(make_function("add", namespace, className="none"))
    for plural, name in (("executions", "run"), ("sandboxes", "box"), ("functions", "add")):
        status = _example_of(_schema(plural)["properties"]["status"])
        stored = kubectl.merge_patch(
            plural, name, namespace, {"status": status}, "--subresource=status", DRY_RUN
        )
        assert stored["status"] == status


@pytest.mark.parametrize(
    "status",
    [{"state": "Happy"}, {"exitCode": 256}, {"reason": "Because"}, {"timeoutSeconds": -1}],
    ids=repr,
)
def test_status_outside_the_closed_sets_is_refused(
    status: dict[str, Any], kubectl: Kubectl, namespace: str
) -> None:
    kubectl.create(make_execution("run", namespace, sandboxRef={"name": "none"}))
    with pytest.raises(KubectlError, match="status"):
        kubectl.merge_patch(
            "executions", "run", namespace, {"status": status}, "--subresource=status", DRY_RUN
        )


def test_server_side_apply_merges_variables_by_name(kubectl: Kubectl, namespace: str) -> None:
    manifest = make_sandbox_class(f"class-{namespace}", env=[{"name": "A", "value": "1"}])
    try:
        kubectl.server_apply(manifest, "--field-manager=one")
        other = {**manifest, "spec": {"env": [{"name": "B", "value": "2"}]}}
        merged = kubectl.server_apply(other, "--field-manager=two")
        assert [each["name"] for each in merged["spec"]["env"]] == ["A", "B"]
        again = kubectl.server_apply(manifest, "--field-manager=one")
        assert again["metadata"]["generation"] == merged["metadata"]["generation"]
    finally:
        kubectl.run("delete", "sandboxclass", manifest["metadata"]["name"])


@pytest.mark.parametrize("plural", sorted(RESOURCES))
def test_explain_describes_every_field(plural: str, kubectl: Kubectl) -> None:
    """kubectl explain reads what the API server publishes, not our file."""
    root = json.loads(kubectl.run("get", "--raw", "/openapi/v3/apis/soulbox.dev/v1alpha1"))
    kind = RESOURCES[plural].info.kind
    schema = root["components"]["schemas"][f"dev.soulbox.v1alpha1.{kind}"]
    missing = [
        path
        for part in ("spec", "status")
        if part in schema["properties"]
        for path in _undescribed(schema["properties"][part], part)
    ]
    assert missing == []
    explained = kubectl.run("explain", f"{plural}.spec")
    for name in schema["properties"]["spec"]["properties"]:
        assert name in explained
    assert "<no description>" not in kubectl.run("explain", plural, "--recursive=false")


@pytest.mark.parametrize(
    ("resource", "want"),
    [
        ("sbe", ["NAME", "STATE", "REASON", "EXIT", "DURATION", "SANDBOX", "AGE"]),
        ("sbx", ["NAME", "STATE", "REASON", "CLASS", "CPU", "MEMORY", "NODE", "AGE"]),
        ("sbf", ["NAME", "STATE", "REASON", "VERSION", "SANDBOXES", "CLASS", "AGE"]),
    ],
)
def test_columns(resource: str, want: list[str], kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(make_execution("run", namespace, sandboxRef={"name": "none"}))
    kubectl.create(make_sandbox("box", namespace, className="none"))
    limits = {"status": {"resources": {"cpu": "100m", "memory": "64Mi"}}}
    kubectl.merge_patch("sandbox", "box", namespace, limits, "--subresource=status")
    kubectl.create(make_function("resize", namespace))
    kubectl.merge_patch(
        "function", "resize", namespace, {"status": {"readySandboxes": 12}}, "--subresource=status"
    )
    header, row = kubectl.run("get", resource, "--namespace", namespace).splitlines()
    assert header.split() == want
    assert {"sbe": "none", "sbx": "100m", "sbf": "12"}[resource] in row.split()
    wide, _ = kubectl.run("get", resource, "--namespace", namespace, "--output=wide").splitlines()
    more = {
        "sbe": "FUNCTION CLASS LANGUAGE USER CAUSE NODE TIMEOUT",
        "sbx": "POD USER NETWORK EXPIRES",
        "sbf": "TOOL REVISION CATEGORY DEPRECATED USER",
    }[resource]
    assert wide.split() == [*want, *more.split()]


@pytest.mark.parametrize(
    ("resource", "selector", "want"),
    [
        ("sbe", "status.state!=Running", ["run"]),
        ("sbe", "status.state=Running", []),
        ("sbe", "spec.sandboxRef.name=box", ["run"]),
        ("sbx", "spec.className=none", ["box"]),
        ("sbx", "spec.className=python", []),
    ],
)
def test_field_selectors(
    resource: str, selector: str, want: list[str], kubectl: Kubectl, namespace: str
) -> None:
    kubectl.create(make_execution("run", namespace, sandboxRef={"name": "box"}))
    kubectl.create(make_sandbox("box", namespace, className="none"))
    listed = kubectl.get(resource, "--namespace", namespace, f"--field-selector={selector}")
    assert [item["metadata"]["name"] for item in listed["items"]] == want


def test_category_lists_what_is_in_the_namespace(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(make_execution("run", namespace, sandboxRef={"name": "none"}))
    kubectl.create(make_sandbox("box", namespace, className="none"))
    listed = kubectl.run("get", "soulbox", "--namespace", namespace, "--output=name").split()
    assert {"execution.soulbox.dev/run", "sandbox.soulbox.dev/box"} <= set(listed)
    # Not by the list: kubectl keeps for minutes which kinds a category had.
    classes = kubectl.get("customresourcedefinition", "sandboxclasses.soulbox.dev")
    assert "categories" not in classes["spec"]["names"]


def _conditions(status: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in status["conditions"]}


def _schema(plural: str) -> dict[str, Any]:
    crd = generate.build_crd(RESOURCES[plural])
    return dict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def _example_of(node: dict[str, Any]) -> Any:
    """A value that fills every field of a schema."""
    if "enum" in node:
        return str(node["enum"][0])
    match node.get("type"):
        case "object":
            return {name: _example_of(child) for name, child in node["properties"].items()}
        case "array":
            return [_example_of(node["items"])]
        case "integer":
            return node.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return "2026-01-02T03:04:05Z" if node.get("format") == "date-time" else "a"


def _undescribed(node: dict[str, Any], path: str) -> list[str]:
    found = [] if node.get("description") else [path]
    for name, child in node.get("properties", {}).items():
        found += _undescribed(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        for name, child in node.get(key, {}).get("properties", {}).items():
            found += _undescribed(child, f"{path}[].{name}")
    return found


@pytest.mark.parametrize(
    "given", [None, 7, "text", [1, None], {"a": None, "b": {"c": [None]}}], ids=repr
)
def test_input_is_kept_as_it_was_given_and_cannot_be_changed(
    given: Any, kubectl: Kubectl, namespace: str
) -> None:
    manifest = make_execution("given", namespace)
    manifest["spec"]["input"] = given
    made = kubectl.create(manifest)
    try:
        assert made["spec"]["input"] == given
        assert json.loads(parse_execution(made).input or "") == given
        with pytest.raises(KubectlError, match=r"spec\.input cannot be changed after creation"):
            kubectl.run(
                "patch", "execution", "given", "--namespace", namespace, "--type=json",
                '--patch=[{"op": "replace", "path": "/spec/input", "value": {"a": "other"}}]',
            )  # fmt: skip
    finally:
        kubectl.run("delete", "execution", "given", "--namespace", namespace)
