"""A served namespace that is deleted (watchNamespaces): its rights go before its objects do."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import ROOT, Kubectl, KubectlError
from tests.support.patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.api, pytest.mark.slow]

HELD = "soulbox.dev/recorded"


def rendered(namespace: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The chart's objects by kind, namespace and name."""
    done = subprocess.run(
        [
            str(ROOT / "hack/helm"), "template", "soulbox", str(ROOT / "manifests/chart"),
            "--namespace", "soulbox-system", "--kube-version", "1.34.0",
            "--set", f"watchNamespaces={{{namespace}}}",
        ],
        capture_output=True, text=True, check=True, timeout=3 * PATIENCE_SECONDS,
    )  # fmt: skip
    return {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for one in yaml.safe_load_all(done.stdout)
        if one
    }


@pytest.fixture
def narrow(kubectl: Kubectl, namespace: str) -> Iterator[Kubectl]:
    """A user with what the chart gives an operator that serves this namespace only."""
    user, chart = f"narrow-{uuid.uuid4().hex[:8]}", rendered(namespace)
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
    role = chart["ClusterRole", "", "soulbox-operator-finish"]
    role["metadata"]["name"] = user
    binding = chart["ClusterRoleBinding", "", "soulbox-operator-finish"]
    binding["metadata"]["name"] = binding["roleRef"]["name"] = user
    within = chart["RoleBinding", namespace, "soulbox-operator"]
    kubectl.create(role)
    kubectl.create(binding | {"subjects": subjects})
    kubectl.create(within | {"subjects": subjects})
    yield kubectl.acting_as(user)
    for kind in ("clusterrolebinding", "clusterrole"):
        kubectl.run("delete", kind, user)


def test_what_waits_for_the_operator_can_be_let_go_once_its_role_is_gone(
    kubectl: Kubectl, namespace: str, narrow: Kubectl
) -> None:
    makers = {"sandboxes": make_sandbox, "executions": make_execution}
    for plural, make in makers.items():
        kubectl.create(make("one", namespace))
        narrow.merge_patch(plural, "one", namespace, {"metadata": {"finalizers": [HELD]}})
    narrow.run("get", "pods", "--namespace", namespace)
    with pytest.raises(KubectlError, match="forbidden"):
        narrow.run("get", "pods", "--namespace", "default")
    kubectl.run("delete", "namespace", namespace, "--wait=false")
    until(lambda: not _exists(kubectl, "rolebinding", "soulbox-operator", namespace), "its role")
    with pytest.raises(KubectlError, match="forbidden"):
        narrow.run("get", "pods", "--namespace", namespace)
    for plural in makers:
        narrow.merge_patch(plural, "one", namespace, {"metadata": {"finalizers": None}})
    until(lambda: not _exists(kubectl, "namespace", namespace, ""), "the namespace")


def _exists(kubectl: Kubectl, kind: str, name: str, namespace: str) -> bool:
    where = ("--namespace", namespace) if namespace else ()
    return bool(kubectl.run("get", kind, name, *where, "--ignore-not-found", "--output=name"))


def until(done: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, f"{what} did not go"
        time.sleep(0.2)
