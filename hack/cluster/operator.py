"""The operator as a process of this machine, with the rights of its ServiceAccount only."""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from pathlib import Path

from hack.cluster import processes, tokens
from hack.cluster.config import CHECKOUT, ClusterError, Paths, content_hash
from hack.cluster.console import run, step
from hack.cluster.pki import write_private

OPERATOR = "operator"
RENEWER = "operator-token"
# In the install, but not for an operator that is a process of this machine.
_IN_CLUSTER_ONLY = frozenset({"Deployment", "Service", "PodDisruptionBudget"})

# Read by hack/ itself; a shell that has sourced the env file has some of them, and the
# operator must not be restarted because another shell runs `up`.
_OWN_VARIABLES = frozenset({
    "SOULBOX_DSN", "SOULBOX_EMBEDDED_DSN", "SOULBOX_USE_CLUSTER", "SOULBOX_CACHE_DIR",
    "SOULBOX_TEST_DSN", "SOULBOX_OPERATOR_URL", "SOULBOX_CLUSTER",
})  # fmt: skip
# There is one operator of this cluster and this program starts it only when the one before is
# dead, so the same identity takes its Lease again without waiting until it expires. The Role
# of the install allows that name only, whatever namespaces the person has served.
_LEASE = {"SOULBOX_LEASE_IDENTITY": "trial", "SOULBOX_LEASE_NAME": "soulbox-operator"}
DEFAULT_LISTEN = "127.0.0.1:8080"  # http_listen's default in the operator's settings


def install(paths: Paths, kubectl: Path | str, *, everything: bool = False) -> None:
    """Apply the CRDs and the install's other manifests; repeating it changes nothing.

    Args:
        everything: with the operator's own Deployment, of one replica, for a cluster that runs
            its image; a second would only stand by, and have half the log.

    Raises:
        ClusterError: there are no manifests, or the API server refused one.
    """
    manifest = CHECKOUT / "manifests" / "install.yaml"
    if not manifest.exists():
        raise ClusterError(f"{manifest} is missing: run `make generate`")
    crds, others = split_manifests(manifest.read_text(), everything=everything)
    others = others.replace("\n  replicas: 2\n", "\n  replicas: 1\n")
    command = [kubectl, "--kubeconfig", paths.kubeconfig]
    # As kubectl itself, so that a person's own `kubectl apply --server-side` has no conflict.
    apply = [*command, "apply", "--server-side", "--force-conflicts", "-f", "-"]
    run(apply, stdin=crds)
    run([*command, "wait", "--for=condition=Established", "--timeout=30s", "-f", "-"], stdin=crds)
    run(apply, stdin=others)


def split_manifests(text: str, *, everything: bool) -> tuple[str, str]:
    """The CRDs of a file with YAML documents, and what may be applied after them."""
    crds, others = [], []
    for document in re.split(r"(?m)^---\s*$", text):
        kind = _kind(document)
        if kind == "CustomResourceDefinition":
            crds.append(document)
        elif kind and (everything or kind not in _IN_CLUSTER_ONLY):
            others.append(document)
    return "\n---\n".join(crds), "\n---\n".join(others)


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


def environment() -> dict[str, str]:
    """Settings that the person set for the operator; hack's own are not the operator's."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("SOULBOX_") and name not in _OWN_VARIABLES
    }


def write_kubeconfig(paths: Paths, kubectl: Path | str, token: Path) -> Path:
    """The cluster as the administrator knows it, with the ServiceAccount's token instead."""
    shown = run([kubectl, "--kubeconfig", paths.kubeconfig, "config", "view",
                 "--raw", "--minify", "--flatten", "--output=json"])  # fmt: skip
    config = json.loads(shown)
    config["users"] = [{"name": user["name"], "user": {"tokenFile": str(token)}}
                       for user in config["users"]]  # fmt: skip
    file = paths.state / "operator.kubeconfig"
    write_private(file, json.dumps(config, indent=2))
    return file


def start(paths: Paths, kubectl: Path | str, dsn: str) -> None:
    """Start the operator unless it runs already with this code, database and settings."""
    token = paths.state / "operator.token"
    if processes.find(RENEWER) is None or not token.exists():
        tokens.renew(str(kubectl), paths.kubeconfig, token)
    processes.ensure(
        RENEWER,
        [sys.executable, "-m", "hack.cluster.tokens", kubectl, paths.kubeconfig, token],
        log=paths.logs / "operator-token.log",
        env={"PYTHONPATH": str(CHECKOUT)},
    )
    kubeconfig = write_kubeconfig(paths, kubectl, token)
    settings = environment()
    listen = settings.get("SOULBOX_HTTP_LISTEN", DEFAULT_LISTEN)
    before = processes.find(OPERATOR)
    if before is None and _is_alive(listen):
        raise ClusterError(
            f"another program, perhaps another operator, answers on http://{listen}/healthz. End "
            "it, or choose another address: SOULBOX_HTTP_LISTEN=127.0.0.1:8081 hack/up"
        )
    record = processes.ensure(
        OPERATOR,
        [_program(paths), "run", "--operator"],
        log=paths.operator_log,
        env={**_LEASE, **settings, "SOULBOX_DSN": dsn, "KUBECONFIG": str(kubeconfig)},
        fingerprint=content_hash((CHECKOUT / "operator" / "soulbox").rglob("*.py")),
    )
    if record == before:
        return
    processes.wait_until(
        f"answer of the operator on http://{listen}/healthz",
        lambda: _is_alive(listen),
        seconds=30,
        needs=[record],
    )
    step(f"operator runs as pid {record.pid}; its log is {paths.operator_log}")


def _is_alive(listen: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{listen}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def stop() -> None:
    """End the operator and the renewal of its token."""
    for name in (OPERATOR, RENEWER):
        record = processes.find(name)
        if record is not None:
            processes.stop(record, grace_seconds=20)
