"""Argo CD's health.lua for our kinds, run by Lua 5.1 as Argo's own runtime is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hack.argocd import config_map
from soulbox.model.states import ExecutionReason, FunctionReason, SandboxReason
from tests.support.gitops import SCRIPTS, argocd_health
from tests.support.states import every_state

ROOT = Path(__file__).parents[3]

# docs/gitops.md's table. A case that is not named here is Degraded.
HEALTHY = {
    "Execution Completed Completed",
    "Execution Completed, then its TTL was set",
    "Sandbox Running Running",
    "Function Ready Published",
    "SandboxClass",
}
PROGRESSING = {
    "Execution fresh",
    "Execution Queued",
    "Execution Running",
    "Sandbox fresh",
    "Sandbox Running, then edited",
    "Sandbox Created Pending",
    "Sandbox Starting PodStarting",
    "Sandbox Created ClassNotFound",
    "Sandbox Error NameConflict",
    "Sandbox Error QuotaExceeded",
    "Sandbox Error PodRefused",
    "Sandbox Error NetworkPolicyRefused",
    "Sandbox Error NetworkNotEnforced",
    "Sandbox Error ReconcileFailed",
    "Sandbox Error RunnerFailed",
    "Sandbox Starting Unschedulable",
    "Sandbox Starting ImagePullFailed",
    "Sandbox Starting StartFailed",
    "Sandbox Error StorageRefused",
    "Sandbox Running Suspending",
    "Sandbox Error PodLost",
    "Function fresh",
    "Function Ready, then edited",
    "Function Error ClassNotFound",
    "Function Error CodeMissing",
    "Function Error QuotaExceeded",
}
SUSPENDED = {"Sandbox Stopped Suspended", "Function Suspended Suspended"}
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


def test_every_reason_is_tried() -> None:
    reasons = {(m["kind"], (m.get("status") or {}).get("reason")) for m in STATES.values()}
    assert {("Execution", reason.value) for reason in ExecutionReason} <= reasons
    assert {("Sandbox", reason.value) for reason in SandboxReason} <= reasons
    assert {("Function", reason.value) for reason in FunctionReason} <= reasons
    assert {*HEALTHY, *PROGRESSING, *SUSPENDED} <= STATES.keys()


@pytest.mark.parametrize("kind", ["Execution", "Sandbox", "Function"])
def test_object_without_a_status_is_in_progress(kind: str) -> None:
    bare = {"kind": kind, "metadata": {"name": "x", "generation": 1}}
    assert argocd_health(bare)["status"] == "Progressing"


def test_degraded_shows_reason_and_words() -> None:
    found = argocd_health(STATES["Execution Failed OOMKilled"])
    assert found == {"status": "Degraded", "message": "OOMKilled: What to do about it."}


def test_config_map_holds_the_scripts_as_they_are() -> None:
    """argocd-cm takes them under resource.customizations.health.<group>_<kind>."""
    text = (ROOT / "manifests/argocd/argocd-cm.yaml").read_text()
    assert text == config_map.build(SCRIPTS)
    data = yaml.safe_load(text)["data"]
    for kind in ("Execution", "Function", "Sandbox", "SandboxClass"):
        script = (SCRIPTS / kind / "health.lua").read_text()
        assert data[f"resource.customizations.health.soulbox.dev_{kind}"] == script
