"""The commands behind hack/up, hack/down and hack/status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hack.cluster import local
from hack.cluster.config import ClusterError, paths


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="hack/up")
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--no-operator", action="store_true")
    parser.add_argument("--state-dir")
    options = parser.parse_args(arguments)
    folders = paths(options.state_dir)
    try:
        if options.command == "up":
            folders.state.mkdir(parents=True, exist_ok=True)
            local.RUN_DIR.mkdir(parents=True, exist_ok=True)
            local.up(folders)
        else:
            local.down()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
