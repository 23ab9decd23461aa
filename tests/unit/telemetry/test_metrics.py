"""Metrics: names that are for ever, labels from closed sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from soulbox.model.states import ExecutionState
from soulbox.telemetry import reference
from soulbox.telemetry.families import FAMILIES, READ
from soulbox.telemetry.family import Family
from soulbox.telemetry.metrics import RUNNER_CODES, Metrics, Reader

ROOT = Path(__file__).parents[3]
READERS: Mapping[str, Reader] = {
    name: (lambda: {"Pod": 0.0}) if family.labels else (lambda: 0.0)
    for name, family in READ.items()
}

# Names are an interface: dashboards and alerts hold them.
NAMES = {
    "soulbox_reconciles_total",
    "soulbox_reconcile_seconds",
    "soulbox_queue_ready",
    "soulbox_queue_active",
    "soulbox_queue_delayed",
    "soulbox_queue_failing",
    "soulbox_api_requests_total",
    "soulbox_api_request_seconds",
    "soulbox_watch_events_total",
    "soulbox_watch_last_event_timestamp_seconds",
    "soulbox_watch_age_seconds",
    "soulbox_events_dropped_total",
    "soulbox_sandboxes_known",
    "soulbox_executions_known",
    "soulbox_sandbox_start_seconds",
    "soulbox_executions_total",
    "soulbox_execution_queue_seconds",
    "soulbox_execution_start_seconds",
    "soulbox_execution_duration_seconds",
    "soulbox_runs_followed",
    "soulbox_runner_errors_total",
    "soulbox_samples_total",
    "soulbox_memory_pressure_samples_total",
    "soulbox_samples_waiting",
    "soulbox_samples_dropped_total",
    "soulbox_mirror_healthy",
    "soulbox_mirror_pending_objects",
    "soulbox_mirror_lag_seconds",
    "soulbox_mirror_batch_objects",
    "soulbox_mirror_rows_written_total",
    "soulbox_mirror_failures_total",
    "soulbox_mirror_dead_letters_total",
    "soulbox_mirror_bill_conflicts_total",
    "soulbox_mirror_ends_unknown_total",
}

# Units of the base system, and the ends of names that count things.
UNITS = (
    "_seconds",
    "_bytes",
    "_objects",
    "_total",
    "_known",
    "_ready",
    "_failing",
    "_active",
    "_delayed",
    "_followed",
    "_waiting",
    "_connections",
    "_rows",
    "_ratio",
)
# States of the operator itself, 0 or 1.
FLAGS = {"soulbox_mirror_healthy", "soulbox_leader"}

# Whatever unbounded thing somebody might label with.
FORBIDDEN_LABELS = {"name", "namespace", "uid", "image", "sandbox", "execution", "pod", "user"}


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by name and label values, in the order of the labels' names."""
    return {
        (sample.name, tuple(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_names_that_were_given_stay() -> None:
    assert {family.name for family in FAMILIES} >= NAMES


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_family_keeps_the_conventions(family: Family) -> None:
    assert family.name.startswith("soulbox_")
    assert family.name in FLAGS or family.name.endswith(UNITS)
    assert (family.type == "counter") == family.name.endswith("_total")
    assert (family.type == "histogram") == bool(family.buckets)
    assert tuple(sorted(family.buckets)) == family.buckets
    assert not family.labels.keys() & FORBIDDEN_LABELS
    assert family.help.endswith(".")
    assert all(meaning for meaning in family.labels.values())


def test_every_family_is_scraped_under_its_name_and_type_and_no_other() -> None:
    metrics = Metrics()
    metrics.read_snapshots(READERS)
    text = metrics.render().decode()
    scraped = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    created = {name for name in scraped if name.endswith("_created")}
    declared = {family.name: family.type for family in FAMILIES}
    assert {name: scraped[name] for name in scraped.keys() - created} == declared


def test_two_operators_of_one_process_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.reconciled("Sandbox", "ok", 0.01)
    series = ("soulbox_reconciles_total", ("Sandbox", "ok"))
    assert (samples(one)[series], samples(other)[series]) == (1, 0)


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


def test_every_code_of_the_runner_is_known() -> None:
    """In the runner's own source: what it refuses with."""
    said = re.compile(r'(?:refuse\(\d+, |Error\(w, [\w.]+, |&Error\{)"(\w+)"')
    sources = (ROOT / "runner/internal").rglob("*.go")
    codes = {
        code
        for path in sources
        if not path.name.endswith("_test.go")
        for code in said.findall(path.read_text())
    }
    assert len(codes) > 10
    assert codes <= RUNNER_CODES


def test_series_of_closed_sets_begin_at_zero() -> None:
    """increase() does not see the step from none to 1."""
    metrics = Metrics()
    found = samples(metrics)
    for series in (
        ("soulbox_leader_transitions_total", ("lost",)),
        ("soulbox_reconciles_total", ("Sandbox", "error")),
        ("soulbox_executions_total", ("Lost", "Failed")),  # labels in order of their names
        ("soulbox_runner_errors_total", ("HostileReply",)),
    ):
        assert found[series] == 0
    metrics.api_request("patch", "Execution", 200, 0.1)
    assert samples(metrics)["soulbox_api_requests_total", ("0", "Execution", "patch")] == 0


CODES = {
    "Busy": "Busy",
    "HostileReply": "HostileReply",
    "": "Other",
    "Invented": "Other",
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


def test_time_from_dispatch_to_start_is_of_those_that_this_process_dispatched() -> None:
    metrics = Metrics()
    times = {"queuedTime": "2026-01-02T03:04:05.000Z", "startTime": "2026-01-02T03:04:09.000Z"}
    dispatched_at = datetime(2026, 1, 2, 3, 4, 8, 750_000, tzinfo=UTC)
    metrics.execution_ended(ExecutionState.COMPLETED, times, dispatched_at)
    metrics.execution_ended(ExecutionState.COMPLETED, times)
    found = samples(metrics)
    assert found["soulbox_execution_start_seconds_count", ()] == 1
    assert found["soulbox_execution_start_seconds_sum", ()] == 0.25
    assert found["soulbox_execution_queue_seconds_sum", ()] == 8


def test_start_of_a_sandbox_and_size_of_a_batch_are_observed() -> None:
    metrics = Metrics()
    created_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    metrics.sandbox_started(created_at, created_at + timedelta(seconds=0.75))
    metrics.batch_written(12)
    found = samples(metrics)
    assert found["soulbox_sandbox_start_seconds_sum", ()] == 0.75
    assert found["soulbox_mirror_batch_objects_sum", ()] == 12
    assert found["soulbox_mirror_batch_objects_bucket", ("10.0",)] == 0
    assert found["soulbox_mirror_batch_objects_bucket", ("25.0",)] == 1


def test_snapshots_are_read_at_each_scrape() -> None:
    metrics = Metrics()
    scrapes = iter(range(1, 1000))
    plain = [name for name, family in READ.items() if not family.labels]
    metrics.read_snapshots(READERS | dict.fromkeys(plain, lambda: float(next(scrapes))))
    first, second = samples(metrics), samples(metrics)
    for name in plain:
        assert first[name, ()] < second[name, ()]


def test_reading_by_label_is_a_sample_for_each_value() -> None:
    metrics = Metrics()
    ages = {"Pod": 1.5, "Sandbox": 2.5}
    metrics.read_snapshots(READERS | {"soulbox_watch_age_seconds": lambda: ages})
    found = samples(metrics)
    assert found["soulbox_watch_age_seconds", ("Pod",)] == 1.5
    assert found["soulbox_watch_age_seconds", ("Sandbox",)] == 2.5


@pytest.mark.parametrize("change", [{"soulbox_unknown": lambda: 0.0}, None])
def test_reader_that_is_forgotten_or_not_declared_is_a_bug(change: dict[str, Any] | None) -> None:
    readers: dict[str, Any] = dict(READERS)
    if change is None:
        readers.popitem()
    else:
        readers |= change
    with pytest.raises(AssertionError):
        Metrics().read_snapshots(readers)


def test_page_is_what_the_declarations_say(tmp_path: Path) -> None:
    page = ROOT / "docs/reference/metrics.md"
    assert reference.main([str(page), "--check"]) == 0
    stale = tmp_path / "metrics.md"
    stale.write_text("old")
    assert reference.main([str(stale), "--check"]) == 1
    assert stale.read_text() == "old"
    assert reference.main([str(stale)]) == 0
    assert stale.read_text() == page.read_text()


def test_page_names_every_metric_with_its_labels() -> None:
    page = reference.metrics_page()
    for family in FAMILIES:
        (row,) = re.findall(rf"^\| `{family.name}` \| {family.type} \| (.*)$", page, re.MULTILINE)
        assert all(f"`{label}`" in row for label in family.labels)
        assert family.help in row
