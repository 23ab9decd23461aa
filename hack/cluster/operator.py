"""The operator as a process of this machine, with the rights of its ServiceAccount only."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from hack.cluster import pki, processes, tokens
from hack.cluster.config import CHECKOUT, ClusterError, Paths, content_hash
from hack.cluster.console import run, step

OPERATOR = "operator"
RENEWER = "operator-token"
# In the install, but not for an operator that is a process of this machine.
_IN_CLUSTER_ONLY = frozenset({"Deployment", "Service", "PodDisruptionBudget"})


def install(paths: Paths, kubectl: Path | str, *, everything: bool = False) -> None:
    """Apply the CRDs and the install's manifests; repeating it changes nothing.

    Args:
        everything: with the operator's own Deployment, for a cluster that runs its image.

    Raises:
        ClusterError: there are no manifests, or the API server refused one.
    """
    crds = sorted((CHECKOUT / "crds").glob("*.yaml"))
    manifest = CHECKOUT / "manifests" / "install.yaml"
    if not crds or not manifest.exists():
        raise ClusterError("crds/ and manifests/install.yaml are missing: run `make generate`")
    apply = [kubectl, "--kubeconfig", paths.kubeconfig, "apply", "--server-side",
             "--force-conflicts", "--field-manager=soulbox-install", "-f", "-"]  # fmt: skip
    run(apply, stdin="\n---\n".join(file.read_text() for file in crds))
    run([kubectl, "--kubeconfig", paths.kubeconfig, "wait", "--for=condition=Established",
         "--timeout=30s", *(word for file in crds for word in ("-f", file))])  # fmt: skip
    documents = re.split(r"(?m)^---\s*$", manifest.read_text())
    wanted = [text for text in documents if everything or _kind(text) not in _IN_CLUSTER_ONLY]
    run(apply, stdin="\n---\n".join(wanted))


def _kind(document: str) -> str:
    found = re.search(r"(?m)^kind: *(\S+)", document)
    return found[1] if found else ""


def _program(paths: Paths) -> Path:
    program = paths.venv / "bin" / "soulbox"
    if not program.exists():
        raise ClusterError(f"{program} is missing: run `make venv` first")
    return program


def migrate(paths: Paths, dsn: str) -> None:
    """Bring the database to the newest schema."""
    run([_program(paths), "migrate"], env={**os.environ, "SOULBOX_DSN": dsn}, timeout_seconds=300)


def start(paths: Paths, dsn: str) -> processes.Record:
    """Start the operator unless it runs already with this code, database and settings."""
    token, kubeconfig = paths.state / "operator.token", paths.state / "operator.kubeconfig"
    if processes.find(RENEWER) is None or not token.exists():
        tokens.renew(token)
    processes.ensure(
        RENEWER,
        [sys.executable, "-m", "hack.cluster.tokens", token],
        log=paths.logs / "operator-token.log",
        env={"PYTHONPATH": str(CHECKOUT)},
    )
    text = pki.kubeconfig({"tokenFile": str(token)})
    if not kubeconfig.exists() or kubeconfig.read_text() != text:
        pki.write_private(kubeconfig, text)
    sources = (CHECKOUT / "operator" / "soulbox").rglob("*.py")
    settings = {name: value for name, value in os.environ.items() if name.startswith("SOULBOX_")}
    was_running = processes.find(OPERATOR)
    record = processes.ensure(
        OPERATOR,
        [_program(paths), "run"],
        log=paths.operator_log,
        env={**settings, "SOULBOX_DSN": dsn, "KUBECONFIG": str(kubeconfig)},
        fingerprint=content_hash(sources),
    )
    if was_running != record:
        step(f"operator started as pid {record.pid}; its log is {paths.operator_log}")
    return record


def stop() -> None:
    for name in (OPERATOR, RENEWER):
        record = processes.find(name)
        if record is not None:
            processes.stop(record)
