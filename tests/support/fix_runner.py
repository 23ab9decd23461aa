"""The runner's binary, built once a session, and a directory for one runner."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "runner"


@pytest.fixture(scope="session")
def binary() -> Iterator[Path]:
    """The runner as `make` builds it. Below /tmp directly, so that any uid may execute it."""
    if shutil.which("go") is None:
        pytest.skip("the Go toolchain is not installed")
    directory = Path(tempfile.mkdtemp(prefix="soulbox-runner-"))
    directory.chmod(0o755)
    target = directory / "soulbox-runner"
    flags = ["-trimpath", "-ldflags", "-s -w -X main.version=test", "-o", str(target)]
    subprocess.run(
        ["go", "build", *flags, "./cmd/soulbox-runner"],
        cwd=SOURCE, check=True, env={**os.environ, "CGO_ENABLED": "0"},
    )  # fmt: skip
    yield target
    shutil.rmtree(directory)


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory on tmpfs for one runner, open to any uid; for root a tmpfs of its own: what
    tests beside this one free there would hide what this one's programs fill."""
    parent = "/dev/shm" if os.path.isdir("/dev/shm") else None
    directory = Path(tempfile.mkdtemp(prefix="soulbox-", dir=parent))
    is_apart = os.geteuid() == 0
    if is_apart:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(directory)], check=True)
    directory.chmod(0o777)
    yield directory
    if is_apart:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
    # Not shutil.rmtree: it recurses, and programs nest directories to any depth.
    subprocess.run(["rm", "-rf", "--one-file-system", str(directory)], check=True)
