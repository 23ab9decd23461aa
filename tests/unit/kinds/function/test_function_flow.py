"""A Function on an API server that counts: what is written, in which end state."""

from __future__ import annotations

from typing import Any

import pytest

from soulbox.kinds.function.revisions import Revisions
from soulbox.model.errors import InvalidManifest, KubeUnavailable
from soulbox.model.keys import FUNCTION_UID_LABEL, REVISION_ANNOTATION
from soulbox.model.states import Kind
from tests.support.builders import make_execution, make_function, make_sandbox, stored
from tests.support.fake_api import Refusal
from tests.support.reconciling import NAMESPACE, Bench, uid_of

CODE = "def main(input): return %s"


def add(bench: Bench, **spec: Any) -> str:
    return uid_of(bench.api.add("functions", make_function("resize", NAMESPACE, **spec)))


def status(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = bench.api.get("functions", NAMESPACE, "resize")["status"]
    return found


def change(bench: Bench, **spec: Any) -> None:
    bench.api.edit("functions", NAMESPACE, "resize", {"spec": spec})


async def test_publishing_takes_two_writes_and_resting_none(bench: Bench) -> None:
    bench.add_class()
    add(bench)
    await bench.settle()
    publishing = [("create", "controllerrevisions"), ("patch", "functions/status")]
    assert bench.api.take_writes() == publishing
    assert status(bench)["version"] == "1"
    change(bench, code=CODE % 2)
    await bench.settle()
    assert bench.api.take_writes() == publishing
    assert status(bench)["version"] == "2"
    # Back to the first: nothing is published.
    change(bench, code=make_function()["spec"]["code"])
    await bench.settle()
    assert bench.api.take_writes() == [("patch", "functions/status")]
    assert status(bench)["version"] == "1"
    for _ in range(5):
        await bench.elapse(60)
    await bench.restart()
    await bench.settle()
    assert bench.api.take_writes() == []
    assert bench.posted() == []


async def test_version_whose_status_was_not_written_is_not_made_twice(bench: Bench) -> None:
    bench.add_class()
    add(bench, version="1.0.0")
    bench.api.refuse("patch", "functions/status", Refusal(500, "InternalError", "no"))
    with pytest.raises(KubeUnavailable):
        await bench.settle()
    await bench.restart()
    await bench.settle()
    assert status(bench)["version"] == "1.0.0"
    assert len(bench.api.named("controllerrevisions")) == 1


async def test_status_that_was_lost_is_found_again_from_what_is_held(bench: Bench) -> None:
    bench.add_class()
    uid = add(bench)
    await bench.settle()
    change(bench, code=CODE % 2)
    await bench.settle()
    before = status(bench)
    del bench.api.objects["functions", NAMESPACE, "resize"]["status"]
    await bench.restart()
    bench.keys.add(Kind.FUNCTION, uid)
    await bench.settle()
    after = status(bench)
    for field in ("version", "revision", "versions", "published"):
        assert after[field] == before[field]


async def test_version_that_somebody_deleted_is_published_again(bench: Bench) -> None:
    bench.add_class()
    uid = add(bench)
    await bench.settle()
    before = status(bench)
    name = before["revision"]
    held = bench.api.objects.pop(("controllerrevisions", NAMESPACE, name))
    bench.api.take_writes()
    await bench.restart()
    bench.keys.add(Kind.FUNCTION, uid)
    await bench.settle()
    assert bench.api.get("controllerrevisions", NAMESPACE, name)["data"] == held["data"]
    assert [one["version"] for one in status(bench)["versions"]] == ["1"]
    assert status(bench)["state"] == "Ready"
    # Once for each operator: it rests again.
    bench.api.take_writes()
    bench.api.reads.clear()
    for _ in range(3):
        bench.keys.add(Kind.FUNCTION, uid)
        await bench.settle()
    assert (bench.api.take_writes(), bench.api.reads) == ([], [])


async def test_status_that_was_lost_while_it_is_watched_is_made_again(bench: Bench) -> None:
    bench.add_class()
    uid = add(bench)
    await bench.settle()
    before = status(bench)
    bench.api.edit("functions", NAMESPACE, "resize", {"status": None})
    bench.keys.add(Kind.FUNCTION, uid)
    await bench.settle()
    assert status(bench)["versions"] == before["versions"]


async def test_quota_that_refuses_is_told_and_tried_again(bench: Bench) -> None:
    bench.add_class()
    add(bench)
    bench.api.refuse(
        "create",
        "controllerrevisions",
        Refusal(403, "Forbidden", "exceeded quota: versions"),
        times=2,  # its own word wakes it once
    )
    await bench.settle()
    told = status(bench)
    assert (told["state"], told["reason"]) == ("Error", "QuotaExceeded")
    assert "exceeded quota: versions" in told["message"]
    await bench.elapse(30)
    assert status(bench)["reason"] == "Published"


@pytest.mark.parametrize("names", ["its version", "what it was dispatched with"])
async def test_what_an_unfinished_call_runs_or_names_is_not_withdrawn(
    bench: Bench, names: str
) -> None:
    bench.add_class()
    add(bench, revisionHistoryLimit=0)
    await bench.settle()
    first = status(bench)["revision"]
    version = "1" if names == "its version" else None
    call = make_execution(
        "call", NAMESPACE, sandboxRef=None, code=None, functionRef={"name": "resize"}
    )
    if version is not None:
        call["spec"]["functionRef"]["version"] = version
    call = stored(call, uid="call")
    if version is None:
        call["metadata"]["annotations"] = {REVISION_ANNOTATION: first}
    bench.cache.put(Kind.EXECUTION, call)
    change(bench, code=CODE % 2)
    await bench.settle()
    assert [one["version"] for one in status(bench)["versions"]] == ["2", "1"]
    bench.cache.remove(Kind.EXECUTION, "call")
    await bench.elapse(60)
    told = status(bench)
    assert [one["version"] for one in told["versions"]] == ["2"]
    assert [one["version"] for one in told["withdrawn"]] == ["1"]
    assert bench.api.named("controllerrevisions") == [told["revision"]]


async def test_code_that_lies_elsewhere_is_read_once_a_minute_however_often_it_is_looked_at(
    bench: Bench,
) -> None:
    bench.add_class()
    code = {"metadata": {"name": "code", "namespace": NAMESPACE}, "data": {"k": CODE % 1}}
    bench.api.add("configmaps", code)
    key = {"name": "code", "key": "k"}
    uid = add(bench, code=None, codeFrom={"configMapKeyRef": key})
    await bench.settle()
    assert status(bench)["version"] == "1"
    bench.api.reads.clear()
    for _ in range(5):
        bench.keys.add(Kind.FUNCTION, uid)
        await bench.settle()
    assert bench.api.reads == []
    bench.api.edit("configmaps", NAMESPACE, "code", {"data": {"k": CODE % 2}})
    await bench.elapse(60)
    assert status(bench)["version"] == "2"


async def test_revisions_are_read_once_and_only_ours(bench: Bench) -> None:
    bench.add_class()
    add(bench, version="1.0.0")
    await bench.settle()
    name = status(bench)["revision"]
    revisions = Revisions(bench.kube, kept=1)
    found = await revisions.read(NAMESPACE, name)
    assert found is not None
    assert (found.name, found.version, found.spec.handler) == (name, "1.0.0", "main")
    held = bench.api.objects.pop(("controllerrevisions", NAMESPACE, name))
    assert await revisions.read(NAMESPACE, name) is found
    assert await revisions.read(NAMESPACE, "another") is None
    forged = {**held, "metadata": {**held["metadata"], "name": "forged"}}
    bench.api.objects["controllerrevisions", NAMESPACE, "forged"] = forged
    with pytest.raises(InvalidManifest, match="its name does not follow from what it holds"):
        await revisions.read(NAMESPACE, "forged")
    revisions.forget(NAMESPACE, name)
    assert await revisions.read(NAMESPACE, name) is None


async def test_somebody_else_s_revision_of_that_name_is_told(bench: Bench) -> None:
    bench.add_class()
    add(bench)
    await bench.settle()
    name = status(bench)["revision"]
    held = bench.api.objects["controllerrevisions", NAMESPACE, name]
    held["data"] = {**held["data"], "code": "import os"}
    del bench.api.objects["functions", NAMESPACE, "resize"]["status"]
    await bench.restart()
    bench.keys.add(Kind.FUNCTION, uid_of(bench.api.get("functions", NAMESPACE, "resize")))
    await bench.settle()
    told = status(bench)
    assert told["reason"] == "VersionConflict"
    assert f'ControllerRevision "{name}" exists and is not this version' in told["message"]


async def test_sandbox_of_another_namespace_is_no_sandbox_of_the_function(bench: Bench) -> None:
    bench.add_class()
    uid = add(bench)
    await bench.settle()
    forged = make_sandbox("forged", namespace="team-b")
    forged["metadata"]["labels"] = {FUNCTION_UID_LABEL: uid}
    forged["metadata"]["annotations"] = {REVISION_ANNOTATION: status(bench)["revision"]}
    bench.api.add("sandboxes", forged)
    call = {"sandboxRef": None, "code": None, "functionRef": {"name": "resize"}}
    bench.api.add("executions", make_execution("call", NAMESPACE, **call))
    await bench.settle()
    made = [name for name in bench.api.named("sandboxes") if name != "forged"]
    assert len(made) == 1, "it would count as the one that scale.max allows"


async def test_name_that_a_person_s_sandbox_has_is_left_to_it(bench: Bench) -> None:
    bench.add_class()
    add(bench, scale={"max": 2})
    await bench.settle()
    revision = status(bench)["revision"]
    bench.api.add("sandboxes", make_sandbox(f"{revision}-1", namespace=NAMESPACE))
    await bench.settle()
    call = {"sandboxRef": None, "code": None, "functionRef": {"name": "resize"}}
    bench.api.add("executions", make_execution("call", NAMESPACE, **call))
    await bench.settle()
    assert bench.api.named("sandboxes") == [f"{revision}-1", f"{revision}-2"]


async def test_sandboxes_that_run_are_counted_and_written_when_their_number_changes(
    bench: Bench,
) -> None:
    bench.add_class()
    add(bench, scale={"min": 1})
    await bench.settle()
    assert status(bench)["readySandboxes"] == 0
    bench.api.take_writes()
    bench.api.run_pod(bench.pod_name)
    await bench.settle()
    assert status(bench)["readySandboxes"] == 1
    assert bench.api.take_writes().count(("patch", "functions/status")) == 1
    call = {"sandboxRef": None, "code": None, "functionRef": {"name": "resize"}}
    for number in range(3):
        bench.api.add("executions", make_execution(f"call-{number}", NAMESPACE, **call))
        await bench.settle()
        assert bench.execution(f"call-{number}")["status"]["state"] == "Completed"
    assert ("patch", "functions/status") not in bench.api.take_writes(), "none for a call"
    change(bench, suspend=True)
    await bench.settle()
    assert status(bench)["readySandboxes"] == 0
