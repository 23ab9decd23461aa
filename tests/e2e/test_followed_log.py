"""The log of the kind trial's operator is followed from one of its pods to the next."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.config import CHECKOUT, OPERATOR_NAMESPACE
from tests.support.fix_kube import Kubectl
from tests.support.patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def make_pod(name: str) -> dict[str, Any]:
    """A pod that says its name and stays, with the label that the operator's pods have."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": OPERATOR_NAMESPACE,
            "labels": {"app.kubernetes.io/component": "operator"},
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "operator",
                    "image": "soulbox/bash:dev",
                    "command": ["bash", "-c", f"echo I am {name}; exec sleep 3600"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def wait_for(words: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while words not in log.read_text():
        assert time.monotonic() < deadline, f"no {words!r} in {log.read_text()!r}"
        time.sleep(0.1)


def test_log_goes_on_with_the_next_pod(kubectl: Kubectl, tmp_path: Path) -> None:
    log = tmp_path / "operator.log"
    names = ("followed-first", "followed-next")
    with log.open("w") as file:
        follower = subprocess.Popen(
            [sys.executable, "-m", "hack.cluster.follow", kubectl.program, kubectl.kubeconfig],
            stdout=file,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
    try:
        for name in names:
            kubectl.create(make_pod(name))
            wait_for(f"I am {name}\n", log)
            kubectl.run("delete", "pod", name, "--namespace", OPERATOR_NAMESPACE)
        assert log.read_text() == "".join(f"I am {name}\n" for name in names)
    finally:
        follower.kill()
        follower.wait()
        kubectl.run("delete", "pod", *names, "--namespace", OPERATOR_NAMESPACE,
                    "--ignore-not-found", "--wait=false")  # fmt: skip
