"""`soulbox doctor` on a real cluster and a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support.fix_kube import ROOT, Kubectl
from tests.support.fix_operator import OperatorProcess
from tests.support.patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.alone]


def doctor(dsn: str, *arguments: str, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and the last finding of each check."""
    done = subprocess.run(
        [sys.executable, "-m", "soulbox", "doctor", "-o", "json", *arguments],
        cwd=ROOT,
        env={**os.environ, "SOULBOX_DSN": dsn, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.stderr == ""
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, {finding["check"]: finding for finding in findings}


def test_installation_that_works_has_nothing_to_mend(
    running_operator: OperatorProcess, database: str
) -> None:
    code, found = doctor(database)
    assert code == 0, found
    in_order = (
        *("settings", "cluster", "clock", "rights", "crds", "admission", "classes", "nodes"),
        *("signing-key", "leader", "records", "database", "migrations", "database-clock"),
    )
    assert {check: found[check]["verdict"] for check in in_order} == dict.fromkeys(in_order, "OK")
    assert found["network"]["found"] == "whether the CNI enforces NetworkPolicies is unknown"


def test_right_that_was_taken_away_is_named(
    running_operator: OperatorProcess, database: str, kubectl: Kubectl
) -> None:
    role = kubectl.get("clusterrole", "soulbox-operator-cluster")
    # Not that to read classes, which everybody with a login has.
    rules = [rule for rule in role["rules"] if "runtimeclasses" not in rule["resources"]]
    body = json.dumps({"rules": rules})
    kubectl.run("patch", "clusterrole", role["metadata"]["name"], "--type=merge", "-p", body)
    try:
        code, found = doctor(database)
    finally:
        body = json.dumps({"rules": role["rules"]})
        kubectl.run("patch", "clusterrole", role["metadata"]["name"], "--type=merge", "-p", body)
    assert code == 1
    assert found["rights"]["verdict"] == "FAIL"
    assert "get runtimeclasses.node.k8s.io" in found["rights"]["found"]


def test_policy_without_its_binding_is_named(
    running_operator: OperatorProcess, database: str, kubectl: Kubectl
) -> None:
    kind = "validatingadmissionpolicybinding"
    binding = kubectl.get(kind, "soulbox-user")
    kubectl.run("delete", kind, "soulbox-user")
    try:
        code, found = doctor(database)
    finally:
        for name in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
            binding["metadata"].pop(name, None)
        kubectl.create(binding)
    assert code == 1
    assert found["admission"]["found"].startswith("not in force: soulbox-user;")


def test_probe_tells_whether_policies_are_enforced_and_leaves_nothing(
    running_operator: OperatorProcess, database: str, kubectl: Kubectl
) -> None:
    """The local node does; what the probe says of one that does not is tested without one."""
    _, found = doctor(database, "--probe-network")
    assert found["network"]["verdict"] == "OK", found["network"]
    namespaces = kubectl.get("namespaces")["items"]
    left = [
        namespace["metadata"]["name"]
        for namespace in namespaces
        if namespace["metadata"]["name"].startswith("soulbox-doctor-")
        and namespace["status"]["phase"] != "Terminating"
    ]
    assert left == []
