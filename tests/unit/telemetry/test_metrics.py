"""Metrics: names that are for ever, labels from closed sets."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from soulbox.model.states import ExecutionState
from soulbox.telemetry.metrics import GAUGES, Metrics

# Names are an interface: dashboards and alerts hold them.
NAMES = {
    "soulbox_reconciles",
    "soulbox_reconcile_seconds",
    "soulbox_api_requests",
    "soulbox_api_request_seconds",
    "soulbox_executions",
    "soulbox_execution_duration_seconds",
    "soulbox_execution_queue_seconds",
    "soulbox_runner_errors",
    "soulbox_watch_last_event_timestamp_seconds",
    "soulbox_watch_events",
}


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by name and label values, in the order of the labels' names."""
    return {
        (sample.name, tuple(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_names_are_what_they_are() -> None:
    families = text_string_to_metric_families(Metrics().render().decode())
    found = {family.name for family in families if not family.name.endswith("_created")}
    assert found == NAMES


def test_two_operators_of_one_process_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.reconciled("Sandbox", "ok", 0.01)
    assert ("soulbox_reconciles_total", ("Sandbox", "ok")) in samples(one)
    assert ("soulbox_reconciles_total", ("Sandbox", "ok")) not in samples(other)


def test_passes_and_calls_are_counted_and_timed() -> None:
    metrics = Metrics()
    metrics.reconciled("Sandbox", "ok", 0.01)
    metrics.api_request("patch", "Pod", 409, 0.004)
    metrics.api_request("patch", "Pod", 0, 30.0)
    metrics.watch_event("Execution", 1767323045.0)
    found = samples(metrics)
    assert found["soulbox_reconciles_total", ("Sandbox", "ok")] == 1
    assert found["soulbox_reconcile_seconds_sum", ("Sandbox",)] == 0.01
    assert found["soulbox_api_requests_total", ("409", "Pod", "patch")] == 1
    assert found["soulbox_api_requests_total", ("0", "Pod", "patch")] == 1
    assert found["soulbox_api_request_seconds_count", ("patch",)] == 2
    assert found["soulbox_watch_events_total", ("Execution",)] == 1
    assert found["soulbox_watch_last_event_timestamp_seconds", ("Execution",)] == 1767323045.0


CODES = {
    "Busy": "Busy",
    "HostileReply": "HostileReply",
    "": "Other",
    "x" * 33: "Other",
    "Busy now": "Other",
    "Büsy": "Other",
    'a"} 1\nevil{b="': "Other",
}


@pytest.mark.parametrize("code", CODES)
def test_code_that_a_runner_made_up_is_no_label(code: str) -> None:
    metrics = Metrics()
    metrics.runner_error(code)
    assert samples(metrics)["soulbox_runner_errors_total", (CODES[code],)] == 1


def test_end_of_an_execution_is_counted_with_its_times() -> None:
    metrics = Metrics()
    metrics.execution_ended(
        ExecutionState.COMPLETED,
        {
            "reason": "Completed",
            "durationMilliseconds": 24,
            "queuedTime": "2026-01-02T03:04:05.000Z",
            "startTime": "2026-01-02T03:04:05.500Z",
        },
    )
    found = samples(metrics)
    assert found["soulbox_executions_total", ("Completed", "Completed")] == 1
    assert found["soulbox_execution_duration_seconds_sum", ("Completed",)] == 0.024
    assert found["soulbox_execution_queue_seconds_sum", ()] == 0.5


def test_end_without_a_start_has_no_times() -> None:
    metrics = Metrics()
    metrics.execution_ended(ExecutionState.CANCELLED, {"queuedTime": "2026-01-02T03:04:05.000Z"})
    found = samples(metrics)
    assert found["soulbox_executions_total", ("", "Cancelled")] == 1
    assert found["soulbox_execution_queue_seconds_count", ()] == 0


def test_clock_of_a_runner_that_is_behind_makes_no_negative_wait() -> None:
    metrics = Metrics()
    times = {"queuedTime": "2026-01-02T03:04:05.000Z", "startTime": "2026-01-02T03:04:04.000Z"}
    metrics.execution_ended(ExecutionState.COMPLETED, times)
    assert samples(metrics)["soulbox_execution_queue_seconds_sum", ()] == 0


def test_gauges_are_read_at_each_scrape() -> None:
    metrics = Metrics()
    scrapes = iter(range(1, 100))
    metrics.read_gauges(dict.fromkeys(GAUGES, lambda: float(next(scrapes))))
    first, second = samples(metrics), samples(metrics)
    for name in GAUGES:
        assert first[name, ()] < second[name, ()]


@pytest.mark.parametrize("change", [{"soulbox_unknown": lambda: 0.0}, None])
def test_gauge_that_is_forgotten_or_not_declared_is_a_bug(change: dict[str, Any] | None) -> None:
    readers: dict[str, Any] = dict.fromkeys(GAUGES, lambda: 0.0)
    if change is None:
        readers.popitem()
    else:
        readers |= change
    with pytest.raises(AssertionError):
        Metrics().read_gauges(readers)
