"""Two operators, one Lease: handed over, killed, stopped and resumed during 50 Executions."""

from __future__ import annotations

import asyncio
import json
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from soulbox.mirror.fence import Fence, LeaderFenced
from soulbox.store.pool import open_store
from tests.support.audit import WRITES, audit_log
from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import Kubectl
from tests.support.fix_operator import OperatorProcess
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.alone]

COUNT = 50
AT_ONCE = 4
# Appends its name to a file each time it runs, so that a second run would show.
CODE = """
import time
with open('/workspace/runs', 'a') as runs:
    runs.write('{name}\\n')
time.sleep(0.5)
print('{name}')
"""


@dataclass
class Pair:
    """Two operators: `one` leads, `two` stands by."""

    one: OperatorProcess
    two: OperatorProcess
    world: World


def leads(process: OperatorProcess) -> bool:
    """What its metrics say."""
    try:
        return "soulbox_leader 1.0" in process.get("/metrics")
    except OSError:
        return False


@pytest.fixture
def pair(
    kubectl: Kubectl,
    namespace: str,
    database: str,
    operator: OperatorProcess,
    tmp_path: Path,
) -> Iterator[Pair]:
    if operator.runs:
        operator.stop()
    mark = uuid.uuid4().hex[:6]
    both = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        both.append(OperatorProcess(kubectl, database, tmp_path / name, f"{name}-{mark}"))
    one, two = both
    world = World(kubectl, namespace, database, two.log)
    try:
        one.start()
        world.poll(lambda: leads(one), "the first to lead")
        two.start()
        yield Pair(one, two, world)
    finally:
        for process in both:
            if process.runs:
                with suppress(ProcessLookupError):
                    process.send(signal.SIGCONT)
                process.stop()


def audited(process: OperatorProcess, since: float) -> list[tuple[float, str]]:
    """Writes of a process that the API server received since then: when, and what."""
    found = []
    for line in audit_log(process.kubectl).read_bytes().splitlines():
        entry: dict[str, Any] = json.loads(line)
        at = datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
        about = entry.get("objectRef") or {}
        if (
            f"({process.identity})" in entry.get("userAgent", "")
            and entry["verb"] in WRITES
            and at >= since
        ):
            found.append((at, f"{entry['verb']} {about.get('resource')}"))
    return found


