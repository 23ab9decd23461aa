"""The trial on kind, where a Docker engine answers: operator and PostgreSQL run in the cluster.

Pod addresses of kind cannot be reached from the host on every system, so the operator is the
Deployment of the install, and its log is followed into the same file as elsewhere.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import shutil
import sys
from dataclasses import asdict, dataclass, field, replace
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
from hack.cluster.console import run, step, still, succeeds
from hack.cluster.pki import write_private
from hack.cluster.ports import free_port

NAME = "soulbox"
KIND_VERSION = "v0.30.0"
# In the order in which they are built: python-data's image is made from python's.
IMAGES = ("python", "bash", "python-data", "node", "operator")
# Apart from the operator's, so that uninstalling SoulBox leaves the database, as it promises.
TRIAL_NAMESPACE = "soulbox-trial"
_POSTGRES = "soulbox-postgres"
# Where the install's Deployment reads its DSN.
_DSN_SECRET, _DSN_KEY = "soulbox-database", "dsn"
_SETTINGS = DATA_DIR / "kind.json"
_KUBECTL = DATA_DIR / "kubectl"
_NODE = f"{NAME}-control-plane"
# Attestations have kept `kind load` from loading some images (kubernetes-sigs/kind#3795, #4066);
# builders that know none ignore the variable.
_BUILD_ENVIRONMENT = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is remembered of the cluster from one `up` to the next.

    Attributes:
        port: PostgreSQL's port on 127.0.0.1.
        loaded: the id of each image that the node has, by name.
        running: the id of the image that the operator's pods were started with last; empty
            before there are any.
    """

    port: int
    password: str
    loaded: dict[str, str] = field(default_factory=dict)
    running: str = ""

    def dsn(self, host: str, port: int) -> str:
        return f"postgresql://soulbox:{self.password}@{host}:{port}/soulbox"


def engine_answers() -> bool:
    """Whether a Docker engine is running and may be used."""
    return shutil.which("docker") is not None and succeeds(["docker", "info"], timeout_seconds=20)


def version(said: str) -> tuple[int, ...]:
    """The version that `kind version` names; (0,) if it names none."""
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else (0,)


def _kind() -> Path:
    """A kind whose cluster is new enough: the machine's, else the one installed here by Go."""
    own = CACHE_DIR / "bin" / f"kind-{KIND_VERSION}"
    theirs = shutil.which("kind")
    if theirs is not None and version(run([theirs, "version"])) >= version(KIND_VERSION):
        return Path(theirs)
    if not own.exists():
        step(f"installing kind {KIND_VERSION} with Go (about a minute)")
        go = packages.ensure_go()
        run(
            [go, "install", f"sigs.k8s.io/kind@{KIND_VERSION}"],
            env={**os.environ, "GOBIN": str(own.parent), "CGO_ENABLED": "0"},
            timeout_seconds=900,
        )
        (own.parent / "kind").rename(own)
    return own


def _settings() -> Settings:
    try:
        return Settings(**json.loads(_SETTINGS.read_text()))
    except (OSError, ValueError, TypeError):
        settings = Settings(port=free_port(), password=secrets.token_urlsafe(18))
        _save(settings)
        return settings


def _save(settings: Settings) -> None:
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    write_private(_SETTINGS, json.dumps(asdict(settings)))


def up(paths: Paths, given_dsn: str | None) -> str:
    """Bring up the cluster, its images and, unless a DSN is given, PostgreSQL.

    Returns:
        The DSN as this machine uses it.
    """
    kind = _kind()
    _ensure_cluster(kind, paths)
    write_private(paths.kubeconfig, run([kind, "get", "kubeconfig", "--name", NAME]))
    _fetch_kubectl()
    _wait_for_api_server(paths)
    for image in IMAGES:
        _ensure_image(kind, image)
    if given_dsn is not None:
        return given_dsn
    settings = _settings()
    _start_postgres(paths, settings)
    return settings.dsn("127.0.0.1", settings.port)


def _ensure_cluster(kind: Path, paths: Paths) -> None:
    if NAME in run([kind, "get", "clusters"]).split():
        label = f"label=io.x-k8s.kind.cluster={NAME}"
        stopped = run(["docker", "ps", "--all", "--quiet", "--filter", label,
                       "--filter", "status=exited"]).split()  # fmt: skip
        if stopped:
            step("starting the kind cluster, which was stopped")
            run(["docker", "start", *stopped])
        return
    settings = replace(_settings(), loaded={}, running="")  # a new node has nothing of ours
    _save(settings)
    step("making the kind cluster (a minute or two, longer if its image must be pulled)")
    config = (HACK / "kind" / "cluster.yaml").read_text()
    with still("making the kind cluster"):
        run(
            [kind, "create", "cluster", "--name", NAME, "--config", "-", "--wait", "120s",
             "--kubeconfig", paths.kubeconfig],
            stdin=config.replace("HOST_PORT", str(settings.port)),
            timeout_seconds=900,
        )  # fmt: skip


