"""A coordination.k8s.io/v1 Lease: read, take, renew, release, each by resourceVersion.

Only the calls: pure/election.py decides what may be done when, app/leader.py does it. Every write
is a merge patch on the version that was read, so of two that write at once one gets a conflict.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from soulbox.kube.client import KubeClient
from soulbox.kube.resources import LEASES
from soulbox.model.errors import KubeNotFound
from soulbox.model.keys import MANAGED_BY, MANAGED_BY_LABEL
from soulbox.pure.election import LeaseRecord


class LeaseLock(Protocol):
    """The calls an election needs."""

    async def read(self, *, exact: bool = False) -> LeaseRecord | None:
        """As it is, None where there is none; a moment old unless `exact`."""
        ...

    async def create(self) -> LeaseRecord:
        """Make it, held by us. Raises KubeExists when somebody was faster."""
        ...

    async def take(self, record: LeaseRecord) -> LeaseRecord:
        """Take over this version of it. Raises KubeConflict when it changed."""
        ...

    async def renew(self, record: LeaseRecord, *, guarded: bool) -> LeaseRecord:
        """Say that we are there. Raises KubeConflict when it changed; `guarded`: NotLeader
        when our deadline passes before it is sent."""
        ...

    async def release(self, record: LeaseRecord, *, guarded: bool) -> None:
        """Give it up. Raises as `renew`."""
        ...


class KubeLease:
    """One Lease of the API server.

    Args:
        kube: for reads and for taking it.
        guarded: the same behind the guard: a process that was stopped for too long right
            before a renewal does not send it.
        clock: aware UTC, for people who read the Lease; nothing is decided by it.
    """

    def __init__(
        self,
        kube: KubeClient,
        guarded: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration_seconds: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._guarded = guarded
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration_seconds = duration_seconds
        self._clock = clock
        self._last_time = datetime.min.replace(tzinfo=UTC)

    async def read(self, *, exact: bool = False) -> LeaseRecord | None:
        """See LeaseLock. Unless `exact` the API server answers out of its memory: what is too
        old there only makes a writer fail with a conflict."""
        try:
            found = await self._kube.get(LEASES, self._name, self._namespace, may_be_old=not exact)
        except KubeNotFound:
            return None
        return parse_lease(found)

    async def create(self) -> LeaseRecord:
        """See LeaseLock."""
        now = self._time()
        manifest = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": self._duration_seconds,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        return parse_lease(await self._kube.create(LEASES, manifest, self._namespace))

    async def take(self, record: LeaseRecord) -> LeaseRecord:
        """See LeaseLock."""
        now = self._time()
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._duration_seconds,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": record.transitions + 1,
        }
        return await self._patch(self._kube, record, spec)

    async def renew(self, record: LeaseRecord, *, guarded: bool) -> LeaseRecord:
        """See LeaseLock."""
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._duration_seconds,
            "renewTime": self._time(),
        }
        return await self._patch(self._guarded if guarded else self._kube, record, spec)

    async def release(self, record: LeaseRecord, *, guarded: bool) -> None:
        """See LeaseLock."""
        # One second, as client-go: a Lease must not have a duration of 0.
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._time()}
        await self._patch(self._guarded if guarded else self._kube, record, spec)

    async def _patch(
        self, kube: KubeClient, record: LeaseRecord, spec: dict[str, Any]
    ) -> LeaseRecord:
        body = {"metadata": {"resourceVersion": record.resource_version}, "spec": spec}
        return parse_lease(await kube.patch(LEASES, self._name, body, self._namespace))

    def _time(self) -> str:
        """MicroTime, later than the last one: each renewal must differ from the one before,
        or nobody would see it."""
        self._last_time = max(self._clock(), self._last_time + timedelta(microseconds=1))
        return self._last_time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_lease(manifest: dict[str, Any]) -> LeaseRecord:
    """A Lease as the API server gives it; fields that are not there are empty or 0."""
    spec = manifest.get("spec") or {}
    return LeaseRecord(
        holder=str(spec.get("holderIdentity") or ""),
        duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        renew_time=str(spec.get("renewTime") or ""),
        resource_version=str(manifest["metadata"]["resourceVersion"]),
    )
