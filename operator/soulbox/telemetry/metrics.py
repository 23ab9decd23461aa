"""What the operator counts, and what is read at each scrape.

`families.FAMILIES` declares; `Metrics` counts. Families with `read` are not counted here but
read, at each scrape, from the snapshots that queues and buffers give of themselves: add one by
a declaration there and a reader in app/readings.py.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from soulbox.model.kinds import OURS
from soulbox.model.states import ExecutionReason, ExecutionState
from soulbox.telemetry.families import FAMILIES, READ
from soulbox.telemetry.family import Family

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

# What the runner refuses with, and how calls to it fail otherwise; anything else is made up.
RUNNER_CODES: Final = frozenset(
    {
        *("Busy", "Conflict", "Draining", "Forbidden", "Internal", "Invalid", "JournalFailed"),
        *("NotFound", "PolicyUnseen", "Released", "Running", "TableFull"),
        # Of the signature.
        *("ClockSkew", "Replay", "Unauthorized", "UnknownKey"),
        *("HostileReply", "RunnerRefused", "RunnerUnavailable", "Other"),
    }
)
_STATE_OF: Final = {
    ExecutionReason.COMPLETED: ExecutionState.COMPLETED,
    ExecutionReason.TIMED_OUT: ExecutionState.TIMEOUT,
    ExecutionReason.QUEUE_TIMEOUT: ExecutionState.TIMEOUT,
    ExecutionReason.CANCELLED: ExecutionState.CANCELLED,
}
# Of an API server in trouble: what SoulBoxApiCallsFail counts.
_FAILED_CALLS: Final = ("0", "429", "500", "503", "504")

# What a reader gives: the figure, or with one label the figure of each of its values.
Reading = float | Mapping[str, float]
Reader = Callable[[], Reading]


class _Snapshots(Collector):
    """Gauges and counters whose figures somebody else keeps."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = readers

    def collect(self) -> Iterable[Metric]:
        """One family a reader, with what it says now."""
        for name, read in self._readers.items():
            family = READ[name]
            shape = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
            metric = shape(name, family.help, labels=tuple(family.labels))
            reading = read()
            values = reading if isinstance(reading, Mapping) else {"": reading}
            for label, value in values.items():
                metric.add_metric([label] if family.labels else [], float(value))
            yield metric


