"""Which manifests are applied for an operator that is a process of the machine."""

import json
import os
import stat
from pathlib import Path

import pytest

from hack.cluster import operator
from hack.cluster.config import CHECKOUT, content_hash
from hack.cluster.pki import write_private

MANIFESTS = """\
# a comment, and no object
---
apiVersion: v1
kind: Namespace
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec: {names: {kind: Sandbox}}
---
apiVersion: apps/v1
kind: Deployment
---
apiVersion: v1
kind: Service
---
kind: SandboxClass
spec: {text: "--- kind: Deployment"}
"""


def kinds(text: str) -> list[str]:
    lines = text.splitlines()
    return [line.removeprefix("kind: ") for line in lines if line.startswith("kind: ")]


def test_split_puts_crds_first_and_leaves_out_what_runs_in_the_cluster() -> None:
    crds, others = operator.split_manifests(MANIFESTS, everything=False)

    assert kinds(crds) == ["CustomResourceDefinition"]
    assert kinds(others) == ["Namespace", "SandboxClass"]


def test_split_of_everything_keeps_the_deployment() -> None:
    _, others = operator.split_manifests(MANIFESTS, everything=True)

    assert kinds(others) == ["Namespace", "Deployment", "Service", "SandboxClass"]


def test_install_of_this_checkout_has_the_account_that_the_token_is_for() -> None:
    crds, others = operator.split_manifests(
        (CHECKOUT / "manifests/install.yaml").read_text(), everything=False
    )

    assert len(kinds(crds)) >= 3
    assert {"Namespace", "ServiceAccount", "ClusterRole", "SandboxClass"} <= set(kinds(others))
    assert "Deployment" not in kinds(others)


def test_environment_leaves_out_what_hack_itself_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SOULBOX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SOULBOX_EMBEDDED_DSN", "postgresql://earlier")
    monkeypatch.setenv("SOULBOX_DSN", "postgresql://earlier")
    monkeypatch.setenv("SOULBOX_WORKERS", "8")

    assert operator.environment() == {"SOULBOX_WORKERS": "8"}


def test_private_files_are_the_owners_alone_and_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("world readable")
    os.chmod(file, 0o644)

    write_private(file, json.dumps({"token": "t"}))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"token": "t"}
    assert list(tmp_path.iterdir()) == [file]


def test_content_hash_changes_with_content_name_and_words(tmp_path: Path) -> None:
    one, other = tmp_path / "main.go", tmp_path / "other.go"
    one.write_text("package main")
    other.write_text("package main")
    hashes = [content_hash([one]), content_hash([other]), content_hash([one], "v1")]
    one.write_text("package main // changed")
    hashes.append(content_hash([one]))

    assert len(set(hashes)) == 4
    assert content_hash([one, other]) == content_hash([other, one])
