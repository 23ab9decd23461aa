"""A small certificate authority and the kubeconfigs, made with the openssl command.

One CA signs everything: who holds its key is the cluster's administrator anyway. The files are
readable by root alone and live as long as the cluster.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.config import API_URL, DATA_DIR, FIRST_SERVICE_ADDRESS, NODE_ADDRESS
from hack.cluster.console import run

PKI = DATA_DIR / "pki"
CA = PKI / "ca.crt"
VALID_DAYS = "365"

# `openssl req` without a file of its own would read the machine's openssl.cnf, whose default
# marks each certificate as a CA.
_OPENSSL_CONFIG = "[req]\ndistinguished_name=name\n[name]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate: `user` and `group` are what Kubernetes reads as name and group."""

    name: str
    user: str
    group: str = ""
    alternative_names: str = ""  # a server certificate if not empty


def identities(node_name: str) -> tuple[Identity, ...]:
    """Every certificate of the cluster but the CA's."""
    api_names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc",
                 "kubernetes.default.svc.cluster.local", "localhost")  # fmt: skip
    local = f"DNS:localhost,IP:127.0.0.1,IP:{NODE_ADDRESS}"
    api = ",".join(f"DNS:{name}" for name in api_names)
    api += f",IP:127.0.0.1,IP:{NODE_ADDRESS},IP:{FIRST_SERVICE_ADDRESS}"
    masters = "system:masters"
    return (
        Identity(name="apiserver", user="kube-apiserver", alternative_names=api),
        Identity(name="etcd", user="etcd", alternative_names=local),
        Identity(name="etcd-client", user="kube-apiserver-etcd-client"),
        Identity(name="kubelet-server", user=node_name, alternative_names=local),
        Identity(name="apiserver-kubelet-client", user="kube-apiserver", group=masters),
        Identity(name="admin", user="soulbox-admin", group=masters),
        Identity(name="controller-manager", user="system:kube-controller-manager"),
        Identity(name="scheduler", user="system:kube-scheduler"),
        Identity(name="proxy", user="system:kube-proxy"),
        Identity(name="kubelet", user=f"system:node:{node_name}", group="system:nodes"),
    )


def ensure(node_name: str) -> None:
    """Make what is missing: the CA, each certificate and the service-account key pair."""
    DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o755)
    PKI.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = PKI / "openssl.cnf"
    config.write_text(_OPENSSL_CONFIG)
    if not CA.exists():
        _certificate(
            "ca", "/CN=soulbox-local-ca", "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash",
        )  # fmt: skip
    for identity in identities(node_name):
        if (PKI / f"{identity.name}.crt").exists():
            continue
        group = f"/O={identity.group}" if identity.group else ""
        extensions = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
        if identity.alternative_names:
            # etcd's server is its own client for the health probe of its gRPC gateway.
            extensions.append("extendedKeyUsage=serverAuth,clientAuth")
            extensions.append(f"subjectAltName={identity.alternative_names}")
        else:
            extensions.append("extendedKeyUsage=clientAuth")
        _certificate(identity.name, f"{group}/CN={identity.user}", *extensions, signed=True)
    if not (PKI / "sa.pub").exists():
        run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
             "-out", PKI / "sa.key"])  # fmt: skip
        run(["openssl", "pkey", "-in", PKI / "sa.key", "-pubout", "-out", PKI / "sa.pub"])


def _certificate(name: str, subject: str, *extensions: str, signed: bool = False) -> None:
    # The certificate appears under its name last, so a half-made pair is made again.
    unfinished = PKI / f"{name}.crt.new"
    command: list[str | Path] = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-config", PKI / "openssl.cnf", "-days", VALID_DAYS, "-subj", subject,
        "-keyout", PKI / f"{name}.key", "-out", unfinished,
    ]  # fmt: skip
    if signed:
        command += ["-CA", CA, "-CAkey", PKI / "ca.key"]
    for extension in extensions:
        command += ["-addext", extension]
    run(command)
    unfinished.rename(PKI / f"{name}.crt")


def kubeconfig(credentials: dict[str, str], *, namespace: str = "default") -> str:
    """A kubeconfig (JSON is YAML) for this cluster with the CA's certificate in it.

    Args:
        credentials: a kubeconfig's `user` entry, such as {"tokenFile": path}.
    """
    authority = base64.b64encode(CA.read_bytes()).decode()
    context = {"cluster": "soulbox", "user": "soulbox", "namespace": namespace}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "soulbox",
                    "cluster": {"server": API_URL, "certificate-authority-data": authority},
                }
            ],
            "users": [{"name": "soulbox", "user": credentials}],
            "contexts": [{"name": "soulbox", "context": context}],
            "current-context": "soulbox",
        },
        indent=2,
    )


def certificate_credentials(name: str) -> dict[str, str]:
    """A kubeconfig user entry with the named certificate and key in it."""
    return {
        "client-certificate-data": base64.b64encode((PKI / f"{name}.crt").read_bytes()).decode(),
        "client-key-data": base64.b64encode((PKI / f"{name}.key").read_bytes()).decode(),
    }


def write_private(file: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner alone from its first byte."""
    unfinished = file.with_name(file.name + ".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)
    unfinished.rename(file)


def component_kubeconfig(name: str) -> Path:
    """The kubeconfig file of a control plane program, written if it is not there."""
    file = PKI / f"{name}.kubeconfig"
    if not file.exists():
        write_private(file, kubeconfig(certificate_credentials(name)))
    return file
