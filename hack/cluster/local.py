"""The real control plane and node on this machine: Linux, root, no container engine needed."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hack.cluster import (
    build,
    containerd,
    controlplane,
    dns,
    images,
    network,
    node,
    packages,
    pki,
    policies,
    processes,
    storage,
)
from hack.cluster.config import API_PORT, ETCD_PORT, ClusterError, Paths
from hack.cluster.console import step
from hack.cluster.ports import is_free

# The order in which `down` ends them: first what watches pods, last what all others ask.
_STOP_ORDER = (
    "kubelet",
    "kube-network-policies",
    "kube-proxy",
    "kube-scheduler",
    "kube-controller-manager",
    "containerd",
    "kube-apiserver",
    "etcd",
)


def check_machine() -> None:
    """Refuse where the local cluster cannot run, saying why and what to do instead.

    Raises:
        ClusterError: not Linux, not root, no virtual environment, or another cluster's node is on
            this machine.
    """
    if platform.system() != "Linux":
        raise ClusterError(
            f"the local cluster needs Linux, this is {platform.system()}. Start a Docker engine "
            "(then kind is used), or give a cluster: KUBECONFIG=… SOULBOX_USE_CLUSTER=1 hack/up"
        )
    if os.geteuid() != 0:
        raise ClusterError(
            "the local cluster needs root (namespaces, routes, cgroups). Run hack/up as root, "
            "start a Docker engine (then kind is used), or give a cluster: "
            "KUBECONFIG=… SOULBOX_USE_CLUSTER=1 hack/up"
        )
    if importlib.util.find_spec("cryptography") is None:
        raise ClusterError(
            f"{sys.executable} has no package cryptography, which makes the cluster's "
            "certificates: run `make venv` first"
        )
    ours = processes.find("kubelet") is not None or processes.recorded()
    if not ours and containerd.pods_of_another():
        raise ClusterError(
            "another Kubernetes node runs pods on this machine (cgroup kubepods). Use it: "
            "KUBECONFIG=… SOULBOX_USE_CLUSTER=1 hack/up, or end it first"
        )
    _check_ports()


def _check_ports() -> None:
    for port, name in ((API_PORT, "kube-apiserver"), (ETCD_PORT, "etcd"), (10250, "kubelet")):
        if processes.find(name) is not None:
            continue
        if not is_free(port, "0.0.0.0"):
            raise ClusterError(
                f"port {port}, wanted for {name}, is in use by another program; "
                f"see: ss -ltnp sport = :{port}"
            )


def up(paths: Paths) -> None:
    """Bring everything up to a Ready node with the images; quick when it is up already.

    `check_machine` has said that it can run here.
    """
    packages.ensure_node_packages()
    with ThreadPoolExecutor(max_workers=3) as pool:
        # Images are mostly downloads: at the first time they come while Kubernetes is built.
        archives = pool.submit(_archives, paths, images.CLUSTER_IMAGES)
        further = pool.submit(further_archives, paths, images.FURTHER_IMAGES)
        programs = build.kubernetes_programs(paths)
        archives.result()
        further.result()
    client = controlplane.AdminClient
    network.ensure()
    enforced = policies.is_available()
    if enforced:
        policies.ensure_walls()
    from hack.cluster import certificates  # noqa: PLC0415 - `down` does without the environment

    certificates.ensure(node.name())
    with ThreadPoolExecutor(max_workers=2) as pool:
        engine = pool.submit(_engine, paths, archives.result())
        if processes.find("kube-apiserver") is None:
            step("starting etcd, the API server and containerd")
        etcd = controlplane.start_etcd(paths, programs)
        apiserver = controlplane.start_apiserver(paths, programs)
        processes.wait_until(
            "ready API server", client().is_ready, seconds=90, needs=[etcd, apiserver]
        )
        controllers = controlplane.start_controllers(paths, programs)
        runtime = engine.result()
        # The classes' other images are large; the node starts meanwhile.
        imports = pool.submit(_import, further.result())
        if processes.find("kubelet") is None:
            step("starting the node")
        walls = [policies.start(paths, programs, node.name())] if enforced else []
        workers = node.start(paths, programs)
        node.wait_ready(client(), [etcd, apiserver, runtime, *controllers, *walls, *workers])
        imports.result()
    paths.state.mkdir(parents=True, exist_ok=True)
    pki.write_private(paths.kubeconfig, pki.kubeconfig(pki.certificate_credentials("admin")))
    storage.ensure(programs / "kubectl", paths.kubeconfig, node.name())
    dns.ensure(programs / "kubectl", paths.kubeconfig, programs / "kubelet")
    step(f"node {node.name()} is Ready")


def _archives(paths: Paths, wanted: Iterable[images.Image]) -> list[tuple[images.Image, Path]]:
    return [(image, images.ensure_archive(image, paths)) for image in wanted]


def further_archives(
    paths: Paths, wanted: Iterable[images.Image]
) -> list[tuple[images.Image, Path]]:
    """The same for images that the cluster can do without: one that cannot be made, because there
    is no package index or no wheel for an old Python, is reported and left out."""
    made = []
    for image in wanted:
        try:
            made += _archives(paths, [image])
        except ClusterError as error:
            step(f"going on without image {image.tag}, which cannot be made here: {error}")
    return made


def _engine(paths: Paths, archives: list[tuple[images.Image, Path]]) -> processes.Record:
    runtime = containerd.ensure(paths)
    _import(archives)
    return runtime


def _import(archives: list[tuple[images.Image, Path]]) -> None:
    for image, archive in archives:
        images.import_into_containerd(image, archive)


def down() -> None:
    """End every program, pod and trace on the machine; safe after a half-failed up or a crash."""
    for name in _STOP_ORDER:
        record = processes.find(name)
        if record is not None:
            processes.stop(record)
    if node.was_started():
        containerd.end_containers()
    containerd.unmount_all()
    node.remove()
    policies.remove()
    network.remove()
