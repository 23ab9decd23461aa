"""Where things are and which versions are built: the constants and paths of the trial cluster."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
HACK = CHECKOUT / "hack"

CACHE_DIR = Path(
    os.environ.get("SOULBOX_CACHE_DIR") or Path.home() / ".cache" / "soulbox"
).absolute()
# Machine-wide for the local cluster, because its addresses, routes and ports are.
_MACHINE_WIDE = platform.system() == "Linux" and os.geteuid() == 0
# Process records, sockets and mounts; gone after a reboot.
RUN_DIR = Path("/run/soulbox-local") if _MACHINE_WIDE else CACHE_DIR / "run"
# etcd, keys, images of the node and PostgreSQL's data; removed by down.
DATA_DIR = Path("/var/lib/soulbox-local") if _MACHINE_WIDE else CACHE_DIR / "data"

# The newest Kubernetes that starts on cgroup v1 as well as on v2 without more settings.
KUBERNETES_VERSION = "1.34.4"

# 198.18.0.0/15 is reserved for benchmarks (RFC 2544) and never routed on the Internet. The
# kubelet refuses a loopback address, so this one is put on `lo`.
NODE_ADDRESS = "198.18.0.1"
SERVICE_RANGE = "10.96.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"  # the API server as pods see it
DNS_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
POD_RANGE = "10.244.0.0/16"
NODE_POD_RANGE = "10.244.0.0/24"
BRIDGE = "soulbox0"

# Unusual ports, so that another cluster on the machine is not disturbed by accident.
API_PORT = 16443
ETCD_PORT = 12379
ETCD_PEER_PORT = 12380
API_URL = f"https://127.0.0.1:{API_PORT}"

OPERATOR_NAMESPACE = "soulbox-system"
OPERATOR_ACCOUNT = "soulbox-operator"


class ClusterError(Exception):
    """The cluster cannot be brought up or ended; the text says what is wrong and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Folders of one run.

    Attributes:
        state: what a person uses: env, kubeconfig, logs (`.local` in the checkout).
        cache: programs and image layers, kept over runs and shared between checkouts.
    """

    state: Path
    cache: Path

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def env_file(self) -> Path:
        return self.state / "env"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.state / "audit.log"

    @property
    def operator_log(self) -> Path:
        return self.state / "operator.log"

    @property
    def venv(self) -> Path:
        return CHECKOUT / ".venv"


def paths(state_dir: str | None = None) -> Paths:
    """The folders for this checkout; `SOULBOX_CACHE_DIR` moves the cache."""
    state = Path(state_dir) if state_dir else CHECKOUT / ".local"
    return Paths(state=state.absolute(), cache=CACHE_DIR)


def content_hash(files: Iterable[Path], *words: str) -> str:
    """Sixteen hexadecimal digits that change when a file's path or content, or a word, does."""
    digest = hashlib.sha256()
    for word in words:
        digest.update(word.encode() + b"\0")
    for file in sorted(files):
        name = file.relative_to(CHECKOUT) if file.is_relative_to(CHECKOUT) else file.name
        digest.update(str(name).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def write_if_new(file: Path, text: str) -> None:
    """Write the file unless it says so already: kube-proxy ends when its file is touched."""
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
