"""The chart by Helm: install for one namespace, upgrade, refusals, uninstall."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.install.conftest import NAMESPACE, Database, helm, operator_log, uninstall
from tests.install.test_plain import traces
from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import ROOT, Kubectl
from tests.support.patience import KUBECTL_PATIENCE
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CHART = str(ROOT / "manifests/chart")


def install(verb: str, *options: str, release: str = "soulbox") -> str:
    """helm install or upgrade, waiting until it is Ready; stdout."""
    done = helm(verb, release, CHART, "-n", NAMESPACE, "--wait", KUBECTL_PATIENCE, *options)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return done.stdout


def beside_the_preparation(kubectl: Kubectl) -> list[str]:
    """Traces but for the namespace and the Secret that the administrator made."""
    made = {f"Namespace /{NAMESPACE}", f"Secret {NAMESPACE}/soulbox-database"}
    return [trace for trace in traces(kubectl) if trace not in made]


def test_release_for_one_namespace_is_upgraded_and_taken_out(
    kubectl: Kubectl, installation: None, namespace: str, pods_database: Database, tmp_path: Path
) -> None:
    install("install", "--set", f"watchNamespaces={{{namespace}}}")
    world = World(kubectl, namespace, pods_database.dsn, operator_log(kubectl, tmp_path))
    world.create(make_sandbox("box"))
    world.create(make_execution("run"))
    assert world.execution("run")["status"]["state"] == "Completed"
    # Not a namespace of theirs: nobody looks at it.
    kubectl.create(
        {**make_execution("alone"), "metadata": {"name": "alone", "namespace": "default"}}
    )
    install("upgrade", "--set", f"watchNamespaces={{{namespace}}}", "--set", "logLevel=debug")
    world.create(make_execution("after"))
    assert world.execution("after")["status"]["state"] == "Completed"
    # Reconciled it would be refused or wait with a message, and have a finalizer.
    alone = kubectl.get("execution", "alone", "--namespace", "default")
    assert "message" not in alone["status"]

    second = helm("install", "other", CHART, "-n", NAMESPACE)
    assert second.returncode != 0
    assert f"as release soulbox in namespace {NAMESPACE}" in second.stderr

    said = uninstall("--keep-namespace")
    assert "helm uninstall soulbox" in said
    done = helm("uninstall", "soulbox", "-n", NAMESPACE, "--wait", KUBECTL_PATIENCE)
    assert done.returncode == 0, done.stderr
    assert kubectl.get("crd", "sandboxes.soulbox.dev")  # crds.keep
    uninstall()
    assert beside_the_preparation(kubectl) == []


@pytest.mark.parametrize(
    ("options", "wants"),
    {
        "no database named": (("--set", "database.existingSecret="), "database.existingSecret is"),
        "a Secret that is not there": (
            ("--set", "database.existingSecret=nowhere"),
            "there is no Secret nowhere",
        ),
        "a key it does not have": (("--set", "database.key=url"), "has no key url"),
        "a spool without a claim": (
            ("--set", "spool.enabled=true"),
            "spool.existingClaim is empty",
        ),
        "a claim that is not there": (
            ("--set", "spool.enabled=true,spool.existingClaim=nowhere"),
            "there is no PersistentVolumeClaim nowhere",
        ),
    }.values(),
)
def test_refused_before_anything_is_made(
    kubectl: Kubectl, installation: None, options: tuple[str, ...], wants: str
) -> None:
    done = helm("install", "soulbox", CHART, "-n", NAMESPACE, *options)
    assert done.returncode != 0
    assert wants in done.stderr
    assert json.loads(helm("list", "-A", "-o", "json").stdout) == []
    assert beside_the_preparation(kubectl) == []


def test_claim_that_only_one_node_can_use_is_refused_for_two_replicas(
    kubectl: Kubectl, installation: None
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "narrow", "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    kubectl.create(claim)
    options = ("--set", "spool.enabled=true,spool.existingClaim=narrow", "--dry-run=server")
    try:
        done = helm("install", "soulbox", CHART, "-n", NAMESPACE, *options)
        assert done.returncode != 0
        assert "narrow is ReadWriteOnce" in done.stderr
        done = helm("install", "soulbox", CHART, "-n", NAMESPACE, *options, "--set", "replicas=1")
        assert done.returncode == 0, done.stderr
    finally:
        kubectl.run("delete", "pvc", "narrow", "--namespace", NAMESPACE)


def test_beside_plain_manifests_it_is_refused(kubectl: Kubectl, installation: None) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": "soulbox-operator",
            "labels": {"app.kubernetes.io/part-of": "soulbox"},
        },
        "rules": [],
    }
    kubectl.create(role)
    done = helm("install", "soulbox", CHART, "-n", NAMESPACE)
    assert done.returncode != 0
    assert "applied without Helm" in done.stderr
