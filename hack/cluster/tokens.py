"""Keeps the operator's ServiceAccount token fresh.

    python3 -m hack.cluster.tokens KUBECTL KUBECONFIG FILE

A process of its own beside the local operator, as the kubelet is beside one in a pod.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hack.cluster.config import OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, ClusterError
from hack.cluster.console import run
from hack.cluster.pki import write_private

LIFETIME = "1h"
# The kubelet renews at 80 %; half leaves time for an API server that is away for minutes.
RENEW_SECONDS = 1800
RETRY_SECONDS = 5


def renew(kubectl: str, kubeconfig: Path, file: Path) -> None:
    """Ask for a new token and replace the file with it.

    Raises:
        ClusterError: the API server refused or is not there.
    """
    token = run(
        [kubectl, "--kubeconfig", kubeconfig, "--namespace", OPERATOR_NAMESPACE,
         "create", "token", OPERATOR_ACCOUNT, f"--duration={LIFETIME}"],
        timeout_seconds=30,
    )  # fmt: skip
    write_private(file, token.strip())


def main(kubectl: str, kubeconfig: Path, file: Path) -> None:
    # The first token is fetched before this process starts, because the operator needs it at once.
    wait_seconds = RENEW_SECONDS
    while True:
        time.sleep(wait_seconds)
        try:
            renew(kubectl, kubeconfig, file)
            wait_seconds = RENEW_SECONDS
        except ClusterError as error:
            print(error, file=sys.stderr, flush=True)
            wait_seconds = RETRY_SECONDS


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
