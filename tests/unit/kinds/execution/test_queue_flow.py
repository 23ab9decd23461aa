"""Executions that wait for one Sandbox, and those that are run again, on an API server that
counts writes."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from soulbox.kinds.execution.queue import is_dispatched
from soulbox.model.keys import DISPATCHED_ANNOTATION
from soulbox.model.runs import CapturedFile
from soulbox.model.states import Kind
from tests.support.reconciling import Bench
from tests.support.seen import make_finished

RUN = Kind.EXECUTION


def state(bench: Bench, name: str) -> str:
    """An Execution's state as stored."""
    return str(bench.execution(name)["status"]["state"])


async def test_urgent_ones_go_first_and_users_take_turns(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.never_ends()
    uids = {"blocker": bench.add_execution("blocker")}
    await bench.settle()
    for name, spec in (
        ("a0", {"user": "a"}), ("a1", {"user": "a"}), ("a2", {"user": "a"}),
        ("b0", {"user": "b"}), ("urgent", {"user": "a", "priority": 5}),
    ):  # fmt: skip
        uids[name] = bench.add_execution(name, **spec)
    await bench.settle()
    await bench.elapse(2)
    place = {name: bench.execution(name)["status"].get("queuePosition") for name in uids}
    assert place == {"blocker": None, "urgent": 1, "a0": 2, "b0": 3, "a1": 4, "a2": 5}
    names = {uid: name for name, uid in uids.items()}
    for _ in uids:
        bench.runner.end(bench.runner.begun[-1], make_finished())
        await bench.settle()
    # Who was served last waits for the others' turn: b0 comes before a0.
    assert [names[uid] for uid in bench.runner.begun] == [
        "blocker", "urgent", "b0", "a0", "a1", "a2",
    ]  # fmt: skip
    assert all(state(bench, name) == "Completed" for name in uids)
    assert all("queuePosition" not in bench.execution(name)["status"] for name in uids)


async def test_a_crowd_in_one_sandbox_end_in_order_with_four_writes_each(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.never_ends()
    uids = []
    for number in range(25):
        uids.append(bench.add_execution(f"run-{number:03}"))
        await bench.settle()
    await bench.elapse(2)
    for _ in range(25):
        bench.runner.end(bench.runner.begun[-1], make_finished())
        await bench.settle()
        await bench.elapse(0.5)
    assert bench.runner.begun == uids
    writes = [one.name for one in bench.api.writes if one.what.startswith("executions")]
    most = max(writes.count(name) for name in set(writes))
    assert most <= 4, "Queued, a second place, handed over, its end"
    assert all(state(bench, f"run-{number:03}") == "Completed" for number in range(25))


async def test_lost_idempotent_run_is_run_again_as_attempt_two(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.never_ends()
    uid = bench.add_execution(idempotent=True)
    await bench.settle()
    lost = bench.pod_name
    bench.runner.runs.clear()
    bench.api.end_pod(lost)
    bench.records.committed.add(bench.pod_uid)
    await bench.settle()
    assert bench.execution()["status"]["message"].startswith("Attempt 1 was lost")
    assert bench.execution()["metadata"]["annotations"][DISPATCHED_ANNOTATION] == f"/1/{uid}"
    assert not is_dispatched(bench.execution())
    bench.runner.outcome = make_finished()
    for _ in range(3):
        await bench.elapse(5)
    fresh = next(name for name in bench.api.named("pods") if name != lost)
    bench.api.run_pod(fresh)
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["attempt"]) == ("Completed", 2)
    assert bench.runner.begun == [uid, uid]


async def test_captured_files_are_in_the_status_and_saved_whole(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.files = {"out/a.txt": b"text\n", "out/b.bin": b"\xff" * 20_000}
    files = tuple(
        CapturedFile(
            path=path,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            truncated=False,
        )
        for path, data in bench.runner.files.items()
    )
    bench.runner.outcome = replace(make_finished(), files=files)
    uid = bench.add_execution(captureFiles=["out/**"])
    await bench.settle()
    assert bench.runner.requests[uid].capture_files == ("out/**",)
    listed = bench.execution()["status"]["output"]["files"]
    assert [(file["path"], file.get("content")) for file in listed] == [
        ("out/a.txt", "text\n"),
        ("out/b.bin", None),
    ]
    assert bench.records.outputs[uid, "file/0"] == b"text\n"
    assert bench.records.outputs[uid, "file/1"] == b"\xff" * 20_000
    assert uid in bench.records.complete


async def test_content_that_is_not_what_its_hash_says_is_left_out(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.files = {"a": b"another"}
    file = CapturedFile(path="a", size_bytes=4, sha256="0" * 64, truncated=False)
    bench.runner.outcome = replace(make_finished(), files=(file,))
    bench.add_execution(captureFiles=["a"])
    await bench.settle()
    (listed,) = bench.execution()["status"]["output"]["files"]
    assert "content" not in listed


async def test_output_limit_of_the_execution_is_the_runner_s(bench: Bench) -> None:
    await bench.running_sandbox()
    uid = bench.add_execution(outputLimitBytes=5)
    await bench.settle()
    assert bench.runner.requests[uid].output_limit_bytes == 5


async def test_output_limit_over_the_class_s_is_refused(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.add_execution(outputLimitBytes=10_485_761)
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "InvalidSpec")
    assert status["message"].startswith("spec.outputLimitBytes: 10485761 bytes is over")
