"""The cluster's DNS: one pod, as on other clusters, so that NetworkPolicies that name it hold here.

Its program is the one that the node runs, mounted from the cache. Nothing waits for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hack.cluster.config import DNS_ADDRESS
from hack.cluster.console import run
from hack.cluster.images import PAUSE

_NAMESPACE = "kube-system"
# What NetworkPolicies of most clusters, and a profile's `dns: true`, know it by.
_LABELS = {"k8s-app": "kube-dns"}
_NAME = "cluster-dns"
_PORTS = (("dns", "UDP"), ("dns-tcp", "TCP"))


def ensure(kubectl: str | Path, kubeconfig: str | Path, program: Path) -> None:
    """Make the pod, its Service and its rights.

    Args:
        program: a link to the binary that holds `cluster-dns`.
    """
    run([kubectl, "--kubeconfig", kubeconfig, "apply", "--server-side", "--force-conflicts",
         "-f", "-"], stdin=json.dumps(manifests(program.resolve())))  # fmt: skip


def manifests(program: Path) -> dict[str, Any]:
    """Everything that is made; `program` is a file of the node."""
    here = {"name": _NAME, "namespace": _NAMESPACE}
    items: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": _NAME},
            "rules": [
                _rule("", "services"),
                _rule("discovery.k8s.io", "endpointslices"),
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _NAME},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": _NAME,
            },
            "subjects": [{"kind": "ServiceAccount", **here}],
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": _NAMESPACE, "labels": _LABELS},
            "spec": {
                "clusterIP": DNS_ADDRESS,
                "selector": _LABELS,
                "ports": [
                    {"name": name, "port": 53, "targetPort": 53, "protocol": protocol}
                    for name, protocol in _PORTS
                ],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**here, "labels": _LABELS},
            "spec": {
                "replicas": 1,
                # Another binary is there at once: nobody asks for names while `up` runs.
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": _pod(program)},
            },
        },
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _rule(group: str, resource: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]}


def _pod(program: Path) -> dict[str, Any]:
    return {
        "serviceAccountName": _NAME,
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "dns",
                "image": PAUSE.tag,
                "imagePullPolicy": "Never",
                "command": ["/k8s", _NAME],
                "ports": [
                    {"name": name, "containerPort": 53, "protocol": protocol}
                    for name, protocol in _PORTS
                ],
                "readinessProbe": {"tcpSocket": {"port": 53}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "1m", "memory": "32Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                },
                "volumeMounts": [{"name": "program", "mountPath": "/k8s", "readOnly": True}],
            }
        ],
        "volumes": [
            {"name": "program", "hostPath": {"path": str(program), "type": "File"}},
        ],
    }
