"""Fixtures for tests on a real API server.

The cluster is the one of KUBECONFIG, with the install applied: `make test` brings it up, or
`make up` and then `. .local/env`. Without one these tests fail; they never pretend.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import KUBECTL_PATIENCE, PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
# These wait themselves, some for 30 seconds and some for ever, unless they are told.
WAITING = ("delete", "rollout", "wait")
# Later than kubectl's own end, which says what it waited for.
CALL_SECONDS = PATIENCE_SECONDS + 30


class KubectlError(AssertionError):
    """kubectl ended with another exit code than 0; the text is its stderr."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl on the cluster of the tests, as its administrator or as somebody else."""

    program: str
    kubeconfig: str
    user: str | None = None

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """stdout of a call.

        Raises:
            KubectlError: it was refused.
        """
        command = [self.program, "--kubeconfig", self.kubeconfig]
        if self.user is not None:
            command += ["--as", self.user, "--as-group", "system:authenticated"]
        if arguments[0] in WAITING:
            arguments = (*arguments, KUBECTL_PATIENCE)
        done = subprocess.run(
            [*command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise KubectlError(done.stderr)
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object, or a list of objects."""
        return dict(json.loads(self.run("get", *arguments, "--output=json")))

    def create(self, manifest: Mapping[str, Any], *options: str) -> dict[str, Any]:
        """The object as stored; with "--dry-run=server" as it would be."""
        return self._write("create", manifest, options)

    def server_apply(self, manifest: Mapping[str, Any], *options: str) -> dict[str, Any]:
        """The object after a server-side apply."""
        return self._write("apply", manifest, ("--server-side", *options))

    def merge_patch(
        self, resource: str, name: str, namespace: str, patch: Mapping[str, Any], *options: str
    ) -> dict[str, Any]:
        """The object after a JSON merge patch."""
        answer = self.run(
            "patch", resource, name, "--namespace", namespace, "--type=merge",
            "--patch-file=/dev/stdin", "--output=json", *options, stdin=json.dumps(patch),
        )  # fmt: skip
        return dict(json.loads(answer))

    def acting_as(self, user: str) -> Kubectl:
        """The same as another user, by impersonation."""
        return Kubectl(self.program, self.kubeconfig, user)

    def _write(
        self, verb: str, manifest: Mapping[str, Any], options: Sequence[str]
    ) -> dict[str, Any]:
        answer = self.run(
            verb, "--filename=-", "--output=json", *options, stdin=json.dumps(manifest)
        )
        return dict(json.loads(answer))


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    """kubectl on a cluster that has our CRDs."""
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig:
        pytest.fail("KUBECONFIG is not set: run `make test`, or `make up` and `. .local/env`")
    # `make up` puts one beside the kubeconfig for machines that have none.
    found = shutil.which("kubectl") or shutil.which("kubectl", path=str(ROOT / ".local" / "bin"))
    if found is None:
        pytest.fail("kubectl is not installed")
    client = Kubectl(found, kubeconfig)
    client.run("get", "crd", "executions.soulbox.dev", "sandboxes.soulbox.dev")
    return client


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace of the test's own; it goes afterwards, with everything in it."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    kubectl.run("create", "namespace", name)
    yield name
    kubectl.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")
