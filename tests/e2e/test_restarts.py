"""The operator ends at bad moments; nothing is lost, run twice or left unbilled."""

from datetime import UTC, datetime

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.fix_kube import KubectlError
from tests.support.fix_operator import OperatorProcess
from tests.support.gates import UNTIL_GO, go
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Appends a line to a file each time it runs, so that a second run would show.
ONCE = f"""
with open('/workspace/runs', 'a') as runs:
    runs.write('ran\\n')
{UNTIL_GO}
print('ended')
"""


def begin(world: World, code: str) -> None:
    """A Sandbox `box` in which the Execution `run` is running."""
    world.create(make_sandbox("box"))
    world.sandbox("box")
    world.create(make_execution("run", code=code))
    world.wait("execution", "run", lambda e: e["status"]["state"] == "Running", "Running")


def test_killed_during_a_run_the_execution_completes_once(
    world: World, operator: OperatorProcess
) -> None:
    begin(world, ONCE)
    operator.kill()
    operator.start()
    go(world)
    status = world.execution("run")["status"]
    assert (status["state"], status["output"]["stdout"]) == ("Completed", "begun\nended\n")
    assert status["attempt"] == 1
    assert world.shell(world.pod_of("box"), "cat", "/workspace/runs") == "ran\n"


def test_a_run_that_ended_while_the_operator_was_away_keeps_its_result(
    world: World, operator: OperatorProcess
) -> None:
    begin(world, ONCE)
    operator.kill()
    pod = world.pod_of("box")
    go(world)
    world.poll(lambda: has_ended(world, pod), "the run to end")
    over = datetime.now(UTC)
    operator.start()
    status = world.execution("run")["status"]
    assert (status["state"], status["output"]["stdout"]) == ("Completed", "begun\nended\n")
    started, completed = (
        datetime.fromisoformat(status[name]) for name in ("startTime", "completionTime")
    )
    assert started < completed <= over, "its own end, not when it was heard of"
    assert status["durationMilliseconds"] <= (over - started).total_seconds() * 1000


def has_ended(world: World, pod: str) -> bool:
    """Whether no program runs in the pod."""
    try:
        return "python3" not in world.shell(pod, "sh", "-c", PROCESSES)
    except KubectlError:
        return False  # when a run ends, everything in the pod is killed, our shell too


PROCESSES = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done"


def test_a_pod_deleted_while_the_operator_is_away_is_billed_to_its_real_end(
    world: World, operator: OperatorProcess
) -> None:
    created = world.create(make_sandbox("box"))
    world.sandbox("box")
    pod = world.pod_of("box")
    operator.kill()
    world.delete("pod", pod)
    ended = world.wait(
        "pod",
        pod,
        lambda p: "terminated" in p["status"]["containerStatuses"][0]["state"],
        "the container's end",
    )
    terminated = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    operator.start()
    rows = world.wait_rows(
        "select starts_at, ends_at from soulbox.billing_events"
        " where pod_uid = %(pod)s order by starts_at",
        pod=ended["metadata"]["uid"],
    )
    assert rows[0]["starts_at"] == datetime.fromisoformat(terminated["startedAt"])
    assert rows[-1]["ends_at"] == datetime.fromisoformat(terminated["finishedAt"])
    world.wait_gone("pod", pod)
    status = world.wait(
        "sandbox", "box", lambda s: s["status"].get("incarnation") == 2, "the next incarnation"
    )
    assert status["metadata"]["uid"] == created["metadata"]["uid"]


def test_sigterm_does_not_wait_for_a_run_under_way(world: World, operator: OperatorProcess) -> None:
    begin(world, ONCE)
    operator.stop()
    operator.start()
    assert world.get("execution", "run")["status"]["state"] == "Running"
    go(world)
    assert world.execution("run")["status"]["state"] == "Completed"


def test_objects_deleted_while_the_operator_is_away_go_when_it_is_back(
    world: World, operator: OperatorProcess
) -> None:
    box = world.create(make_sandbox("box"))
    world.sandbox("box")
    run = world.create(make_execution("run"))
    world.execution("run")
    operator.kill()
    world.delete("sandbox", "box")
    world.delete("execution", "run")
    operator.start()
    world.wait_gone("sandbox", "box")
    world.wait_gone("execution", "run")
    assert world.pods() == []
    for table, found in (("sandboxes", box), ("executions", run)):
        world.wait_rows(
            f"select 1 from soulbox.{table} where uid = %(uid)s and deleted_at is not null",
            uid=found["metadata"]["uid"],
        )


def test_a_namespace_deleted_with_everything_in_it_ends(world: World) -> None:
    begin(world, "import time\ntime.sleep(600)\n")
    name = world.namespace
    world.kubectl.run("delete", "namespace", name)
    (run,) = world.wait_rows(
        "select state, reason, message from soulbox.executions where namespace = %(name)s",
        name=name,
    )
    assert (run["state"], run["reason"]) == ("cancelled", "Cancelled")
    assert "namespace was deleted while its code ran" in run["message"]
    (box,) = world.wait_rows(
        "select state, reason, incarnation, deleted_at is not null as gone from soulbox.sandboxes"
        " where namespace = %(name)s",
        name=name,
    )
    want = {"state": "terminated", "reason": "Deleted", "incarnation": 1, "gone": True}
    assert box == want, "no pod was tried in a namespace that goes"