def _fetch_kubectl() -> None:
    """Copy kubectl out of the node: it has the cluster's own version, a newcomer often none."""
    if platform.system() == "Linux":
        run(["docker", "cp", "-L", f"{_NODE}:/usr/bin/kubectl", _KUBECTL])
    elif shutil.which("kubectl") is None:
        raise ClusterError("kubectl is missing; install it: https://kubernetes.io/docs/tasks/tools")


def kubectl() -> Path | None:
    """The kubectl of the node; None before there is one, and where it could not be run."""
    return _KUBECTL if _KUBECTL.exists() else None


def _wait_for_api_server(paths: Paths) -> None:
    ask = [kubectl() or "kubectl", "--kubeconfig", paths.kubeconfig, "get", "--raw=/readyz"]
    processes.wait_until("answer of the API server", lambda: succeeds(ask), seconds=120, needs=[])


def _ensure_image(kind: Path, image: str) -> None:
    """Build an image and give it to the node, unless the node has this very one."""
    tag = f"soulbox/{image}:dev"
    dockerfile = CHECKOUT / "images" / image / "Dockerfile"
    step(f"building image {tag}")
    with still(f"building image {tag}"):
        run(
            ["docker", "build", "-t", tag, "-f", dockerfile, CHECKOUT],
            env={**os.environ, **_BUILD_ENVIRONMENT},
            timeout_seconds=1800,
        )
    built, settings = _image_id(image), _settings()
    if settings.loaded.get(image) == built:
        return
    step(f"loading image {tag} into kind")
    run([kind, "load", "docker-image", tag, "--name", NAME], timeout_seconds=600)
    _save(replace(settings, loaded={**settings.loaded, image: built}))


def _image_id(image: str) -> str:
    return run(["docker", "image", "inspect", "--format={{.Id}}", f"soulbox/{image}:dev"]).strip()


def _apply(paths: Paths, *objects: object) -> None:
    manifest = {"apiVersion": "v1", "kind": "List", "items": objects}
    _kubectl(paths, "apply", "-f", "-", stdin=json.dumps(manifest))


def _kubectl(
    paths: Paths, *words: str, stdin: str | None = None, timeout_seconds: float = 300
) -> str:
    command = [kubectl() or "kubectl", "--kubeconfig", paths.kubeconfig, *words]
    return run(command, stdin=stdin, timeout_seconds=timeout_seconds)


def _namespace(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _secret(namespace: str, name: str, **values: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": values,
    }


def _start_postgres(paths: Paths, settings: Settings) -> None:
    step("starting PostgreSQL in the cluster")
    password = _secret(TRIAL_NAMESPACE, _POSTGRES, password=settings.password)
    _apply(paths, _namespace(TRIAL_NAMESPACE), password)
    _kubectl(paths, "apply", "-f", "-", stdin=(HACK / "kind" / "postgres.yaml").read_text())
    # The node pulls its image first, which takes minutes on a slow line.
    with still("starting PostgreSQL"):
        _kubectl(paths, "-n", TRIAL_NAMESPACE, "rollout", "status",
                 f"statefulset/{_POSTGRES}", "--timeout=600s", timeout_seconds=660)  # fmt: skip


def _dsn_in_cluster(dsn: str) -> str:
    """The same database as pods reach it: one that a person gave is taken as it is."""
    settings = _settings()
    if dsn == settings.dsn("127.0.0.1", settings.port):
        return settings.dsn(f"{_POSTGRES}.{TRIAL_NAMESPACE}.svc", 5432)
    return dsn


def run_operator(paths: Paths, dsn: str) -> None:
    """Install everything, the Deployment too, and follow its log."""
    operator.migrate(paths, dsn)
    secret = _secret(OPERATOR_NAMESPACE, _DSN_SECRET, **{_DSN_KEY: _dsn_in_cluster(dsn)})
    _apply(paths, _namespace(OPERATOR_NAMESPACE), secret)
    program = kubectl() or "kubectl"
    operator.install(paths, program, everything=True)
    deployment = f"deployment/{OPERATOR_ACCOUNT}"
    inside = ("-n", OPERATOR_NAMESPACE)
    settings = _settings()
    if needs_restart(settings):
        # The tag stays the same when the image changes, so only a restart takes the new one.
        _kubectl(paths, *inside, "rollout", "restart", deployment)
    _save(replace(settings, running=settings.loaded["operator"]))
    _kubectl(paths, *inside, "rollout", "status", deployment, "--timeout=180s")
    if platform.system() != "Linux":  # processes are known by /proc
        step(f"the operator's log: kubectl {' '.join(inside)} logs --follow {deployment}")
        return
    processes.ensure(
        "operator-log",
        [sys.executable, "-m", "hack.cluster.follow", program, paths.kubeconfig],
        log=paths.operator_log,
        env={"PYTHONPATH": str(CHECKOUT)},
    )


def needs_restart(settings: Settings) -> bool:
    """Whether pods of the operator run an image other than the one built now."""
    return settings.running not in ("", settings.loaded["operator"])


def down() -> None:
    """Delete the kind cluster.

    Raises:
        ClusterError: no Docker engine answers, so nothing can be deleted; nothing is lost.
    """
    if not engine_answers():
        raise ClusterError("no Docker engine answers: start Docker, then run hack/down again")
    run([_kind(), "delete", "cluster", "--name", NAME], timeout_seconds=300)
