"""What kstatus itself (sigs.k8s.io/cli-utils, as Flux and kpt use it) thinks of every state."""

from __future__ import annotations

import pytest

from tests.support.gitops import kstatus
from tests.support.states import HEALTHY, PROGRESSING, SUSPENDED, every_state

STATES = every_state()

pytestmark = pytest.mark.slow

# kstatus looks at observedGeneration first; the operator writes it within milliseconds.
EDITED_WHEN_OVER = {"Execution Completed, then its TTL was set"}
# To kstatus nothing is to be waited for where the owner suspended it.
CURRENT = (HEALTHY | SUSPENDED) - EDITED_WHEN_OVER
IN_PROGRESS = PROGRESSING | EDITED_WHEN_OVER


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, str]]:
    """Case to status and message, by the real library."""
    return dict(zip(STATES, kstatus(list(STATES.values())), strict=True))


@pytest.mark.parametrize("case", STATES)
def test_verdict(case: str, verdicts: dict[str, dict[str, str]]) -> None:
    want = "Current" if case in CURRENT else "InProgress" if case in IN_PROGRESS else "Failed"
    assert verdicts[case]["status"] == want, verdicts[case]


def test_object_that_is_being_deleted_is_terminating() -> None:
    manifest = dict(STATES["Sandbox Running Running"])
    manifest["metadata"] = {**manifest["metadata"], "deletionTimestamp": "2026-01-02T03:04:05Z"}
    assert kstatus([manifest])[0]["status"] == "Terminating"
