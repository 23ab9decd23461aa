"""Argo CD's health.lua for our kinds, run by Lua 5.1 as Argo's own runtime is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hack.argocd import health
from soulbox.model.kinds import OURS, TENANTS, KindInfo
from tests.support.gitops import argocd_health
from tests.support.states import HEALTHY, PROGRESSING, SUSPENDED, every_state, status_schema

ROOT = Path(__file__).parents[3]

STATES = every_state()


def wanted(case: str) -> str:
    """The row of the table."""
    for status, cases in (
        ("Healthy", HEALTHY),
        ("Progressing", PROGRESSING),
        ("Suspended", SUSPENDED),
    ):
        if case in cases:
            return status
    return "Degraded"


@pytest.mark.parametrize("case", STATES)
def test_health(case: str) -> None:
    found = argocd_health(STATES[case])
    assert found["status"] == wanted(case)
    assert found["message"]


@pytest.mark.parametrize("info", TENANTS, ids=lambda info: info.kind.value)
def test_every_reason_is_tried(info: KindInfo) -> None:
    objects = [manifest for manifest in STATES.values() if manifest["kind"] == info.kind]
    tried = {(manifest.get("status") or {}).get("reason") for manifest in objects}
    assert set(status_schema(info.plural)["properties"]["reason"]["enum"]) <= tried


def test_every_case_of_the_table_is_tried() -> None:
    assert {*HEALTHY, *PROGRESSING, *SUSPENDED} <= STATES.keys()


@pytest.mark.parametrize("info", TENANTS, ids=lambda info: info.kind.value)
def test_object_without_a_status_is_in_progress(info: KindInfo) -> None:
    bare = {"kind": info.kind.value, "metadata": {"name": "x", "generation": 1}}
    assert argocd_health(bare)["status"] == "Progressing"


def test_degraded_shows_reason_and_words() -> None:
    found = argocd_health(STATES["Execution Failed OOMKilled"])
    assert found == {"status": "Degraded", "message": "OOMKilled: What to do about it."}


def test_config_map_holds_the_scripts_as_they_are() -> None:
    """argocd-cm takes them under resource.customizations.health.<group>_<kind>."""
    folder = ROOT / "manifests/argocd"
    for path, content in health.build_files().items():
        assert (folder / path).read_text() == content
    assert yaml.safe_load((folder / "argocd-cm.yaml").read_text())["data"] == {
        f"resource.customizations.health.soulbox.dev_{info.kind}": (
            folder / f"soulbox.dev/{info.kind}/health.lua"
        ).read_text()
        for info in OURS
    }
