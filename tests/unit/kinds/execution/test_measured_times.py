"""Times that are measured: each start once, by the process that saw it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.support.reconciling import Bench
from tests.support.seen import make_finished


def observed(bench: Bench, name: str) -> float:
    """How many times a histogram without labels was told something."""
    text = bench.metrics.render().decode()
    return next(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{name}_count"
    )


async def test_start_of_a_sandbox_is_measured_once_and_not_its_next_incarnation(
    bench: Bench,
) -> None:
    await bench.running_sandbox()
    assert observed(bench, "soulbox_sandbox_start_seconds") == 1
    first = bench.pod_name
    bench.advance(120)
    bench.api.end_pod(first, reason="OOMKilled", exit_code=137)
    await bench.settle()
    (second,) = set(bench.api.named("pods")) - {first}
    bench.api.run_pod(second)
    await bench.settle()
    status = bench.sandbox()["status"]
    assert (status["state"], status["incarnation"]) == ("Running", 2)
    assert observed(bench, "soulbox_sandbox_start_seconds") == 1


async def test_start_of_an_execution_is_measured_from_its_dispatch(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.outcome = make_finished()
    uid = bench.add_execution()
    await bench.settle()
    assert observed(bench, "soulbox_execution_queue_seconds") == 1
    assert observed(bench, "soulbox_execution_start_seconds") == 1
    assert uid not in bench.executions.dispatched_at


async def test_start_that_another_process_dispatched_is_not_measured(bench: Bench) -> None:
    await bench.running_sandbox()
    bench.runner.never_ends()
    uid = bench.add_execution()
    await bench.settle()
    await bench.restart()
    await bench.settle()
    bench.runner.end(uid, make_finished())
    await bench.settle()
    assert bench.execution()["status"]["state"] == "Completed"
    assert observed(bench, "soulbox_execution_queue_seconds") == 1
    assert observed(bench, "soulbox_execution_start_seconds") == 0
