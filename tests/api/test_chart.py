"""The Helm chart: what it renders is taken by the API server, and is what is committed."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml

from soulbox.schema.settings import Settings
from tests.support.fix_kube import ROOT, Kubectl
from tests.support.patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.api, pytest.mark.slow]

# Building Helm, where no test has done so before, takes up to two minutes on two cores.
HELM_SECONDS = 3 * PATIENCE_SECONDS


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
    assert done.returncode == 0, done.stderr


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


@pytest.mark.parametrize("served", [(), ("b", "a")], ids=["all", "two"])
def test_role_allows_the_lease_that_the_operator_takes(served: tuple[str, ...]) -> None:
    options = ("--set", f"watchNamespaces={{{','.join(served)}}}") if served else ()
    rules = _objects(*options)["Role", "soulbox-operator"]["rules"]
    leases = [rule for rule in rules if rule["resources"] == ["leases"]]
    lease = Settings(dsn="x", watch_namespaces=served).lease
    assert [(rule.get("resourceNames"), rule["verbs"]) for rule in leases] == [
        (None, ["create"]),
        ([lease], ["get", "patch"]),
    ]


def test_live_output_is_one_right_on_one_service_and_can_be_left_out() -> None:
    role = _objects()["Role", "soulbox-live-output"]
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["services/proxy"],
            "resourceNames": ["soulbox-operator:http"],
            "verbs": ["get"],
        }
    ]
    (subject,) = _objects()["RoleBinding", "soulbox-live-output"]["subjects"]
    assert subject["name"] == "system:authenticated"
    left_out = _objects("--set", "liveOutput.enabled=false")
    assert not [name for _, name in left_out if name == "soulbox-live-output"]


def test_cause_is_written_by_the_operator_and_whom_the_values_name() -> None:
    restorer = "system:serviceaccount:velero:velero"
    for options, others in (
        ((), []),
        (("--set", f"admissionPolicy.causeWriters={{{restorer}}}"), [restorer]),
    ):
        policy = _objects(*options)["ValidatingAdmissionPolicy", "soulbox-cause"]
        (rule,) = policy["spec"]["validations"]
        writers = rule["expression"].partition(" in ")[2]
        operator = "system:serviceaccount:soulbox-system:soulbox-operator"
        assert json.loads(writers) == [operator, *others]


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


def test_spool_is_a_claim_that_the_operator_may_write() -> None:
    with_spool = ("--set", "spool.enabled=true,spool.existingClaim=mine")
    pod = _objects(*with_spool)["Deployment", "soulbox-operator"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    (container,) = pod["containers"]
    assert {"name": "SOULBOX_SPOOL_DIRECTORY", "value": "/spool"} in container["env"]
    assert {"name": "spool", "mountPath": "/spool"} in container["volumeMounts"]
    assert {"name": "spool", "persistentVolumeClaim": {"claimName": "mine"}} in pod["volumes"]
    without = _objects()["Deployment", "soulbox-operator"]["spec"]["template"]["spec"]
    assert "spool" not in [volume["name"] for volume in without["volumes"]]


@pytest.mark.parametrize(
    ("option", "want"),
    [
        ("spool.enabled=true", "spool.existingClaim is empty"),
        ("logLevel=loud", "logLevel"),
        ("watchNamespaces={Team}", "watchNamespaces"),
        ("database.existingSecret=", "existingSecret"),
        ("classes.python.image=null", "image"),
        ("replicas=two", "replicas"),
    ],
)
def test_wrong_value_is_refused_by_name(option: str, want: str) -> None:
    rendered = _render("--set", option)
    assert rendered.returncode != 0
    assert want in rendered.stderr


def test_overlay_is_taken_with_its_images_and_replicas(kubectl: Kubectl) -> None:
    rendered = kubectl.run("kustomize", str(ROOT / "examples/kustomize"))
    kubectl.run(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server",
        "--field-manager=test", "--filename=-", stdin=rendered,
    )  # fmt: skip
    objects = [one for one in yaml.safe_load_all(rendered) if one]
    deployment = next(one for one in objects if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 3
    classes = [one for one in objects if one["kind"] == "SandboxClass"]
    pods = [deployment["spec"]["template"]["spec"]["containers"][0], *(c["spec"] for c in classes)]
    assert {one["image"].rpartition("/soulbox/")[0] for one in pods} == {"registry.example.com"}


def test_every_value_is_in_the_installation_guide() -> None:
    table = (ROOT / "docs/install.md").read_text()
    values = yaml.safe_load((ROOT / "manifests/chart/values.yaml").read_text())
    missing = [name for name in values if f"`{name}" not in table]
    assert missing == []
