"""Where the cluster's keys are, and the kubeconfigs made from them.

certificates.py makes them. The files are readable by root alone and live as long as the cluster.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from hack.cluster.config import API_URL, DATA_DIR

PKI = DATA_DIR / "pki"
CA = PKI / "ca.crt"


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