class Metrics:
    """One registry for one operator; tests make their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counted: dict[str, Any] = {
            family.name: self._make(family) for family in FAMILIES if not family.read
        }
        self._called: set[tuple[str, str]] = set()
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Make the series of closed sets: increase() does not see the step from none to 1."""
        series: Mapping[str, Iterable[tuple[str, ...]]] = {
            "soulbox_leader_transitions_total": (
                (to,) for to in ("leader", "silent", "released", "lost")
            ),
            "soulbox_reconciles_total": (
                (info.kind.value, result)
                for info in OURS
                for result in ("ok", "retry", "refused", "error")
            ),
            "soulbox_executions_total": (
                (_STATE_OF.get(reason, ExecutionState.FAILED).value, reason.value)
                for reason in ExecutionReason
            ),
            "soulbox_runner_errors_total": ((code,) for code in sorted(RUNNER_CODES)),
            "soulbox_samples_total": (("ok",), ("failed",)),
        }
        for name, values in series.items():
            for labels in values:
                self._counted[name].labels(*labels)

    def _make(self, family: Family) -> Counter | Gauge | Histogram:
        labels = tuple(family.labels)
        match family.type:
            case "counter":
                return Counter(family.name, family.help, labels, registry=self.registry)
            case "gauge":
                return Gauge(family.name, family.help, labels, registry=self.registry)
            case "histogram":
                return Histogram(
                    family.name,
                    family.help,
                    labels,
                    buckets=family.buckets,
                    registry=self.registry,
                )

    def _add(self, name: str, *labels: str) -> None:
        family = self._counted[name]
        (family.labels(*labels) if labels else family).inc()

    def _observe(self, name: str, value: float, *labels: str) -> None:
        family = self._counted[name]
        (family.labels(*labels) if labels else family).observe(value)

    def read_snapshots(self, readers: Mapping[str, Reader]) -> None:
        """Where each of READ is read; all of them, and no other."""
        assert readers.keys() == READ.keys(), readers.keys() ^ READ.keys()
        self.registry.register(_Snapshots(readers))

    def leading(self, to: Literal["leader", "silent", "released", "lost"]) -> None:
        """This process leads now, or no more."""
        self._counted["soulbox_leader"].set(float(to == "leader"))
        self._add("soulbox_leader_transitions_total", to)

    def renewal_failed(self) -> None:
        """The Lease could not be renewed this time."""
        self._add("soulbox_lease_renew_failures_total")

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """One pass is over."""
        self._add("soulbox_reconciles_total", kind, result)
        self._observe("soulbox_reconcile_seconds", seconds, kind)

    def api_request(self, verb: str, kind: str, status: int, seconds: float) -> None:
        """One call to the API server is over."""
        if (verb, kind) not in self._called:
            self._called.add((verb, kind))
            for code in _FAILED_CALLS:
                self._counted["soulbox_api_requests_total"].labels(verb, kind, code)
        self._add("soulbox_api_requests_total", verb, kind, str(status))
        self._observe("soulbox_api_request_seconds", seconds, verb)

    def runner_error(self, code: str) -> None:
        """One call to a runner failed. `code` is one of a closed set: a runner may be hostile."""
        known = code if code in RUNNER_CODES else "Other"
        self._add("soulbox_runner_errors_total", known)

    def judged(self, ask: str, outcome: str, seconds: float) -> None:
        """The judge has answered, or could not; all names are its own."""
        self._observe("soulbox_judge_seconds", seconds, ask, outcome)

    def judge_ended(self, cause: str) -> None:
        """A process of the judge ended."""
        self._add("soulbox_judge_ended_total", cause)

    def result_unjudged(self) -> None:
        """A call ended whose result was not judged by outputSchema."""
        self._add("soulbox_results_unjudged_total")

    def watch_event(self, kind: str, timestamp_seconds: float) -> None:
        """One event came."""
        self._add("soulbox_watch_events_total", kind)
        last = self._counted["soulbox_watch_last_event_timestamp_seconds"]
        last.labels(kind).set(timestamp_seconds)

    def sampled(self, result: Literal["ok", "failed"]) -> None:
        """A runner was asked what its pod uses."""
        self._add("soulbox_samples_total", result)

    def memory_pressed(self) -> None:
        """A sample was over 90 % of the memory limit."""
        self._add("soulbox_memory_pressure_samples_total")

    def batch_written(self, objects: int) -> None:
        """The mirror committed a batch of so many objects."""
        self._observe("soulbox_mirror_batch_objects", objects)

    def sandbox_started(self, created_at: datetime, running_at: datetime) -> None:
        """A Sandbox became Running for the first time."""
        self._observe_between("soulbox_sandbox_start_seconds", created_at, running_at)

    def execution_ended(
        self,
        state: ExecutionState,
        status: Mapping[str, Any],
        dispatched_at: datetime | None = None,
    ) -> None:
        """An Execution's final status was written.

        Args:
            dispatched_at: when this process dispatched it; None: another did, or nobody.
        """
        self._add("soulbox_executions_total", state.value, str(status.get("reason", "")))
        duration = status.get("durationMilliseconds")
        if isinstance(duration, int):
            self._observe("soulbox_execution_duration_seconds", duration / 1000, state.value)
        queued, started = status.get("queuedTime"), status.get("startTime")
        if started is None:
            return
        start = datetime.fromisoformat(started)
        if queued is not None:
            self._observe_between(
                "soulbox_execution_queue_seconds", datetime.fromisoformat(queued), start
            )
        if dispatched_at is not None:
            self._observe_between("soulbox_execution_start_seconds", dispatched_at, start)

    def _observe_between(self, name: str, start: datetime, end: datetime) -> None:
        # Clocks of two machines: an end before the start is none at all.
        self._observe(name, max(0.0, (end - start).total_seconds()))

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
