"""Follows the log of the operator's Deployment into standard output, over restarts of its pods.

    python3 -m hack.cluster.follow KUBECTL KUBECONFIG

`kubectl logs --follow` ends with the pods that it found; this looks for those that come next,
and follows each from its beginning, also while the one before still ends.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from hack.cluster.config import OPERATOR_NAMESPACE, ClusterError
from hack.cluster.console import run

SELECTOR = "app.kubernetes.io/component=operator"
LOOK_SECONDS = 2


@dataclass(slots=True)
class Following:
    """One pod's log: the call that shows it, and when that was last seen to run."""

    process: subprocess.Popen[bytes]
    seen: datetime


def command(kubectl: str, kubeconfig: str, *words: str) -> list[str]:
    """A kubectl call in the operator's namespace."""
    return [kubectl, "--kubeconfig", kubeconfig, "--namespace", OPERATOR_NAMESPACE, *words]


def look(kubectl: str, kubeconfig: str, followed: dict[str, Following]) -> None:
    """Begin to follow what is not followed: new pods, and containers that were restarted."""
    try:
        names = run(command(kubectl, kubeconfig, "get", "pods", "--output=name",
                            f"--selector={SELECTOR}")).split()  # fmt: skip
    except ClusterError as error:
        print(error, file=sys.stderr, flush=True)
        return
    now = datetime.now(UTC)
    for name in names:
        before = followed.get(name)
        if before is not None and before.process.poll() is None:
            before.seen = now
            continue
        since: tuple[str, ...] = ()
        # Else it has shown nothing: the container was still being made.
        if before is not None and before.process.returncode == 0:
            since = (f"--since-time={before.seen:%Y-%m-%dT%H:%M:%SZ}",)
        words = command(kubectl, kubeconfig, "logs", "--follow", name, *since)
        followed[name] = Following(subprocess.Popen(words), now)


def main(kubectl: str, kubeconfig: str) -> None:
    followed: dict[str, Following] = {}
    while True:
        look(kubectl, kubeconfig, followed)
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
