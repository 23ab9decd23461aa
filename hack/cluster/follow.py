"""Follows the log of the operator's Deployment into standard output, over restarts of its pods.

    python3 -m hack.cluster.follow KUBECTL KUBECONFIG

`kubectl logs --follow` ends with the pod it chose; this asks again for the pod that comes next.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime

from hack.cluster.config import OPERATOR_NAMESPACE

SELECTOR = "app.kubernetes.io/component=operator"
RETRY_SECONDS = 2


def command(kubectl: str, kubeconfig: str, since: str | None) -> list[str]:
    """The call that follows all pods there are now, from the beginning or from a time on."""
    return [
        kubectl, "--kubeconfig", kubeconfig, "--namespace", OPERATOR_NAMESPACE, "logs",
        "--follow", "--selector", SELECTOR, "--tail=-1", "--max-log-requests=9",
        *([f"--since-time={since}"] if since else []),
    ]  # fmt: skip


def main(kubectl: str, kubeconfig: str) -> None:
    since = None
    while True:
        subprocess.run(command(kubectl, kubeconfig, since), check=False)
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
