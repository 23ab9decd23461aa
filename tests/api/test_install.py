"""The manifests of the install on a real API server."""

from __future__ import annotations

import pytest

from tests.support.fix_kube import ROOT, Kubectl

pytestmark = pytest.mark.api


def test_a_person_s_apply_over_the_trial_has_no_conflict(kubectl: Kubectl) -> None:
    """What docs/install.md and docs/upgrade.md say to type, on what hack/up installed."""
    for path in ("crds", "manifests/install.yaml"):
        applied = kubectl.run(
            "apply", "--server-side", "--dry-run=server", "--filename", str(ROOT / path)
        )
        assert "serverside-applied" in applied
