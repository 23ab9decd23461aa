"""The trial on kind, where a Docker engine answers: operator and PostgreSQL run in the cluster.

Pod addresses of kind cannot be reached from the host on every system, so the operator is the
Deployment of the install, and its log is followed into the same file as elsewhere.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from hack.cluster import operator, packages, processes
from hack.cluster.config import (
    CACHE_DIR,
    CHECKOUT,
    DATA_DIR,
    HACK,
    OPERATOR_ACCOUNT,
    OPERATOR_NAMESPACE,
    ClusterError,
    Paths,
)
from hack.cluster.console import run, step, succeeds
from hack.cluster.pki import write_private
from hack.cluster.postgres import free_port

NAME = "soulbox"
KIND_VERSION = "v0.30.0"
IMAGES = ("python", "bash", "operator")
_POSTGRES = "soulbox-postgres"
# Where the install's Deployment reads its DSN.
_DSN_SECRET, _DSN_KEY = "soulbox-database", "dsn"
_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}}
_SETTINGS = DATA_DIR / "kind.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was chosen when the cluster was made: PostgreSQL's port on 127.0.0.1, its password."""

    port: int
    password: str

    def dsn(self, host: str, port: int) -> str:
        return f"postgresql://soulbox:{self.password}@{host}:{port}/soulbox"


def engine_answers() -> bool:
    """Whether a Docker engine is running and may be used."""
    return shutil.which("docker") is not None and succeeds(["docker", "info"], timeout_seconds=20)


def _kind() -> Path:
    found = shutil.which("kind") or shutil.which("kind", path=str(CACHE_DIR / "bin"))
    if found is None:
        step(f"installing kind {KIND_VERSION} with Go (about a minute)")
        go = packages.ensure_go()
        found = str(CACHE_DIR / "bin" / "kind")
        run(
            [go, "install", f"sigs.k8s.io/kind@{KIND_VERSION}"],
            env={**os.environ, "GOBIN": str(CACHE_DIR / "bin"), "CGO_ENABLED": "0"},
            timeout_seconds=900,
        )
    if shutil.which("kubectl") is None:
        raise ClusterError("kubectl is missing; install it: https://kubernetes.io/docs/tasks/tools")
    return Path(found)


def _settings() -> Settings:
    try:
        return Settings(**json.loads(_SETTINGS.read_text()))
    except (OSError, ValueError, TypeError):
        settings = Settings(port=free_port(), password=secrets.token_urlsafe(18))
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        write_private(_SETTINGS, json.dumps(asdict(settings)))
        return settings


def up(paths: Paths, given_dsn: str | None) -> str:
    """Bring up the cluster, its images and, unless a DSN is given, PostgreSQL.

    Returns:
        The DSN as this machine uses it.
    """
    kind, settings = _kind(), _settings()
    if NAME not in run([kind, "get", "clusters"]).split():
        step("making the kind cluster (a minute or two, longer if its image must be pulled)")
        config = (HACK / "kind" / "cluster.yaml").read_text()
        run(
            [kind, "create", "cluster", "--name", NAME, "--config", "-", "--wait", "120s",
             "--kubeconfig", paths.kubeconfig],
            stdin=config.replace("HOST_PORT", str(settings.port)),
            timeout_seconds=900,
        )  # fmt: skip
    write_private(paths.kubeconfig, run([kind, "get", "kubeconfig", "--name", NAME]))
    for image in IMAGES:
        step(f"building image soulbox/{image}:dev and loading it into kind")
        tag = f"soulbox/{image}:dev"
        dockerfile = CHECKOUT / "images" / image / "Dockerfile"
        run(["docker", "build", "-t", tag, "-f", dockerfile, CHECKOUT], timeout_seconds=1800)
        run([kind, "load", "docker-image", tag, "--name", NAME], timeout_seconds=300)
    if given_dsn is not None:
        return given_dsn
    _start_postgres(paths, settings)
    return settings.dsn("127.0.0.1", settings.port)


def _apply(paths: Paths, *objects: object) -> None:
    manifest = {"apiVersion": "v1", "kind": "List", "items": objects}
    _kubectl(paths, "apply", "-f", "-", stdin=json.dumps(manifest))


def _kubectl(paths: Paths, *words: str, stdin: str | None = None) -> None:
    command = ["kubectl", "--kubeconfig", str(paths.kubeconfig), *words]
    run(command, stdin=stdin, timeout_seconds=300)


def _secret(name: str, **values: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": OPERATOR_NAMESPACE},
        "stringData": values,
    }


def _start_postgres(paths: Paths, settings: Settings) -> None:
    step("starting PostgreSQL in the cluster")
    _apply(paths, _NAMESPACE, _secret(_POSTGRES, password=settings.password))
    _kubectl(paths, "apply", "-f", "-", stdin=(HACK / "kind" / "postgres.yaml").read_text())
    _kubectl(paths, "-n", OPERATOR_NAMESPACE, "rollout", "status",
             f"statefulset/{_POSTGRES}", "--timeout=240s")  # fmt: skip


def _dsn_in_cluster(dsn: str) -> str:
    """The same database as pods reach it: one that a person gave is taken as it is."""
    settings = _settings()
    if dsn == settings.dsn("127.0.0.1", settings.port):
        return settings.dsn(f"{_POSTGRES}.{OPERATOR_NAMESPACE}.svc", 5432)
    return dsn


def run_operator(paths: Paths, dsn: str) -> None:
    """Install everything, the Deployment too, and follow its log."""
    operator.migrate(paths, dsn)
    _apply(paths, _NAMESPACE, _secret(_DSN_SECRET, **{_DSN_KEY: _dsn_in_cluster(dsn)}))
    operator.install(paths, "kubectl", everything=True)
    deployment = f"deployment/{OPERATOR_ACCOUNT}"
    inside = ("-n", OPERATOR_NAMESPACE)
    # The tag stays the same when the image changes, so only a restart takes the new one.
    _kubectl(paths, *inside, "rollout", "restart", deployment)
    _kubectl(paths, *inside, "rollout", "status", deployment, "--timeout=180s")
    processes.ensure(
        "operator-log",
        ["kubectl", "--kubeconfig", paths.kubeconfig, *inside, "logs", "--follow", deployment],
        log=paths.operator_log,
    )


def down() -> None:
    """Delete the kind cluster."""
    run([_kind(), "delete", "cluster", "--name", NAME], timeout_seconds=300)
