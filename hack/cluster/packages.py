"""The system's packages: what is missing is installed where apt-get can, else named."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from hack.cluster.config import ClusterError
from hack.cluster.console import run, step

# What the local node needs from the system: program -> Debian package.
NODE_PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "mount": "mount",
}
CNI_PLUGIN_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS = ("bridge", "host-local", "loopback")

# The first Go that fetches the toolchain a module asks for (GOTOOLCHAIN), newer than itself.
GO_MINIMUM = (1, 21)


def find_program(name: str) -> str | None:
    """Like shutil.which, but with the sbin folders that a user's PATH often lacks."""
    search = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"
    return shutil.which(name, path=search)


def cni_plugins() -> Path | None:
    """The folder that holds every CNI plugin the node needs, or None."""
    for folder in CNI_PLUGIN_FOLDERS:
        if all((folder / plugin).exists() for plugin in CNI_PLUGINS):
            return folder
    return None


def ensure_node_packages() -> None:
    """Install what the local node lacks.

    Raises:
        ClusterError: something is missing and there is no apt-get; it names the packages.
    """
    missing = {package for name, package in NODE_PROGRAMS.items() if not find_program(name)}
    if cni_plugins() is None:
        missing.add("containernetworking-plugins")
    if missing:
        install(missing)


def ensure_go() -> str:
    """The path of a Go that can build everything here.

    Raises:
        ClusterError: there is none, or it is too old; Debian 12's own is, so none is installed.
    """
    go = find_program("go")
    said = run([go, "version"]).strip() if go else "no Go"
    found = re.search(r"go(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if go is None or version < GO_MINIMUM:
        wanted = ".".join(map(str, GO_MINIMUM))
        raise ClusterError(
            f"Go {wanted} or newer is needed to build Kubernetes and the runner; found: {said}. "
            "Install it from https://go.dev/dl/ and put its bin folder first in PATH"
        )
    return go


def update_lists() -> None:
    """Refresh the package lists; one unreachable third-party source is no failure."""
    try:
        run(["apt-get", "update"], timeout_seconds=300)
    except ClusterError as error:
        step(f"apt-get update had trouble, going on with what it got: {str(error)[-300:]}")


def install(packages: set[str]) -> None:
    """Install Debian packages without recommendations.

    Raises:
        ClusterError: there is no apt-get, it needs root, or it failed.
    """
    names = " ".join(sorted(packages))
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ClusterError(
            f"missing on this machine: {names} (Debian package names). Install them with the "
            f"system's package manager, on Debian and Ubuntu: sudo apt-get install {names}"
        )
    step(f"installing {names} with apt-get (up to a minute)")
    update_lists()
    run(
        ["apt-get", "install", "-y", "--no-install-recommends", *sorted(packages)],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        timeout_seconds=600,
    )
