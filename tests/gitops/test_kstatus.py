"""What kstatus itself (sigs.k8s.io/cli-utils, as Flux and kpt use it) thinks of every state."""

from __future__ import annotations

import pytest

from tests.support.gitops import kstatus
from tests.support.states import every_state

STATES = every_state()

pytestmark = pytest.mark.slow

# design: a case that is not named here is Failed.
CURRENT = {
    "Execution Completed Completed",
    "Sandbox Running Running",
    # Suspended by its owner: nothing is to be waited for.
    "Sandbox Stopped Suspended",
    # Nothing in a class's life takes time; it has no status.
    "SandboxClass",
    "Function Ready Published",
    "Function Suspended Suspended",
}
IN_PROGRESS = {
    "Execution fresh",
    "Execution Queued",
    "Execution Running",
    # kstatus looks at observedGeneration first; the operator writes it within milliseconds.
    "Execution Completed, then its TTL was set",
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


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, str]]:
    """Case to status and message, by the real library."""
    return dict(zip(STATES, kstatus(list(STATES.values())), strict=True))


@pytest.mark.parametrize("case", STATES)
def test_verdict(case: str, verdicts: dict[str, dict[str, str]]) -> None:
    want = "Current" if case in CURRENT else "InProgress" if case in IN_PROGRESS else "Failed"
    assert verdicts[case]["status"] == want, verdicts[case]


def test_every_case_of_the_table_is_tried() -> None:
    assert STATES.keys() >= {*CURRENT, *IN_PROGRESS}


def test_object_that_is_being_deleted_is_terminating() -> None:
    manifest = dict(STATES["Sandbox Running Running"])
    manifest["metadata"] = {**manifest["metadata"], "deletionTimestamp": "2026-01-02T03:04:05Z"}
    assert kstatus([manifest])[0]["status"] == "Terminating"
