"""What the API server refuses, with the words that users see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from soulbox.kinds.sandbox.spec import parse_sandbox
from soulbox.model.keys import API_VERSION
from soulbox.model.quantity import parse_millicores
from tests.support.builders import make_execution, make_sandbox, make_sandbox_class
from tests.support.fix_kube import Kubectl, KubectlError
from tests.support.refusals import REFUSALS, Refusal

pytestmark = pytest.mark.api

DRY_RUN = "--dry-run=server"


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_at_apply_with_field_problem_and_remedy(refusal: Refusal, kubectl: Kubectl) -> None:
    with pytest.raises(KubectlError) as caught:
        kubectl.create(refusal.make(**refusal.spec), DRY_RUN, "--validate=false")
    for words in refusal.want_api:
        assert words in str(caught.value)


def test_code_of_exactly_262144_bytes_is_taken(kubectl: Kubectl) -> None:
    """131,072 characters of two bytes each: maxLength alone would take twice as much."""
    taken = kubectl.create(make_execution(code="é" * 131_072), DRY_RUN)
    assert len(taken["spec"]["code"].encode()) == 262_144


def test_input_of_exactly_393216_bytes_is_taken(kubectl: Kubectl) -> None:
    manifest = make_execution(
        code="a" * 200_000,
        files=[{"path": "b", "content": "b" * 100_000}],
        args=["c" * 20_000, "é" * 10_000],
        stdin="d" * 40_000,
        env=[{"name": "E", "value": "e" * 13_216}],
    )
    kubectl.create(manifest, DRY_RUN)


@pytest.mark.parametrize(
    "path", ["a", "a/b/c.txt", "...", "a..b", "..a/b..", ".hidden", "ünï/côde", "a b"]
)
def test_plain_relative_path_is_taken(path: str, kubectl: Kubectl) -> None:
    kubectl.create(make_execution(files=[{"path": path, "content": "x"}]), DRY_RUN)


@pytest.mark.parametrize("name", ["A", "_", "a.b-c_1", "LD_PRELOAD"])
def test_legal_env_name_is_taken(name: str, kubectl: Kubectl) -> None:
    kubectl.create(make_execution(env=[{"name": name, "value": "x"}]), DRY_RUN)


@pytest.mark.parametrize("cpu", [1, 0.5, 1.0, "1", "250m", "0.5", "1e-1", ".5", "10m"])
def test_quantity_may_be_a_number_or_text(cpu: float | str, kubectl: Kubectl) -> None:
    stored = kubectl.create(make_sandbox(resources={"cpu": cpu}), DRY_RUN)
    assert stored["spec"]["resources"]["cpu"] == cpu
    assert parse_sandbox(stored).resources.cpu_millicores == parse_millicores(cpu)


def test_quantities_need_no_quotes(kubectl: Kubectl, namespace: str) -> None:
    """As people write them; kubectl makes JSON numbers of these."""
    text = f"{{apiVersion: {API_VERSION}, kind: Sandbox, metadata: {{name: box}}, spec: {{%s}}}}"
    done = kubectl.run(
        "create", "-f", "-", DRY_RUN, "-o", "json", "-n", namespace,
        stdin=text % "resources: {cpu: 0.5, memory: 1e9}",
    )  # fmt: skip
    resources = parse_sandbox(json.loads(done)).resources
    assert (resources.cpu_millicores, resources.memory_bytes) == (500, 10**9)


@pytest.mark.parametrize("cpu", [{}, {"a": 1}, [], [1], True, 0.001, -1, "0.001", "9m"])
def test_what_is_no_quantity_is_refused(cpu: object, kubectl: Kubectl) -> None:
    with pytest.raises(KubectlError) as caught:
        kubectl.create(make_sandbox(resources={"cpu": cpu}), DRY_RUN)
    assert "spec.resources.cpu" in str(caught.value)


EXECUTION = make_execution(
    sandboxRef=None,
    className="python",
    language="python",
    files=[{"path": "a", "content": "x"}],
    args=["a"],
    stdin="in",
    env=[{"name": "A", "value": "1"}],
    timeoutSeconds=5,
    queueTimeoutSeconds=5,
    outputLimitBytes=5,
    captureFiles=["a"],
    priority=1,
    idempotent=True,
)
CHANGED: dict[str, Any] = {
    "className": "bash",
    "language": "bash",
    "code": "print(43)",
    "files": [{"path": "a", "content": "y"}],
    "args": ["b"],
    "stdin": "other",
    "env": [{"name": "A", "value": "2"}],
    "timeoutSeconds": 6,
    "queueTimeoutSeconds": 6,
    "outputLimitBytes": 6,
    "captureFiles": ["b"],
    "priority": 2,
    "idempotent": False,
}


@pytest.fixture
def execution(kubectl: Kubectl, namespace: str) -> str:
    """Name of a stored Execution that waits for its Sandbox, with every field that can
    stand beside the others."""
    manifest = make_execution("stored", namespace, **EXECUTION["spec"])
    manifest["spec"] |= {"sandboxRef": {"name": "none"}}
    del manifest["spec"]["className"]
    kubectl.create(manifest)
    return "stored"


@pytest.mark.parametrize("field", sorted(CHANGED))
def test_execution_cannot_be_changed(
    field: str, execution: str, kubectl: Kubectl, namespace: str
) -> None:
    for value in (CHANGED[field], None):
        if field in ("className", "code") and value is None:
            continue
        with pytest.raises(KubectlError) as caught:
            kubectl.merge_patch(
                "executions", execution, namespace, {"spec": {field: value}}, DRY_RUN
            )
        assert f"spec.{field} cannot be changed after creation" in str(caught.value)
        assert "create another Execution" in str(caught.value)


def test_optional_fields_of_an_execution_cannot_be_added(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(make_execution("bare", namespace, sandboxRef={"name": "none"}))
    for field in ("language", "files", "args", "stdin", "env", "timeoutSeconds"):
        patch = {"spec": {field: CHANGED[field]}}
        with pytest.raises(KubectlError, match=f"spec.{field} cannot be changed"):
            kubectl.merge_patch("executions", "bare", namespace, patch, DRY_RUN)
    for field, value in (("user", "kubernetes-admin"), ("sandboxRef", {"name": "other"})):
        with pytest.raises(KubectlError, match=f"spec.{field} cannot be changed"):
            kubectl.merge_patch("executions", "bare", namespace, {"spec": {field: value}}, DRY_RUN)


def test_target_and_code_cannot_be_swapped(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(make_execution("bare", namespace, sandboxRef={"name": "none"}))
    code_from = {"configMapKeyRef": {"name": "c", "key": "k"}}
    patches: list[dict[str, Any]] = [
        {"sandboxRef": None, "className": "python"},
        {"code": None, "codeFrom": code_from},
    ]
    for patch in patches:
        with pytest.raises(KubectlError, match="cannot be changed after creation"):
            kubectl.merge_patch("executions", "bare", namespace, {"spec": patch}, DRY_RUN)


def test_cancel_is_for_ever_and_ttl_may_change(kubectl: Kubectl, namespace: str) -> None:
    kubectl.create(make_execution("bare", namespace, sandboxRef={"name": "none"}))
    patch = {"spec": {"ttlSecondsAfterFinished": 600}}
    assert kubectl.merge_patch("executions", "bare", namespace, patch)["spec"]
    kubectl.merge_patch("executions", "bare", namespace, {"spec": {"cancel": False}})
    kubectl.merge_patch("executions", "bare", namespace, {"spec": {"cancel": True}})
    for value in (False, None):
        with pytest.raises(KubectlError, match=r"spec\.cancel cannot be undone"):
            kubectl.merge_patch(
                "executions", "bare", namespace, {"spec": {"cancel": value}}, DRY_RUN
            )
    unset = {"spec": {"ttlSecondsAfterFinished": None}}
    kubectl.merge_patch("executions", "bare", namespace, unset, DRY_RUN)


def test_sandbox_keeps_class_env_user_workspace_and_network(
    kubectl: Kubectl, namespace: str
) -> None:
    manifest = make_sandbox("box", namespace, className="none")
    kubectl.create(manifest)
    fixed: list[tuple[str, Any]] = [
        ("className", "bash"),
        ("env", [{"name": "A", "value": "1"}]),
        ("user", "kubernetes-admin"),
        ("workspace", {"persistent": True}),
        ("network", "web"),
    ]
    for field, value in fixed:
        with pytest.raises(KubectlError, match=f"spec.{field} cannot be changed after creation"):
            kubectl.merge_patch("sandboxes", "box", namespace, {"spec": {field: value}}, DRY_RUN)
    free = {
        "lifetimeSeconds": 60,
        "idleTimeoutSeconds": 60,
        "defaultTimeoutSeconds": 5,
        "maxConcurrentExecutions": 2,
        "suspend": True,
    }
    kubectl.merge_patch("sandboxes", "box", namespace, {"spec": free}, DRY_RUN)


def test_resources_of_a_sandbox_change_only_while_it_is_suspended(
    kubectl: Kubectl, namespace: str
) -> None:
    def patch(**spec: Any) -> None:
        kubectl.merge_patch("sandboxes", "box", namespace, {"spec": spec})

    kubectl.create(make_sandbox("box", namespace, className="none", resources={"cpu": "100m"}))
    refused = "spec.resources cannot be changed while the Sandbox may have a pod"
    for value in ({"cpu": "200m"}, {"memory": "64Mi"}, None):
        with pytest.raises(KubectlError, match=refused):
            patch(resources=value)
    with pytest.raises(KubectlError, match="set suspend to true"):
        patch(resources={"cpu": "200m"}, suspend=True)
    patch(suspend=True)
    patch(resources={"cpu": "200m"})
    with pytest.raises(KubectlError, match=refused):
        patch(resources={"cpu": "300m"}, suspend=False)
    patch(suspend=False)


def test_network_profiles_and_globs_that_are_right_are_taken(kubectl: Kubectl) -> None:
    profile = {
        "name": "web",
        "egress": [
            {"dns": True},
            {
                "cidr": "0.0.0.0/0",
                "except": ["10.0.0.0/8", "169.254.0.0/16"],
                "ports": [{"port": 443}, {"port": 8000, "endPort": 8100, "protocol": "UDP"}],
            },
            {"cidr": "fd00::/8"},
        ],
    }
    kubectl.create(make_sandbox_class("tested", networkProfiles=[profile]), DRY_RUN)
    globs = ["*", "**", "a/**/[a-z0-9]?.csv", "[^x]*", "...", "\u00fc/*", "a]"]
    kubectl.create(make_execution(captureFiles=globs), DRY_RUN)
