"""Bills of running pods: those of their full hours that are certainly over."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime

from soulbox.mirror.batches import Batches
from soulbox.mirror.pending import Sighting
from soulbox.mirror.tracker import Tracker
from soulbox.model.manifests import Manifest
from soulbox.pure.metering import PROOF_MARGIN, full_windows, hour_of
from soulbox.pure.pods.sight import CLOCKS_DIFFER, container_started_at


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


class Metering:
    """Writes such hours, so many pods at a time."""

    def __init__(self, batches: Batches, batch_size: int) -> None:
        self._batches = batches
        self._batch_size = batch_size

    async def run(
        self,
        pods: Iterable[Manifest],
        lease_renew_time: Callable[[str], datetime | None],
        ask: Callable[[Sequence[Manifest]], Awaitable[Iterable[Manifest]]] | None,
    ) -> None:
        """See Mirror.meter_running."""
        due = self._due(pods, lease_renew_time)
        if ask is not None and due:
            # A pod that ended meanwhile, and that the watch is late about, ran no full hour.
            due = self._due(await ask([one.manifest for one, _ in due]), lease_renew_time)
        for start in range(0, len(due), self._batch_size):
            batch = due[start : start + self._batch_size]
            proven = {sighting.uid: until for sighting, until in batch}
            await self._batches.write([sighting for sighting, _ in batch], proven)
            for uid, until in proven.items():
                self._batches.tracker.set_metered(uid, until)

    def _due(
        self, pods: Iterable[Manifest], lease_renew_time: Callable[[str], datetime | None]
    ) -> list[tuple[Sighting, datetime]]:
        """Those that have hours to bill, and until when they are known to have run."""
        found = []
        tracker, kind = self._batches.tracker, self._batches.builder.metered
        for manifest in pods:
            sighting = self._batches.sighting(kind, manifest)
            if sighting is None:
                continue
            tracker.see(sighting)
            until = provable(sighting, tracker, lease_renew_time)
            if until is not None:
                found.append((sighting, until))
        return found
