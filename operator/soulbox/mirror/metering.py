"""Which hours of a still running pod can be billed by now."""

from collections.abc import Callable, Mapping
from datetime import datetime

from soulbox.build.rows.pod import CLOCKS_DIFFER, container_started_at
from soulbox.mirror.pending import Sighting
from soulbox.mirror.tracker import Tracker
from soulbox.pure.metering import PROOF_MARGIN, full_windows, hour_of


def provable(
    sighting: Sighting, tracker: Tracker, lease_renew_time: Callable[[str], datetime | None]
) -> datetime | None:
    """The Lease renewTime that proves hours not billed before; None when there is nothing
    to bill."""
    spec = sighting.manifest.get("spec")
    node = spec.get("nodeName") if isinstance(spec, Mapping) else None
    started_at = container_started_at(sighting.manifest)
    if not isinstance(node, str) or started_at is None:
        return None
    renewed = lease_renew_time(node)
    # One that is far ahead would have hours billed that have not been.
    if renewed is None or renewed > sighting.seen_at + CLOCKS_DIFFER:
        return None
    if not any(True for _ in full_windows(started_at, renewed)):
        return None
    billed = tracker.metered_until(sighting.uid)
    if billed is not None and hour_of(billed - PROOF_MARGIN) >= hour_of(renewed - PROOF_MARGIN):
        return None
    return renewed
