"""Whether this kernel can enforce policies: real iptables, in a network namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hack.cluster import policies

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("iptables") is None or shutil.which("unshare") is None,
        reason="chains need root, iptables and unshare",
    ),
]
LOOK = "from hack.cluster import policies; print('so:', policies.is_available())"


def look(folder: Path, *, refused: str) -> tuple[str, str]:
    """What is_available says, and the chains afterwards, where rules with `refused` cannot be made
    and an `up` that was killed left its chain."""
    real = shutil.which("iptables")
    program = folder / "iptables"
    program.write_text(f'#!/bin/sh\ncase "$*" in *{refused}*) exit 1;; esac\nexec {real} "$@"\n')
    program.chmod(0o755)
    script = (
        f"{real} --table mangle --new-chain {policies.CHAIN} && "
        f'{sys.executable} -c "{LOOK}" && {real} --table mangle --list-rules'
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    said = next(line for line in done.stdout.splitlines() if line.startswith("so:"))
    return said, done.stdout


@pytest.mark.skipif(
    not Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists(), reason="no br_netfilter"
)
def test_chain_that_was_left_is_no_proof_that_packets_can_be_judged(tmp_path: Path) -> None:
    said, chains = look(tmp_path, refused="NFQUEUE")
    assert said == "so: False"
    assert "TRIAL" not in chains