def begin(world: World) -> list[str]:
    """50 Executions in one Sandbox, some of them over, some under way, most waiting."""
    world.create(make_sandbox("box", maxConcurrentExecutions=AT_ONCE))
    world.sandbox("box")
    names = [f"run-{number:02}" for number in range(COUNT)]
    items = [
        make_execution(name, namespace=world.namespace, code=CODE.format(name=name))
        for name in names
    ]
    world.kubectl.run(
        "create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )
    world.poll(lambda: len(ended(world)) >= 2 * AT_ONCE, "the first Executions to end")
    return names


def ended(world: World) -> list[dict[str, Any]]:
    """Executions that are over."""
    return [
        one for one in world.list("executions") if "completionTime" in (one.get("status") or {})
    ]


def assert_each_ran_once(world: World, names: list[str]) -> None:
    """50 outcomes, each of one run, in the cluster, in the workspace and in PostgreSQL."""
    world.poll(lambda: len(ended(world)) == COUNT, "all Executions to end")
    for found in ended(world):
        status, name = found["status"], found["metadata"]["name"]
        assert (status["state"], status["attempt"]) == ("Completed", 1), name
        assert status["output"]["stdout"] == f"{name}\n"
    lines = world.shell(world.pod_of("box"), "cat", "/workspace/runs").splitlines()
    assert sorted(lines) == names
    rows = world.wait_rows(
        "select name, state::text, attempt from soulbox.executions where namespace = %(name)s"
        " and state = 'completed'",
        lambda rows: len(rows) == COUNT,
        name=world.namespace,
    )
    assert sorted(row["name"] for row in rows) == names
    assert {row["attempt"] for row in rows} == {1}


def until_it_leads(pair: Pair, began: float) -> float:
    """Seconds from then until the second leads."""
    pair.world.poll(lambda: leads(pair.two), "the second to lead")
    return time.time() - began


def report(pair: Pair, what: str, began: float, seconds: float) -> None:
    """The figures of a hand-over."""
    of_one = [at for at, what in audited(pair.one, 0) if "leases" not in what]
    of_two = [at for at, what in audited(pair.two, began) if "leases" not in what]
    print(
        f"\nHAND-OVER {what}: leads after {seconds:.2f} s, first write after"
        f" {of_two[0] - began:.2f} s; the cluster saw no write for {of_two[0] - of_one[-1]:.2f} s"
    )


def lines_of(process: OperatorProcess, event: str) -> list[dict[str, Any]]:
    """Its log entries that begin so."""
    entries = [
        json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")
    ]
    return [entry for entry in entries if str(entry.get("event", "")).startswith(event)]


def leader_epoch(world: World) -> tuple[str, int]:
    """Whose, and which, in PostgreSQL."""
    uid = world.kubectl.get("namespace", "kube-system")["metadata"]["uid"]
    (row,) = world.rows(
        "select leader_epoch from soulbox.mirror_state where cluster = %(uid)s", uid=uid
    )
    return uid, int(row["leader_epoch"])


def test_standby_is_ready_and_says_what_it_is(pair: Pair) -> None:
    assert pair.two.answers("/healthz")
    assert pair.two.get("/readyz") == "standby: ok\n"
    assert "soulbox_leader 0.0" in pair.two.get("/metrics")
    assert "standby" not in pair.one.get("/readyz")
    pair.world.poll(lambda: bool(lines_of(pair.two, "standing by")), "its first look at the Lease")
    (waits,) = lines_of(pair.two, "standing by")
    assert waits["holder"] == pair.one.identity
    assert waits["lease"] == "soulbox-system/soulbox-operator"
    assert audited(pair.two, 0) == []


def test_sigterm_hands_over_without_waiting_for_the_lease(pair: Pair) -> None:
    names = begin(pair.world)
    began = time.time()
    pair.one.send(signal.SIGTERM)
    seconds = until_it_leads(pair, began)
    assert pair.one.wait(PATIENCE_SECONDS) == 0
    assert_each_ran_once(pair.world, names)
    report(pair, "SIGTERM", began, seconds)
    (leads_line,) = lines_of(pair.two, "this operator leads")
    assert leads_line["why"] == "released"


def test_sigkill_is_waited_out_and_said_so(pair: Pair) -> None:
    names = begin(pair.world)
    began = time.time()
    pair.one.kill()
    seconds = until_it_leads(pair, began)
    assert_each_ran_once(pair.world, names)
    report(pair, "SIGKILL", began, seconds)
    (dead,) = lines_of(pair.two, "the holder of the Lease does not renew it")
    assert dead["holder"] == pair.one.identity
    assert 0 < dead["takes_over_after_seconds"] <= 5
    (leads_line,) = lines_of(pair.two, "this operator leads")
    assert leads_line["why"] == "expired"


def test_leader_stopped_past_its_lease_and_resumed_writes_nothing(pair: Pair) -> None:
    names = begin(pair.world)
    uid, epoch_before = leader_epoch(pair.world)
    began = time.time()
    pair.one.send(signal.SIGSTOP)
    seconds = until_it_leads(pair, began)
    done = len(ended(pair.world))
    pair.world.poll(lambda: len(ended(pair.world)) > done, "the second to work")
    assert len(ended(pair.world)) < COUNT, "the first must find something to do"
    resumed = time.time()
    pair.one.send(signal.SIGCONT)
    assert pair.one.wait(PATIENCE_SECONDS) == 1
    print(f"\nRESUMED: ended by itself after {time.time() - resumed:.2f} s")
    assert_each_ran_once(pair.world, names)
    report(pair, "SIGSTOP", began, seconds)

    assert audited(pair.one, resumed) == []
    assert audited(pair.two, resumed) != []
    last = pair.one.log.read_text().splitlines()[-1]
    print(last)
    assert last.startswith("soulbox: ")
    assert f"{pair.two.identity} holds it" in last or "leader epoch" in last
    _, epoch = leader_epoch(pair.world)
    assert epoch == epoch_before + 1
    print(asyncio.run(refusal(pair.world.dsn, uid, epoch_before)))


async def refusal(dsn: str, uid: str, epoch: int) -> str:
    """What PostgreSQL's fence says to a writer of an epoch."""
    store = await open_store(dsn)
    try:
        async with store.transaction() as tx:
            with pytest.raises(LeaderFenced, match="another operator writes") as refused:
                await Fence(store, uid, epoch).check(tx)
    finally:
        await store.close()
    return f"PostgreSQL to epoch {epoch}: {refused.value}"


def test_without_election_the_later_of_two_ends_the_first(pair: Pair) -> None:
    """Settings nobody should have; still one clear line, and one that goes on."""
    pair.one.stop()
    pair.two.stop()
    pair.one.start(SOULBOX_LEADER_ELECT="false")
    pair.world.poll(lambda: bool(lines_of(pair.one, "operator started")[1:]), "the first to start")
    pair.two.start(SOULBOX_LEADER_ELECT="false")
    pair.world.create(make_sandbox("box"))
    pair.world.create(make_execution("run"))
    assert pair.one.wait(PATIENCE_SECONDS) == 1
    last = pair.one.log.read_text().splitlines()[-1]
    print(f"\n{last}")
    assert last.startswith("soulbox: leader epoch ")
    status = pair.world.execution("run")["status"]
    assert (status["state"], status["attempt"]) == ("Completed", 1)
    assert audited(pair.two, 0) != []


def test_clock_of_the_operator_an_hour_off_changes_nothing(pair: Pair) -> None:
    """Its times in the Lease are for people: another hand wrote them an hour away."""
    for hours in (-1, 1):
        moved = datetime.fromtimestamp(time.time() + hours * 3600, tz=UTC)
        pair.world.kubectl.merge_patch(
            "lease",
            "soulbox-operator",
            "soulbox-system",
            {"spec": {"renewTime": moved.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}},
        )
        pair.world.pause(3)
        assert leads(pair.one)
        assert not leads(pair.two)
