"""What a run was promised when it was dispatched holds until its end."""

from __future__ import annotations

from typing import Any

from soulbox.kinds.execution.receipt import write_terms
from soulbox.model.keys import DISPATCHED_ANNOTATION, TERMS_ANNOTATION
from soulbox.model.marks import write_mark
from soulbox.model.specs import EnvVar
from tests.support.reconciling import NAMESPACE, Bench
from tests.support.seen import make_finished, make_terms

LOWERED = {"defaults": {"timeoutSeconds": 1}, "max": {"timeoutSeconds": 2, "outputBytes": 1024}}


async def start_one(bench: Bench, **spec: Any) -> str:
    """An Execution whose code runs and runs, and is shown so; its uid."""
    bench.runner.never_ends()
    uid = bench.add_execution(**spec)
    await bench.settle()
    await bench.elapse(2)
    assert bench.execution()["status"]["state"] == "Running"
    return uid


async def lower(bench: Bench) -> None:
    """Class and Sandbox give far less from now on."""
    bench.api.edit("sandboxclasses", "", "python", {"spec": LOWERED})
    bench.api.edit("sandboxes", NAMESPACE, "box", {"spec": {"defaultTimeoutSeconds": 1}})
    await bench.settle()


def shown(bench: Bench) -> tuple[Any, ...]:
    """What its status says of its terms."""
    status = bench.execution()["status"]
    names = ("className", "language", "timeoutSeconds", "outputLimitBytes")
    return tuple(status.get(name) for name in names)


async def test_run_goes_on_under_its_terms_when_class_and_sandbox_are_lowered(
    bench: Bench,
) -> None:
    await bench.running_sandbox(defaultTimeoutSeconds=100)
    uid = await start_one(bench)
    promised = ("python", "python", 100, 10 * 2**20)
    assert shown(bench) == promised
    await lower(bench)
    await bench.elapse(90)
    await bench.restart()
    await bench.settle()
    await bench.elapse(60)
    assert bench.runner.said("cancel") == []
    await bench.elapse(15)  # 167 s: over the promised 100 by more than a minute
    assert bench.runner.said("cancel") != []
    assert bench.execution()["status"]["state"] == "Running"
    bench.runner.end(uid, make_finished(stdout=b"x" * 2000))
    await bench.settle()
    status = bench.execution()["status"]
    assert (status["state"], len(status["output"]["stdout"])) == ("Completed", 2000)
    assert shown(bench) == promised
    assert status["receipt"]["command"] == ["python3"]


async def test_run_whose_class_is_gone_is_not_waited_for_without_end(bench: Bench) -> None:
    await bench.running_sandbox()
    await start_one(bench)
    bench.api.delete("sandboxclasses", "", "python")
    await bench.elapse(300)
    assert bench.runner.said("cancel") == []
    await bench.elapse(60)
    assert bench.runner.said("cancel") != []


async def test_another_attempt_has_terms_of_its_own(bench: Bench) -> None:
    await bench.running_sandbox(defaultTimeoutSeconds=100)
    uid = await start_one(bench, idempotent=True)
    await lower(bench)
    first = bench.pod_name
    bench.api.end_pod(first)
    await bench.settle()
    assert TERMS_ANNOTATION not in bench.execution()["metadata"]["annotations"]
    assert shown(bench) == (None, None, None, None)
    bench.records.committed.add(bench.api.get("pods", NAMESPACE, first)["metadata"]["uid"])
    await bench.elapse(10)
    (second,) = [name for name in bench.api.named("pods") if name != first]
    bench.api.run_pod(second)
    del bench.runner.runs[uid]
    bench.runner.outcome = make_finished()
    await bench.settle()
    assert bench.runner.requests[uid].timeout_seconds == 1
    assert shown(bench)[2:] == (1, 1024)


async def test_restart_before_the_start_starts_what_was_promised_within_its_class(
    bench: Bench,
) -> None:
    await bench.running_sandbox(defaultTimeoutSeconds=9)
    uid = bench.add_execution()
    mark = write_mark(bench.pod_uid, 1, uid)
    # As with a receipt of a tenant's hand, where no policy keeps tenants from it.
    terms = make_terms(timeout_seconds=100_000, output_limit_bytes=77, max_processes=30_000)
    annotations = {DISPATCHED_ANNOTATION: mark, TERMS_ANNOTATION: write_terms(terms, mark)}
    bench.api.edit("executions", NAMESPACE, "run", {"metadata": {"annotations": annotations}})
    await bench.restart()
    await bench.settle()
    asked = bench.runner.requests[uid]
    assert (asked.timeout_seconds, asked.max_processes) == (86_400, 128)
    assert (asked.output_limit_bytes, asked.command) == (77, ("python3",))


async def test_dispatch_of_an_earlier_release_ends_as_far_as_its_place_tells(
    bench: Bench,
) -> None:
    await bench.running_sandbox(env=[{"name": "A", "value": "box"}])
    uid = bench.add_execution(timeoutSeconds=100)
    mark = {DISPATCHED_ANNOTATION: write_mark(bench.pod_uid, 1, uid)}
    bench.api.edit("executions", NAMESPACE, "run", {"metadata": {"annotations": mark}})
    bench.runner.never_ends()
    await bench.restart()
    await bench.settle()
    assert bench.runner.requests[uid].timeout_seconds == 100
    assert bench.runner.requests[uid].env == (EnvVar(name="A", value="box"),)
    await lower(bench)
    await bench.elapse(100)
    assert bench.runner.said("cancel") == []
    bench.runner.end(uid, make_finished())
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"
    assert shown(bench) == ("python", None, None, None), "what it was promised is not known"
