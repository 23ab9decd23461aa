"""The node: kubelet and kube-proxy, and the paths they use outside their own folders."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
from pathlib import Path

from hack.cluster import containerd, network, pki, processes
from hack.cluster.config import (
    CLUSTER_DOMAIN,
    DATA_DIR,
    DNS_ADDRESS,
    NODE_ADDRESS,
    POD_RANGE,
    RUN_DIR,
    Paths,
    write_if_new,
)
from hack.cluster.controlplane import AdminClient

KUBELET = DATA_DIR / "kubelet"
# The kubelet has these compiled in; removed by down if they were not there before.
_FIXED_PATHS = (Path("/var/lib/kubelet"), Path("/var/log/containers"), Path("/var/lib/cni"))
_FOUND = RUN_DIR / "paths-found.json"

# The wall for fork bombs: well above what a sandbox needs, well below what hurts the machine.
POD_PIDS_LIMIT = 256
KUBELET_HEALTH_URL = "http://127.0.0.1:10248"
PROXY_HEALTH_URL = "http://127.0.0.1:10256"


def name() -> str:
    """The node's name: the host's, made a valid DNS label."""
    # With "system:node:" before it, it is a certificate's common name, of 64 characters at most.
    label = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower())[:52]
    return label.strip("-") or "soulbox"


def _kubelet_config() -> str:
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            "healthzBindAddress": "127.0.0.1",
            "healthzPort": 10248,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki.CA)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki.PKI / "kubelet-server.crt"),
            "tlsPrivateKeyFile": str(pki.PKI / "kubelet-server.key"),
            "containerRuntimeEndpoint": f"unix://{containerd.SOCKET}",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "podPidsLimit": POD_PIDS_LIMIT,
            "podLogsDir": str(DATA_DIR / "pod-logs"),
            "volumePluginDir": str(KUBELET / "volume-plugins"),
            # A pod has no default route, so the machine's resolvers would only time out.
            "resolvConf": "",
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": CLUSTER_DOMAIN,
            "makeIPTablesUtilChains": False,
            "kubeAPIQPS": 200,
            "kubeAPIBurst": 400,
            "maxPods": 200,
            # The images were imported and can be pulled from nowhere: never collect them.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            # A developer's disk is often nearly full; that is no reason to evict.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%",
                             "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
            "shutdownGracePeriod": "0s",
        },
        indent=2,
    )  # fmt: skip


def _proxy_config() -> str:
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(pki.component_kubeconfig("proxy"))},
            "clusterCIDR": POD_RANGE,
            "bindAddress": NODE_ADDRESS,
            "healthzBindAddress": PROXY_HEALTH_URL.removeprefix("http://"),
            "metricsBindAddress": "127.0.0.1:10249",
            # 0: leave the machine's conntrack limits alone.
            "conntrack": {"maxPerCore": 0, "min": 0},
            # Two pods of one bridge answer each other directly, past the address translation,
            # unless the translated connection comes from the node.
            "nftables": {"masqueradeAll": True},
        },
        indent=2,
    )


def start(paths: Paths, programs: Path) -> list[processes.Record]:
    """Start kubelet and kube-proxy."""
    _remember_paths()
    KUBELET.mkdir(parents=True, exist_ok=True)
    kubelet, proxy = DATA_DIR / "kubelet.json", DATA_DIR / "kube-proxy.json"
    write_if_new(kubelet, _kubelet_config())
    write_if_new(proxy, _proxy_config())
    proxying = [str(programs / "kube-proxy"), f"--config={proxy}", f"--hostname-override={name()}"]
    if processes.keep("kube-proxy", proxying, fingerprint=_proxy_config()) is None:
        # At its first look kube-proxy takes a chain that is there for right, by its name
        # (epChainSkipUpdate in pkg/proxy/nftables), also one that its predecessor had emptied
        # and not removed yet: the service then leads nowhere, for an hour.
        network.forget_services()
    return [
        processes.ensure(
            "kubelet",
            [
                programs / "kubelet",
                f"--config={kubelet}",
                f"--root-dir={KUBELET}",
                f"--kubeconfig={pki.component_kubeconfig('kubelet')}",
                f"--hostname-override={name()}",
                f"--node-ip={NODE_ADDRESS}",
                # Images cannot be pulled, so the kubelet has no credentials to look for.
                f"--cert-dir={KUBELET / 'pki'}",
            ],
            log=paths.logs / "kubelet.log",
            fingerprint=_kubelet_config(),
        ),
        processes.ensure(
            "kube-proxy",
            proxying,
            log=paths.logs / "kube-proxy.log",
            fingerprint=_proxy_config(),
        ),
    ]


def wait_ready(client: AdminClient, needs: list[processes.Record]) -> None:
    """Wait until a pod can run: node Ready, services translated, default ServiceAccount there."""
    node = f"/api/v1/nodes/{name()}"
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    processes.wait_until(
        "Ready node",
        lambda: (
            client.condition(node, "Ready") == "True"
            and client.get(account) is not None
            and client.get("/healthz", base=KUBELET_HEALTH_URL) is not None
            and client.get("/livez", base=PROXY_HEALTH_URL) is not None
        ),
        seconds=90,
        needs=needs,
        interval_seconds=0.2,
    )


def was_started() -> bool:
    """Whether our kubelet was started since the last boot, so that the pods here are ours."""
    return _FOUND.exists()


def _remember_paths() -> None:
    if not _FOUND.exists():
        _FOUND.write_text(json.dumps([str(path) for path in _FIXED_PATHS if path.exists()]))


def remove() -> None:
    """Delete the node's folders; those outside ours only if the node made them."""
    shutil.rmtree(KUBELET, ignore_errors=True)
    shutil.rmtree(DATA_DIR / "pod-logs", ignore_errors=True)
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(str(DATA_DIR)):
            link.unlink()
    found = set()
    with contextlib.suppress(OSError, ValueError):
        found = set(json.loads(_FOUND.read_text()))
    for path in _FIXED_PATHS:
        if _FOUND.exists() and str(path) not in found:
            shutil.rmtree(path, ignore_errors=True)
