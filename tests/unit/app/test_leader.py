"""Leader election in virtual time: several candidates, one Lease, all that can go wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from soulbox.app.leader import Leadership, Timing, make_identity
from soulbox.model.errors import (
    ConfigError,
    KubeConflict,
    KubeExists,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
    LeaderLost,
    NotLeader,
)
from soulbox.pure.election import LeaseRecord
from soulbox.schema.settings import Settings
from soulbox.telemetry.metrics import Metrics
from tests.support.fix_clock import settle, virtual_time

pytestmark = pytest.mark.usefixtures("logged")

TIMING = Timing(duration_seconds=15, renew_deadline_seconds=10, renew_seconds=2)
AWAY = KubeUnavailable("the API server is away")


class Server:
    """The Lease as an API server keeps it: versions, conflicts, and whatever breaks."""

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self.writes: list[tuple[str, str]] = []
        self._versions = itertools.count(1)

    def store(self, record: LeaseRecord) -> LeaseRecord:
        """Keep it under a new version."""
        self.record = replace(record, resource_version=str(next(self._versions)))
        return self.record


class Candidate:
    """One process: its own clock, its own road to the server. It is its own LeaseLock."""

    def __init__(self, server: Server, identity: str, timing: Timing = TIMING) -> None:
        self.server = server
        self.timing = timing
        self.metrics = Metrics()
        # It was stopped for so long: its clock went on, its timers did not.
        self.stopped_seconds = 0.0
        # It is stopped until then, and does not come from one line to the next.
        self.stopped_until = 0.0
        self.fails: Exception | None = None
        self.loses_answers = False
        self.leadership = Leadership(
            identity, "soulbox-system/soulbox-operator", timing, self.metrics, self.now
        )
        self.leadership.use(self)

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.stopped_seconds

    @property
    def leads(self) -> bool:
        return not self.leadership.problem()

    def _record(self, transitions: int) -> LeaseRecord:
        return LeaseRecord(
            holder=self.leadership.identity,
            duration_seconds=self.timing.duration_seconds,
            transitions=transitions,
            renew_time=str(self.now()),
            resource_version="",
        )

    async def _while_stopped(self) -> None:
        await asyncio.sleep(max(0.0, self.stopped_until - self.now()))

    async def _write(
        self, verb: str, old: LeaseRecord | None, new: LeaseRecord, *, guarded: bool = False
    ) -> LeaseRecord:
        await self._while_stopped()
        if guarded:
            self.leadership.check()
        stored = self._store(verb, old, new)
        await self._while_stopped()
        return stored

    def _store(self, verb: str, old: LeaseRecord | None, new: LeaseRecord) -> LeaseRecord:
        if self.fails is not None:
            raise self.fails
        self.server.writes.append((verb, self.leadership.identity))
        current = self.server.record
        if old is None:
            if current is not None:
                raise KubeExists("it exists")
        elif current is None:
            raise KubeNotFound("there is none")
        elif current.resource_version != old.resource_version:
            raise KubeConflict("it changed")
        stored = self.server.store(new)
        if self.loses_answers:
            raise AWAY
        return stored

    async def read(self, *, exact: bool = False) -> LeaseRecord | None:
        del exact
        await self._while_stopped()
        if self.fails is not None:
            raise self.fails
        found = self.server.record
        await self._while_stopped()
        return found

    async def create(self) -> LeaseRecord:
        return await self._write("create", None, self._record(0))

    async def take(self, record: LeaseRecord) -> LeaseRecord:
        return await self._write("take", record, self._record(record.transitions + 1))

    async def renew(self, record: LeaseRecord, *, guarded: bool) -> LeaseRecord:
        new = self._record(record.transitions)
        return await self._write("renew", record, new, guarded=guarded)

    async def release(self, record: LeaseRecord, *, guarded: bool) -> None:
        new = replace(self._record(record.transitions), holder="")
        await self._write("release", record, new, guarded=guarded)


@asynccontextmanager
async def standing_by(candidate: Candidate) -> AsyncIterator[asyncio.Task[None]]:
    """A task that stands by, then leads until it loses."""

    async def life() -> None:
        await candidate.leadership.acquire()
        await candidate.leadership.hold()

    task = asyncio.create_task(life())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, LeaderLost):
            await task


async def seconds_until_it_leads(candidate: Candidate) -> float:
    """How long it still stands by, to a hundredth."""
    return await seconds_until(lambda: candidate.leads)


async def seconds_until(done: Callable[[], bool]) -> float:
    """How long it takes, to a hundredth; looking takes no time here."""
    began = asyncio.get_running_loop().time()
    while not done():  # noqa: ASYNC110 - nothing tells, and the time is virtual
        await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time() - began


def says(logged: list[MutableMapping[str, Any]], event: str) -> list[MutableMapping[str, Any]]:
    """Entries whose words begin so."""
    return [entry for entry in logged if entry["event"].startswith(event)]


@virtual_time
async def test_first_one_leads_at_once_and_renews() -> None:
    server = Server()
    one = Candidate(server, "one")
    with pytest.raises(NotLeader):
        one.leadership.check()
    async with standing_by(one):
        assert await seconds_until_it_leads(one) < 1
        await asyncio.sleep(60)
        one.leadership.check()
    assert server.writes[0] == ("create", "one")
    assert 25 <= server.writes.count(("renew", "one")) <= 30
    assert one.metrics.registry.get_sample_value("soulbox_leader") == 1


async def led_by(server: Server, candidate: Candidate) -> None:
    """The candidate leads and has just renewed."""
    await candidate.leadership.acquire()
    assert server.record is not None


async def test_standby_takes_over_within_a_second_of_a_release() -> None:
    @virtual_time
    async def run() -> None:
        server = Server()
        one, two = Candidate(server, "one"), Candidate(server, "two")
        await led_by(server, one)
        async with standing_by(two):
            await asyncio.sleep(3)
            assert not two.leads
            await one.leadership.release()
            with pytest.raises(NotLeader):
                one.leadership.check()
            assert await seconds_until_it_leads(two) <= 0.51
        assert server.record is not None
        assert server.record.transitions == 1

    await asyncio.to_thread(run)


def dead_leader(server: Server, candidate: Candidate) -> None:
    """A Lease whose holder is gone."""
    server.store(candidate._record(0))


def test_standby_waits_a_dead_leaders_lease_out_and_says_so(
    logged: list[MutableMapping[str, Any]],
) -> None:
    @virtual_time
    async def run() -> float:
        server = Server()
        dead_leader(server, Candidate(server, "dead"))
        two = Candidate(server, "two")
        async with standing_by(two):
            return await seconds_until_it_leads(two)

    assert 15 <= run() <= 15.6
    (waits,) = says(logged, "standing by")
    assert (waits["holder"], waits["takes_over_after_seconds"]) == ("dead", 15.0)
    (dead,) = says(logged, "the holder of the Lease does not renew it")
    assert (dead["holder"], dead["log_level"]) == ("dead", "warning")
    assert 4 <= dead["takes_over_after_seconds"] <= 5
    (leads,) = says(logged, "this operator leads")
    assert leads["why"] == "expired"


@virtual_time
async def test_process_of_the_same_identity_takes_over_at_once_and_ends_the_other() -> None:
    server = Server()
    one, again = Candidate(server, "one"), Candidate(server, "one")
    async with standing_by(one) as first:
        await seconds_until_it_leads(one)
        async with standing_by(again):
            assert await seconds_until_it_leads(again) <= 0.02
            with pytest.raises(LeaderLost, match="a later process of the same identity"):
                await first
            assert again.leads
            assert not one.leads


@virtual_time
async def test_of_two_that_see_a_free_lease_one_leads() -> None:
    server = Server()
    both = [Candidate(server, "one"), Candidate(server, "two")]
    async with standing_by(both[0]), standing_by(both[1]):
        await asyncio.sleep(30)
        assert sum(one.leads for one in both) == 1


def test_leader_cut_off_is_silent_before_another_may_take_over(
    logged: list[MutableMapping[str, Any]],
) -> None:
    @virtual_time
    async def run() -> tuple[float, float, str]:
        server = Server()
        one, two = Candidate(server, "one"), Candidate(server, "two")
        async with standing_by(one) as first:
            await seconds_until_it_leads(one)
            await asyncio.sleep(5)
            async with standing_by(two):
                await asyncio.sleep(5)
                one.fails = AWAY
                silent = await seconds_until(lambda: not one.leads)
                taken = silent + await seconds_until_it_leads(two)
                one.fails = None
                with pytest.raises(LeaderLost) as lost:
                    await first
                return silent, taken, str(lost.value)

    silent, taken, words = run()
    assert 8 <= silent <= 10.1
    # The other counts from when it saw the last renewal, and looks again after that, half a
    # second at most each.
    assert silent + 4 <= taken <= 16.1
    assert (
        words == "Lease soulbox-system/soulbox-operator is lost: two holds it; this operator ends"
    )
    assert len(says(logged, "the Lease was not renewed in time")) == 1
    # Two tries a second for over ten seconds are not as many lines.
    assert 3 <= len([e for e in logged if e["event"] == "the Lease was not renewed"]) <= 6


def test_leader_cut_off_leads_on_when_nobody_took_over(
    logged: list[MutableMapping[str, Any]],
) -> None:
    @virtual_time
    async def run() -> Metrics:
        server = Server()
        one = Candidate(server, "one")
        async with standing_by(one):
            await seconds_until_it_leads(one)
            one.fails = AWAY
            await asyncio.sleep(3600)
            assert not one.leads
            one.fails = None
            await seconds_until_it_leads(one)
            await asyncio.sleep(60)
            assert one.leads
        return one.metrics

    metrics = run()
    assert says(logged, "this operator continues to lead")

    def count(to: str) -> float | None:
        return metrics.registry.get_sample_value("soulbox_leader_transitions_total", {"to": to})

    assert (count("leader"), count("silent"), count("lost")) == (2, 1, 0)
    failures = metrics.registry.get_sample_value("soulbox_lease_renew_failures_total")
    assert failures is not None
    assert failures > 100


@virtual_time
async def test_leader_that_was_stopped_past_its_lease_writes_nothing_when_it_goes_on() -> None:
    server = Server()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    async with standing_by(one) as first:
        await seconds_until_it_leads(one)
        async with standing_by(two):
            # Stopped: from now on it does not run, and its clock goes on.
            one.fails = AWAY
            await seconds_until_it_leads(two)
            server.writes.clear()
            one.fails, one.stopped_seconds = None, 600.0
            with pytest.raises(NotLeader):
                one.leadership.check()
            with pytest.raises(LeaderLost):
                await first
            assert [write for write in server.writes if write[1] == "one"] == []
            await one.leadership.release()
            assert [write for write in server.writes if write[1] == "one"] == []


@virtual_time
async def test_stopped_leader_that_goes_on_before_anybody_took_over_asks_first() -> None:
    server = Server()
    one = Candidate(server, "one")
    async with standing_by(one):
        await seconds_until_it_leads(one)
        one.stopped_seconds = 600.0
        assert not one.leads
        await seconds_until_it_leads(one)


@virtual_time
async def test_renewal_whose_answer_gets_lost_costs_nothing() -> None:
    server = Server()
    one = Candidate(server, "one")
    async with standing_by(one) as task:
        await seconds_until_it_leads(one)
        one.loses_answers = True
        await asyncio.sleep(3)
        one.loses_answers = False
        await asyncio.sleep(3)
        assert one.leads
        assert not task.done()


@virtual_time
async def test_deleted_lease_is_made_again_by_its_holder_and_nobody_else() -> None:
    server = Server()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    async with standing_by(one), standing_by(two):
        await settle()
        leader, other = (one, two) if one.leads else (two, one)
        await asyncio.sleep(5)
        server.record = None
        await asyncio.sleep(5)
        assert server.record is not None
        assert server.record.holder == leader.leadership.identity
        assert leader.leads
        assert not other.leads


def test_lease_deleted_while_the_leader_is_cut_off_ends_it() -> None:
    @virtual_time
    async def run() -> None:
        server = Server()
        one = Candidate(server, "one")
        async with standing_by(one) as task:
            await seconds_until_it_leads(one)
            one.fails = AWAY
            await asyncio.sleep(30)
            server.record = None
            one.fails = None
            with pytest.raises(LeaderLost, match="the Lease was deleted"):
                await task

    run()


@virtual_time
async def test_end_while_the_lease_is_being_taken_leaves_it_free() -> None:
    server = Server()
    one = Candidate(server, "one")
    one.loses_answers = True  # taken, and it does not know
    async with standing_by(one):
        await settle()
    one.loses_answers = False
    assert server.record is not None
    assert server.record.holder == "one"
    await one.leadership.release()
    assert server.record.holder == ""


@virtual_time
async def test_release_is_repeated_safely_and_its_failure_is_no_error() -> None:
    server = Server()
    one = Candidate(server, "one")
    await one.leadership.release()  # never stood by
    await one.leadership.acquire()
    one.fails = AWAY
    await one.leadership.release()
    assert not one.leads
    one.fails = None
    await one.leadership.release()
    assert ("release", "one") not in server.writes


@virtual_time
async def test_release_after_a_change_by_hand() -> None:
    server = Server()
    one = Candidate(server, "one")
    await one.leadership.acquire()
    assert server.record is not None
    server.store(server.record)  # a label was put on it
    await one.leadership.release()
    assert server.record.holder == ""


def test_release_does_not_take_the_lease_from_another(
    logged: list[MutableMapping[str, Any]],
) -> None:
    @virtual_time
    async def run() -> None:
        server = Server()
        one, two = Candidate(server, "one"), Candidate(server, "two")
        await one.leadership.acquire()
        one.stopped_seconds = 100
        await two.take(server.record)  # type: ignore[arg-type]
        await one.leadership.release()
        assert server.record is not None
        assert server.record.holder == "two"

    run()
    assert says(logged, "the Lease is released") == []


@virtual_time
async def test_api_server_that_is_away_while_standing_by_is_waited_for() -> None:
    server = Server()
    one = Candidate(server, "one")
    one.fails = AWAY
    async with standing_by(one):
        await asyncio.sleep(120)
        one.fails = None
        assert await seconds_until_it_leads(one) <= 0.51


WRONG = {
    "no right": (
        KubeRefused(403, "Forbidden", "may not"),
        r"Lease soulbox-system/soulbox-operator cannot be read or written: may not .*Role",
    ),
    "no namespace": (
        KubeNotFound("namespaces not found"),
        'namespace "soulbox-system" does not exist; create it',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_the_installation_is_one_line(name: str) -> None:
    error, words = WRONG[name]

    @virtual_time
    async def run() -> None:
        one = Candidate(Server(), "one")
        one.fails = error
        await one.leadership.acquire()

    with pytest.raises(ConfigError, match=words):
        run()


def test_without_election_everything_is_allowed_for_ever() -> None:
    one = Candidate(Server(), "one")
    one.leadership.lead_alone()
    one.leadership.check()
    asyncio.run(one.leadership.release())
    one.leadership.check()


def test_identity_is_the_hosts_name_and_a_number_or_what_is_set() -> None:
    plain = Settings(dsn="x")
    assert make_identity(plain) != make_identity(plain)
    assert make_identity(Settings(dsn="x", lease_identity="trial")) == "trial"


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["cut", "heal", "stop", "lose", "delete", "label"]),
        st.floats(0.1, 30),
    ),
    max_size=25,
)


def happen(server: Server, one: Candidate, what: str, seconds: float) -> None:
    """One thing that goes wrong, or right again."""
    match what:
        case "cut":
            one.fails = AWAY
        case "heal":
            one.fails, one.loses_answers = None, False
        case "stop":
            one.stopped_until = max(one.stopped_until, one.now() + seconds)
        case "lose":
            one.loses_answers = True
        case "delete":
            server.record = None
        case "label" if server.record is not None:
            server.store(server.record)


async def life(one: Candidate) -> None:
    """Stand by, lead, end."""
    with suppress(LeaderLost):
        await one.leadership.acquire()
        await one.leadership.hold()


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=settings.default.max_examples * 3 // 5)  # each is three operators
def test_never_do_two_lead_at_once(steps: list[tuple[int, str, float]]) -> None:
    """Cut off, stopped, answers lost, the Lease deleted and labelled, in any order, among
    three that have seen it once. (Deleted once: one that is cut off cannot learn of two
    deletions from a Lease. PostgreSQL's epoch then ends the older.)"""
    deletions = [step for step in steps if step[1] == "delete"]
    assume(len(deletions) <= 1)

    @virtual_time
    async def run() -> None:
        server = Server()
        candidates = [Candidate(server, name) for name in ("one", "two", "three")]
        tasks = [asyncio.create_task(life(one)) for one in candidates]
        await settle()
        for number, what, seconds in steps:
            happen(server, candidates[number], what, seconds)
            for _ in range(int(seconds * 10)):
                assert sum(one.leads for one in candidates) <= 1
                await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run()
