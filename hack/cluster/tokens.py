"""Keeps the operator's ServiceAccount token fresh: `python3 -m hack.cluster.tokens FILE`.

A process of its own beside the local operator, as the kubelet is beside one in a pod.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hack.cluster.config import OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, ClusterError
from hack.cluster.controlplane import AdminClient
from hack.cluster.pki import write_private

LIFETIME_SECONDS = 3600
# The kubelet renews at 80 %; half leaves time for an API server that is away for minutes.
RENEW_SECONDS = 1800
RETRY_SECONDS = 5


def renew(file: Path) -> None:
    """Ask for a new token and replace the file with it.

    Raises:
        ClusterError: the API server refused or is not there.
    """
    account = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/serviceaccounts/{OPERATOR_ACCOUNT}"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": LIFETIME_SECONDS},
    }
    try:
        answer = AdminClient().create(f"{account}/token", request)
    except OSError as error:
        raise ClusterError(
            f"no token for ServiceAccount {OPERATOR_NAMESPACE}/{OPERATOR_ACCOUNT}: {error}"
        ) from error
    write_private(file, str(answer["status"]["token"]))


def main(file: Path) -> None:
    while True:
        wait_seconds = RENEW_SECONDS
        try:
            renew(file)
        except ClusterError as error:
            print(error, file=sys.stderr, flush=True)
            wait_seconds = RETRY_SECONDS
        time.sleep(wait_seconds)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
