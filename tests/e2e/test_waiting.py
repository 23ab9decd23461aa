"""Executions that wait: for a sandbox, a class, code, other Executions; and their refusals."""

import itertools

import pytest

from tests.support.builders import make_execution, make_sandbox
from tests.support.gates import meeting
from tests.support.waiting import World

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_execution_before_its_sandbox_waits_and_then_runs(world: World) -> None:
    world.create(make_execution("early"))
    status = world.wait(
        "execution", "early", lambda e: "does not exist" in e["status"].get("message", ""), "a word"
    )["status"]
    assert status["state"] == "Queued"
    world.create(make_sandbox("box"))
    assert world.execution("early")["status"]["state"] == "Completed"


def test_three_in_one_sandbox_run_one_after_the_other(world: World) -> None:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    for number in range(3):
        world.create(make_execution(f"run-{number}", code="import time\ntime.sleep(0.5)\n"))
    spans = []
    for number in range(3):
        status = world.execution(f"run-{number}")["status"]
        assert status["state"] == "Completed"
        assert status["usage"]["shared"] is False
        spans.append((status["startTime"], status["completionTime"]))
    assert spans == sorted(spans)
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end <= start


def test_two_at_once_where_the_sandbox_allows_it(world: World) -> None:
    world.create(make_sandbox("box", maxConcurrentExecutions=2))
    world.sandbox("box")
    for name, other in (("one", "two"), ("two", "one")):
        world.create(make_execution(name, code=meeting(name, other)))
    spans = [world.execution(name)["status"] for name in ("one", "two")]
    assert [one["state"] for one in spans] == ["Completed", "Completed"]
    assert spans[0]["startTime"] < spans[1]["completionTime"]
    assert spans[1]["startTime"] < spans[0]["completionTime"]


def test_unknown_language_is_refused_with_those_that_exist(world: World) -> None:
    world.create(make_execution("cobol", sandboxRef=None, className="python", language="cobol"))
    status = world.execution("cobol")["status"]
    assert (status["state"], status["reason"]) == ("Failed", "InvalidSpec")
    assert (
        'spec.language: SandboxClass "python" has no interpreter for "cobol"' in status["message"]
    )
    assert "python" in status["message"]


def test_timeout_over_the_class_maximum_is_refused(world: World) -> None:
    world.create(
        make_execution("long", sandboxRef=None, className="python", timeoutSeconds=100_000)
    )
    status = world.execution("long")["status"]
    assert status["reason"] == "InvalidSpec"
    assert status["message"].startswith("spec.timeoutSeconds: ")


def test_code_from_a_config_map_waits_for_it(world: World) -> None:
    source = {"configMapKeyRef": {"name": "scripts", "key": "main.py"}}
    world.create(
        make_execution("run", sandboxRef=None, className="python", code=None, codeFrom=source)
    )
    world.wait(
        "execution", "run", lambda e: "does not exist" in e["status"].get("message", ""), "a word"
    )
    world.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "scripts"},
            "data": {"main.py": "print('from a ConfigMap')"},
        }
    )
    assert world.execution("run")["status"]["output"]["stdout"] == "from a ConfigMap\n"


def test_code_from_a_secret_needs_the_label_and_is_not_mirrored(world: World) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "scripts"},
        "stringData": {"main.py": "print('from a Secret')"},
    }
    world.create(secret)
    source = {"secretKeyRef": {"name": "scripts", "key": "main.py"}}
    created = world.create(
        make_execution("run", sandboxRef=None, className="python", code=None, codeFrom=source)
    )
    world.wait("execution", "run", lambda e: "label" in e["status"].get("message", ""), "a word")
    world.patch("secret", "scripts", {"metadata": {"labels": {"soulbox.dev/readable": "true"}}})
    assert world.execution("run")["status"]["output"]["stdout"] == "from a Secret\n"
    uid = created["metadata"]["uid"]
    world.wait_rows("select 1 from soulbox.executions where uid = %(uid)s", uid=uid)
    assert world.rows("select 1 from soulbox.programs where code like '%%from a Secret%%'") == []


def test_ttl_deletes_the_execution_once_it_is_recorded(world: World) -> None:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    created = world.create(make_execution("brief", ttlSecondsAfterFinished=1))
    world.wait_gone("execution", "brief")
    rows = world.wait_rows(
        "select state, stdout from soulbox.executions"
        " where uid = %(uid)s and deleted_at is not null",
        uid=created["metadata"]["uid"],
    )
    assert (rows[0]["state"], rows[0]["stdout"]) == ("completed", "42\n")


def test_deleting_an_unfinished_execution_cancels_it_and_the_row_says_so(world: World) -> None:
    world.create(make_sandbox("box"))
    world.sandbox("box")
    code = "import time\nprint('begun')\ntime.sleep(600)\n"
    created = world.create(make_execution("run", code=code))
    world.wait("execution", "run", lambda e: e["status"]["state"] == "Running", "Running")
    world.delete("execution", "run")
    world.wait_gone("execution", "run")
    rows = world.rows(
        "select state, stdout from soulbox.executions where uid = %(uid)s",
        uid=created["metadata"]["uid"],
    )
    assert rows == [{"state": "cancelled", "stdout": "begun\n"}]


def test_missing_image_is_visible_on_the_sandbox(world: World) -> None:
    python = world.kubectl.get("sandboxclass", "python")
    spec = {**python["spec"], "image": "soulbox/no-such-image:dev", "imagePullPolicy": "Never"}
    name = f"broken-{world.namespace}"
    world.kubectl.create(
        {
            "apiVersion": python["apiVersion"],
            "kind": "SandboxClass",
            "metadata": {"name": name},
            "spec": spec,
        }
    )
    try:
        world.create(make_sandbox("box", className=name))
        status = world.wait(
            "sandbox", "box", lambda s: s["status"].get("reason") == "ImagePullFailed", "a reason"
        )["status"]
        assert status["state"] == "Starting"
        assert "no-such-image" in status["message"]
        world.delete("sandbox", "box")
        world.wait_gone("sandbox", "box")
    finally:
        world.kubectl.run("delete", "sandboxclass", name)
