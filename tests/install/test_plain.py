"""install.yaml by kubectl: the operator runs in the cluster, serves, and goes without a trace."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from hack.cluster.config import NODE_ADDRESS
from tests.e2e.test_examples import WANTED
from tests.install.conftest import NAMESPACE, Database, operator_log, uninstall
from tests.support.builders import make_execution
from tests.support.fix_kube import ROOT, Kubectl, KubectlError
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

INSTALL = ROOT / "manifests/install.yaml"


def apply_install(kubectl: Kubectl, *, ready: bool = True) -> None:
    """What docs/install.md tells a person to do; `ready` waits for the operator's pods."""
    apply = ("apply", "--server-side", "--force-conflicts", "--filename")
    print(kubectl.run(*apply, str(ROOT / "crds")))
    kubectl.run("wait", "--for=condition=Established", "-f", str(ROOT / "crds"))
    print(kubectl.run(*apply, str(INSTALL)))
    if not ready:
        return
    kubectl.run("rollout", "status", "deployment/soulbox-operator", "--namespace", NAMESPACE)


def test_installed_serves_every_example_and_leaves_nothing(
    kubectl: Kubectl,
    installation: None,
    namespace: str,
    pods_database: Database,
    tmp_path: Path,
) -> None:
    apply_install(kubectl)
    print(kubectl.run("get", "pods", "--namespace", NAMESPACE, "--output=wide"))
    world = World(kubectl, namespace, pods_database.dsn, operator_log(kubectl, tmp_path))
    # The quota last: until the quota controller has counted, it refuses everything.
    for name in sorted(WANTED, key="quota.yaml".__eq__):
        executions = WANTED[name]
        kubectl.run("apply", "--namespace", namespace, "-f", str(ROOT / "examples" / name))
        for execution, (state, _) in executions.items():
            assert world.execution(execution)["status"]["state"] == state
    print(kubectl.run("get", "executions,sandboxes", "--namespace", namespace))
    executions_count = sum(map(len, WANTED.values()))
    world.wait_rows(
        "select count(*) as n from soulbox.executions where namespace = %(namespace)s"
        " and state in ('completed', 'failed', 'timeout')",
        lambda rows: rows[0]["n"] == executions_count,
        namespace=namespace,
    )

    said = uninstall()
    assert "removed from the cluster" in said
    # The examples' own quota, Secret and ConfigMap are their user's, as everything in that
    # namespace that SoulBox did not make.
    theirs = {
        f"{kind} {namespace}/{name}"
        for kind, name in (
            ("ResourceQuota", "soulbox"),
            ("Secret", "environment"),
            ("ConfigMap", "environment"),
        )
    }
    assert [trace for trace in traces(kubectl) if trace not in theirs] == []
    with pytest.raises(KubectlError, match="NotFound"):
        kubectl.run("get", "namespace", NAMESPACE)
    # All of them have their end in PostgreSQL, and every pod of theirs its bill.
    assert world.rows(
        "select count(*) as n from soulbox.executions where namespace = %(namespace)s"
        " and deleted_at is not null and state in ('completed', 'failed', 'timeout')",
        namespace=namespace,
    ) == [{"n": executions_count}]
    assert world.rows(
        "select count(*) as n from soulbox.pod_runs where namespace = %(namespace)s"
        " and finished_at is null",
        namespace=namespace,
    ) == [{"n": 0}]
    assert "nothing of SoulBox" in uninstall()


def test_without_its_operator_nothing_is_lost_silently(
    kubectl: Kubectl, installation: None, namespace: str, tmp_path: Path
) -> None:
    """PostgreSQL was never there and the operator is gone first: the objects stay until
    somebody gives them up by word, and then they are in a file."""
    kubectl.merge_patch(
        "secret", "soulbox-database", NAMESPACE,
        {"stringData": {"dsn": f"postgresql://nobody:nothing@{NODE_ADDRESS}:1/none"}},
    )  # fmt: skip
    apply_install(kubectl, ready=False)
    world = World(kubectl, namespace, "", tmp_path / "no-log")
    world.create(make_execution("lonely", sandboxRef=None, className="python"))
    world.execution("lonely")
    kubectl.run("delete", "deployment", "soulbox-operator", "--namespace", NAMESPACE)
    kubectl.run(
        "wait", "--for=delete", "pod", "--namespace", NAMESPACE,
        "--selector=app.kubernetes.io/component=operator",
    )  # fmt: skip
    refused = subprocess.run(
        [ROOT / ".venv/bin/soulbox", "uninstall", "--yes", "--deadline", "2"],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "--give-up" in refused.stderr
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "theirs", "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
            "storageClassName": "none",
        },
    }
    kubectl.create(claim)
    saved = tmp_path / "unrecorded.jsonl"
    said = uninstall("--give-up", str(saved), "--deadline", "2")
    assert f"namespace {NAMESPACE} stays" in said, "a volume would go with it"
    assert "PersistentVolumeClaim theirs" in said
    kubectl.run("delete", "persistentvolumeclaim", "theirs", "--namespace", NAMESPACE)
    assert f"namespace {NAMESPACE} stays" not in uninstall()
    kept = [json.loads(line) for line in saved.read_text().splitlines()]
    lonely = next(one for one in kept if one["kind"] == "Execution")
    assert lonely["status"]["output"]["stdout"] == "42\n"
    assert saved.stat().st_mode & 0o077 == 0
    assert traces(kubectl) == []


def traces(kubectl: Kubectl) -> list[str]:
    """Everything in the cluster that says it is SoulBox's, namespaces of tests apart."""
    listed = kubectl.run("api-resources", "--verbs=list", "--output=name").split()
    kinds = [kind for kind in listed if not kind.startswith("events")]
    found = kubectl.run("get", ",".join(kinds), "--all-namespaces", "--output=json")
    return [
        f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}"
        for one in json.loads(found)["items"]
        if "soulbox" in one["metadata"]["name"]
        or "soulbox" in json.dumps(one["metadata"].get("labels") or {})
    ]
