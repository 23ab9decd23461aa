"""The operator as a Deployment of the cluster, from its image, with a database that pods reach.

These tests make and take away the installation itself, so they come after all others that
use it, one at a time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hack.cluster import postgres
from hack.cluster.config import NODE_ADDRESS
from soulbox.store.migrate import migrate
from tests.support.fix_kube import ROOT, Kubectl
from tests.support.patience import PATIENCE_SECONDS

NAMESPACE = "soulbox-system"
IMAGE_SECONDS = 3 * PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Database:
    """One server, as this machine reaches it and as pods do."""

    dsn: str

    @property
    def for_pods(self) -> str:
        """The DSN with the node's address."""
        return self.dsn.replace("@127.0.0.1:", f"@{NODE_ADDRESS}:")


@pytest.fixture(scope="session")
def operator_image() -> None:
    """The operator's image of this checkout is on the node."""
    subprocess.run([ROOT / "hack/images", "operator"], check=True, timeout=IMAGE_SECONDS)


@pytest.fixture(scope="session")
def pods_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A migrated database of these tests' own."""
    folder = tmp_path_factory.mktemp("postgres")
    dsn = postgres.start(folder, fast=True, for_pods=True)
    try:
        migrate(dsn)
        yield Database(dsn)
    finally:
        postgres.stop(folder)


@pytest.fixture
def installation(kubectl: Kubectl, pods_database: Database, operator_image: None) -> Iterator[None]:
    """A cluster without SoulBox, with the namespace and the Secret that an installation
    needs; without SoulBox again afterwards, whatever the test left."""
    del operator_image
    uninstall("--give-up", os.devnull, "--deadline", "1")
    kubectl.run("create", "namespace", NAMESPACE)
    kubectl.run(
        "create", "secret", "generic", "soulbox-database", "--namespace", NAMESPACE,
        f"--from-literal=dsn={pods_database.for_pods}",
    )  # fmt: skip
    yield
    uninstall("--give-up", os.devnull, "--deadline", "5")
    kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found")


def uninstall(*options: str) -> str:
    """`soulbox uninstall --yes`; its stdout.

    Raises:
        AssertionError: it failed; with what it said.
    """
    if "--deadline" not in options:
        options = (*options, "--deadline", f"{PATIENCE_SECONDS:.0f}")
    program = shutil.which("soulbox", path=str(ROOT / ".venv/bin"))
    assert program is not None
    done = subprocess.run(
        [program, "uninstall", "--yes", *options],
        capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return done.stdout


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Helm with the tests' cluster; not checked."""
    return subprocess.run(
        [ROOT / "hack/helm", *arguments],
        capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS, check=False,
    )  # fmt: skip


def operator_log(kubectl: Kubectl, folder: Path) -> Path:
    """What the operator's pods have said, in a file."""
    file = folder / "operator.log"
    file.write_text(
        kubectl.run(
            "logs", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/component=operator",
            "--prefix", "--tail=-1",
        )
    )  # fmt: skip
    return file
