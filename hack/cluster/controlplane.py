"""etcd, API server, controller manager and scheduler, as one-node processes with TLS between."""

from __future__ import annotations

import json
import ssl
import urllib.request
from pathlib import Path

from hack.cluster import pki, processes
from hack.cluster.config import (
    API_PORT,
    API_URL,
    DATA_DIR,
    ETCD_PEER_PORT,
    ETCD_PORT,
    NODE_ADDRESS,
    POD_RANGE,
    SERVICE_RANGE,
    Paths,
    write_if_new,
)

ETCD_URL = f"https://127.0.0.1:{ETCD_PORT}"
# A quarter of the API server's CPU time went into garbage collection (measured under 36
# Executions a second); these cores are also the sandboxes'. Costs some 200 MB.
_FEWER_COLLECTIONS = {"GOGC": "300"}


def start_etcd(paths: Paths, programs: Path) -> processes.Record:
    """Start etcd; the API server waits for it by itself."""
    peer = f"https://127.0.0.1:{ETCD_PEER_PORT}"
    return processes.ensure(
        "etcd",
        [
            programs / "etcd",
            "--name=soulbox",
            f"--data-dir={DATA_DIR / 'etcd'}",
            f"--listen-client-urls={ETCD_URL}",
            f"--advertise-client-urls={ETCD_URL}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=soulbox={peer}",
            f"--cert-file={pki.PKI / 'etcd.crt'}",
            f"--key-file={pki.PKI / 'etcd.key'}",
            f"--trusted-ca-file={pki.CA}",
            "--client-cert-auth",
            "--peer-auto-tls",
            # A power cut may lose this cluster; waiting for the disk on each write is not worth it.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
        log=paths.logs / "etcd.log",
        env=_FEWER_COLLECTIONS,
    )


def _audit_policy() -> str:
    """Who wrote what, with the user agent: the meter of API writes.

    Reads of Kubernetes' own programs are left out: they are most of the lines and nobody's budget.
    """
    own_users = [
        "system:apiserver",
        "system:kube-controller-manager",
        "system:kube-scheduler",
        "system:kube-proxy",
    ]
    reads = {"level": "None", "verbs": ["get", "list", "watch"]}
    return json.dumps(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [
                {**reads, "users": own_users},
                {**reads, "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
                {"level": "None", "users": own_users, "resources": [
                    {"group": "coordination.k8s.io", "resources": ["leases"]}]},
                {"level": "Metadata"},
            ],
        },
        indent=2,
    )  # fmt: skip


def start_apiserver(paths: Paths, programs: Path) -> processes.Record:
    """Start the API server with RBAC and an audit log of every write."""
    policy = DATA_DIR / "audit-policy.json"
    write_if_new(policy, _audit_policy())
    tls = pki.PKI
    return processes.ensure(
        "kube-apiserver",
        [
            programs / "kube-apiserver",
            # Pods come to the node's address, people to 127.0.0.1; the firewall drops the rest.
            "--bind-address=0.0.0.0",
            f"--secure-port={API_PORT}",
            f"--advertise-address={NODE_ADDRESS}",
            f"--tls-cert-file={tls / 'apiserver.crt'}",
            f"--tls-private-key-file={tls / 'apiserver.key'}",
            f"--client-ca-file={pki.CA}",
            f"--etcd-servers={ETCD_URL}",
            f"--etcd-cafile={pki.CA}",
            f"--etcd-certfile={tls / 'etcd-client.crt'}",
            f"--etcd-keyfile={tls / 'etcd-client.key'}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={tls / 'sa.pub'}",
            f"--service-account-signing-key-file={tls / 'sa.key'}",
            f"--kubelet-certificate-authority={pki.CA}",
            f"--kubelet-client-certificate={tls / 'apiserver-kubelet-client.crt'}",
            f"--kubelet-client-key={tls / 'apiserver-kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={paths.audit_log}",
            "--audit-log-maxsize=200",
            "--audit-log-maxbackup=1",
            "--profiling=false",
        ],
        log=paths.logs / "kube-apiserver.log",
        env=_FEWER_COLLECTIONS,
        fingerprint=_audit_policy(),
    )


def start_controllers(paths: Paths, programs: Path) -> list[processes.Record]:
    """Start the controller manager, with every controller, and the scheduler."""
    manager = pki.component_kubeconfig("controller-manager")
    scheduler = pki.component_kubeconfig("scheduler")
    # One of each: waiting for a Lease would only delay the start.
    alone = ["--leader-elect=false", "--profiling=false", "--bind-address=127.0.0.1"]
    quick = ["--kube-api-qps=200", "--kube-api-burst=400"]
    return [
        processes.ensure(
            "kube-controller-manager",
            [
                programs / "kube-controller-manager",
                f"--kubeconfig={manager}",
                f"--authentication-kubeconfig={manager}",
                f"--authorization-kubeconfig={manager}",
                f"--cluster-cidr={POD_RANGE}",
                f"--service-cluster-ip-range={SERVICE_RANGE}",
                f"--root-ca-file={pki.CA}",
                f"--service-account-private-key-file={pki.PKI / 'sa.key'}",
                f"--cluster-signing-cert-file={pki.CA}",
                f"--cluster-signing-key-file={pki.PKI / 'ca.key'}",
                "--use-service-account-credentials",
                f"--flex-volume-plugin-dir={DATA_DIR / 'volume-plugins'}",
                *alone,
                *quick,
            ],
            log=paths.logs / "kube-controller-manager.log",
        ),
        processes.ensure(
            "kube-scheduler",
            [
                programs / "kube-scheduler",
                f"--kubeconfig={scheduler}",
                f"--authentication-kubeconfig={scheduler}",
                f"--authorization-kubeconfig={scheduler}",
                *alone,
                *quick,
            ],
            log=paths.logs / "kube-scheduler.log",
        ),
    ]


class AdminClient:
    """Reads the API server as administrator with the standard library.

    kubectl would cost 0.1 s a call and more on a busy machine; waiting asks often.
    """

    def __init__(self) -> None:
        self._context = ssl.create_default_context(cafile=str(pki.CA))
        self._context.load_cert_chain(pki.PKI / "admin.crt", pki.PKI / "admin.key")
        # Not through a proxy of the environment: the server is this machine.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )

    def get(self, path: str, *, base: str = API_URL) -> str | None:
        """The body of the answer, or None when there is none or it is an error."""
        try:
            with self._opener.open(base + path, timeout=5) as response:
                body: bytes = response.read()
                return body.decode()
        except OSError:  # urllib's errors are
            return None

    def is_ready(self) -> bool:
        return self.get("/readyz") == "ok"

    def condition(self, path: str, kind: str) -> str | None:
        """The status of an object's condition ("True", "False", "Unknown"), None if absent."""
        body = self.get(path)
        if body is None:
            return None
        for condition in json.loads(body).get("status", {}).get("conditions", ()):
            if condition["type"] == kind:
                return str(condition["status"])
        return None
