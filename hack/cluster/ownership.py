"""One trial cluster a machine: whose it is, and one `up` or `down` at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from hack.cluster.config import CHECKOUT, RUN_DIR, ClusterError, Paths
from hack.cluster.console import step


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who brought the cluster up, and which kind: `local`, `kind` or `given`."""

    checkout: str
    state: str
    kind: str


def _file(run_dir: Path) -> Path:
    return run_dir / "owner.json"


@contextlib.contextmanager
def lock(run_dir: Path = RUN_DIR) -> Iterator[None]:
    """Hold the machine's lock; waits while another `up` or `down` runs, saying so."""
    # Not in the folder, which `down` removes while it holds the lock.
    path = run_dir.with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                step("waiting for another hack/up or hack/down on this machine to end")
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_same_file(file, path):
                continue  # the one before removed it when it was done
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_same_file(file: IO[str], path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def current(run_dir: Path = RUN_DIR) -> Owner | None:
    """Whose cluster is up or half up; None if there is none."""
    try:
        return Owner(**json.loads(_file(run_dir).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_abandoned(owner: Owner) -> bool:
    """Whether the checkout that could end it is gone."""
    return not (Path(owner.checkout) / "hack" / "down").exists()


def claim(paths: Paths, kind: str, run_dir: Path = RUN_DIR) -> None:
    """Write down that the cluster is this checkout's, before anything is started.

    Raises:
        ClusterError: it is up for another checkout, state folder or as another kind.
    """
    mine = Owner(checkout=str(CHECKOUT), state=str(paths.state), kind=kind)
    owner = current(run_dir)
    if owner is not None and owner != mine:
        raise ClusterError(
            f"a cluster is up already: kind {owner.kind}, checkout {owner.checkout}, state folder "
            f"{owner.state}. End it first: {owner.checkout}/hack/down"
        )
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
    _file(run_dir).write_text(json.dumps(asdict(mine)))
