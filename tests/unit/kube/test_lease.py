"""The Lease over HTTP, and writes that a guard forbids at the last moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.lease import KubeLease, parse_lease
from soulbox.kube.resources import PODS
from soulbox.model.errors import KubeConflict, KubeExists, KubeNotFound, KubeUnavailable, NotLeader
from tests.support.fake_api import FakeApi, Refusal, serving
from tests.support.fix_clock import NOW
from tests.unit.kube.scripted import write_kubeconfig

SYSTEM = "soulbox-system"


class Guard:
    """Allows so many questions, then refuses; None: all."""

    def __init__(self) -> None:
        self.allows: int | None = None
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        if self.allows is not None and self.asked > self.allows:
            raise NotLeader("not now")


@dataclass
class Bench:
    """Two operators' view of one API server."""

    api: FakeApi
    guard: Guard
    kube: KubeClient
    one: KubeLease
    two: KubeLease

    @property
    def spec(self) -> dict[str, object]:
        return dict(self.api.get("leases", SYSTEM, "soulbox-operator")["spec"])


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    guard = Guard()
    async with serving() as api:
        credentials = Credentials(
            write_kubeconfig(tmp_path, api.url, token="t"), user_agent="soulbox-operator (one)"
        )
        kube = KubeClient(credentials, ServerClock())
        guarded = KubeClient(credentials, ServerClock(), guard=guard)

        def lease(identity: str) -> KubeLease:
            return KubeLease(
                kube,
                guarded,
                namespace=SYSTEM,
                name="soulbox-operator",
                identity=identity,
                duration_seconds=15,
                clock=lambda: NOW,
            )

        yield Bench(api, guard, guarded, lease("one"), lease("two"))
        await credentials.close()


async def test_life_of_a_lease(bench: Bench) -> None:
    assert await bench.one.read() is None
    made = await bench.one.create()
    assert bench.spec == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-02T03:04:05.000000Z",
        "renewTime": "2026-01-02T03:04:05.000000Z",
        "leaseTransitions": 0,
    }
    assert await bench.two.read() == made
    renewed = await bench.one.renew(made, guarded=True)
    assert renewed.resource_version != made.resource_version
    await bench.one.release(renewed, guarded=True)
    free = await bench.two.read(exact=True)
    assert free is not None
    assert (free.holder, free.duration_seconds) == ("", 1)
    taken = await bench.two.take(free)
    assert (taken.holder, taken.transitions, taken.duration_seconds) == ("two", 1, 15)


async def test_renewals_differ_though_the_clock_stands_still(bench: Bench) -> None:
    record = await bench.one.create()
    times = {record.renew_time}
    for _ in range(3):
        record = await bench.one.renew(record, guarded=True)
        times.add(record.renew_time)
    assert len(times) == 4
    last = max(datetime.fromisoformat(time) for time in times)
    assert last - NOW == timedelta(microseconds=3)


async def test_of_two_that_write_on_one_version_one_gets_a_conflict(bench: Bench) -> None:
    made = await bench.one.create()
    with pytest.raises(KubeExists):
        await bench.two.create()
    await bench.two.take(made)
    with pytest.raises(KubeConflict):
        await bench.one.renew(made, guarded=True)
    with pytest.raises(KubeConflict):
        await bench.one.take(made)
    with pytest.raises(KubeConflict):
        await bench.one.release(made, guarded=False)
    assert bench.spec["holderIdentity"] == "two"


async def test_lease_that_was_deleted_cannot_be_renewed(bench: Bench) -> None:
    made = await bench.one.create()
    bench.api.delete("leases", SYSTEM, "soulbox-operator")
    with pytest.raises(KubeNotFound):
        await bench.one.renew(made, guarded=True)


async def test_api_server_that_is_away_is_said_so(bench: Bench) -> None:
    made = await bench.one.create()
    bench.api.refuse("patch", "leases", Refusal(503, "", "away"))
    with pytest.raises(KubeUnavailable):
        await bench.one.renew(made, guarded=True)


async def test_late_renewal_is_not_sent(bench: Bench) -> None:
    made = await bench.one.create()
    bench.guard.allows = 0
    with pytest.raises(NotLeader):
        await bench.one.renew(made, guarded=True)
    assert bench.api.write_count == 1
    await bench.one.renew(made, guarded=False)
    assert bench.api.write_count == 2


def test_lease_made_by_hand_says_nothing() -> None:
    empty = parse_lease({"metadata": {"resourceVersion": "5"}})
    assert (empty.holder, empty.duration_seconds, empty.transitions) == ("", 0, 0)
    other = replace(empty, resource_version="6")
    assert empty.says_the_same_as(other)
    assert not empty.says_the_same_as(replace(other, holder="x"))


async def test_guard_stops_every_kind_of_write_and_no_read(bench: Bench) -> None:
    pod = bench.api.add("pods", {"metadata": {"name": "p", "namespace": "ns"}})
    bench.guard.allows = 0
    calls = (
        lambda: bench.kube.create(PODS, {"metadata": {"name": "q"}}, "ns"),
        lambda: bench.kube.patch(PODS, "p", {"metadata": {"labels": {"a": "b"}}}, "ns"),
        lambda: bench.kube.delete(PODS, "p", "ns", uid=pod["metadata"]["uid"]),
    )
    for call in calls:
        with pytest.raises(NotLeader, match="not now"):
            await call()
    assert bench.api.write_count == 0
    assert (await bench.kube.get(PODS, "p", "ns"))["metadata"]["name"] == "p"
    assert len(await bench.kube.list(PODS)) == 1


@pytest.mark.parametrize("is_connected", [False, True])
async def test_process_stopped_between_asking_and_sending_sends_nothing(
    bench: Bench, is_connected: bool
) -> None:
    """The first question is before the connection, the second when the bytes go out."""
    pod = bench.api.add("pods", {"metadata": {"name": "p", "namespace": "ns"}})
    if is_connected:  # the connection comes out of the pool then
        await bench.kube.get(PODS, "p", "ns")
    for call in (
        lambda: bench.kube.patch(PODS, "p", {"metadata": {"labels": {"a": "b"}}}, "ns"),
        lambda: bench.kube.delete(PODS, "p", "ns", uid=pod["metadata"]["uid"]),
    ):
        bench.guard.asked, bench.guard.allows = 0, 1
        with pytest.raises(NotLeader, match="not now"):
            await call()
        assert bench.guard.asked == 2
    assert bench.api.write_count == 0
    bench.guard.allows = None
    await bench.kube.patch(PODS, "p", {"metadata": {"labels": {"a": "b"}}}, "ns")
    assert bench.api.write_count == 1
