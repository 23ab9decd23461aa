"""The Helm chart: what it renders is taken by the API server, and is what is committed."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from tests.support.fix_kube import ROOT, Kubectl

pytestmark = [pytest.mark.api, pytest.mark.slow]

# Building Helm, where no test has done so before, takes up to two minutes on two cores.
HELM_SECONDS = 280


def _render(*options: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(ROOT / "hack/helm"), "template", "soulbox", str(ROOT / "manifests/chart"),
        "--namespace", "soulbox-system", "--kube-version", "1.34.0", *options,
    ]  # fmt: skip
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=HELM_SECONDS
    )


def _objects(*options: str) -> dict[tuple[str, str], dict[str, Any]]:
    rendered = _render(*options)
    assert rendered.returncode == 0, rendered.stderr
    return {
        (document["kind"], document["metadata"]["name"]): document
        for document in yaml.safe_load_all(rendered.stdout)
        if document
    }


def test_every_generated_file_is_what_its_sources_make() -> None:
    done = subprocess.run(
        [str(ROOT / "hack/generate"), "--check"],
        capture_output=True, text=True, check=False, timeout=HELM_SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--set", "plainManifests=true,namespace.create=true"),
        ("--set", "watchNamespaces={default,soulbox-system}"),
        ("--is-upgrade",),
    ],
    ids=["as installed", "plain", "two namespaces", "as upgraded"],
)
def test_rendered_chart_is_taken(options: tuple[str, ...], kubectl: Kubectl) -> None:
    rendered = _render(*options)
    assert rendered.returncode == 0, rendered.stderr
    kubectl.run(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server",
        "--field-manager=test", "--filename=-", stdin=rendered.stdout,
    )  # fmt: skip


def test_rights_on_pods_end_at_the_namespaces_served() -> None:
    everywhere = _objects()
    assert ("ClusterRoleBinding", "soulbox-operator") in everywhere
    narrow = _objects("--set", "watchNamespaces={one}")
    assert ("ClusterRoleBinding", "soulbox-operator") not in narrow
    binding = narrow["RoleBinding", "soulbox-operator"]
    assert binding["metadata"]["namespace"] == "one"
    env = narrow["Deployment", "soulbox-operator"]["spec"]["template"]["spec"]["containers"][0][
        "env"
    ]
    assert {"name": "SOULBOX_WATCH_NAMESPACES", "value": "one"} in env


def test_classes_and_crds_outlive_the_release() -> None:
    """Uninstalling, or rolling back to the first release, must not delete users' objects."""
    for options in ((), ("--is-upgrade",)):
        for (kind, _), document in _objects(*options).items():
            if kind in ("CustomResourceDefinition", "SandboxClass"):
                annotations = document["metadata"]["annotations"]
                assert annotations["helm.sh/resource-policy"] == "keep"
                assert ("helm.sh/hook" in annotations) == (kind == "SandboxClass" and not options)


def test_operator_pod_is_restricted() -> None:
    pod = _objects()["Deployment", "soulbox-operator"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_plain_manifests_hold_nothing_of_helm() -> None:
    install = (ROOT / "manifests/install.yaml").read_text()
    assert "helm.sh" not in install
    assert "Helm" not in install


@pytest.mark.parametrize(
    ("option", "want"),
    [
        ("logLevel=loud", "logLevel"),
        ("watchNamespaces={Team}", "watchNamespaces"),
        ("database.existingSecret=", "existingSecret"),
        ("classes.python.image=null", "image"),
        ("replicas=2", "replicas"),
    ],
)
def test_wrong_value_is_refused_by_name(option: str, want: str) -> None:
    rendered = _render("--set", option)
    assert rendered.returncode != 0
    assert want in rendered.stderr
