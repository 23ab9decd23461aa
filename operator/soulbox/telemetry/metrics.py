"""Every metric of the operator, with the meaning of its labels.

Names are for ever. Labels are closed sets or names an admin owns (a class); never the
name of a sandbox, an execution or an image: those are unbounded.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from soulbox.model.states import ExecutionState

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

# From a warm run (tens of milliseconds) to the longest class default (minutes).
_RUN_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_CALL_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30)


# Read at each scrape from snapshots that queues and buffers give of themselves.
GAUGES: Final[Mapping[str, str]] = {
    "soulbox_queue_ready": "Keys that wait for a worker.",
    "soulbox_queue_failing": "Keys whose last pass failed.",
    "soulbox_runs_followed": "Runs under way.",
    "soulbox_events_dropped": "Events not posted for want of room.",
    "soulbox_sandboxes_known": "Sandboxes known.",
    "soulbox_executions_known": "Executions known.",
    "soulbox_mirror_pending_objects": "Objects that wait to be written to PostgreSQL.",
    "soulbox_mirror_lag_seconds": "Age of the oldest object that waits to be written.",
    "soulbox_mirror_rows_written": "Rows written since the start.",
    "soulbox_mirror_failures": "Transactions that failed since the start.",
    "soulbox_mirror_dead_letters": "Rows PostgreSQL refused since the start.",
    "soulbox_mirror_bill_conflicts": "Bills since the start that contradict the ledger.",
    "soulbox_mirror_ends_unknown": "Pods since the start found gone with no end told.",
    "soulbox_mirror_healthy": "1 while PostgreSQL takes what is written.",
}


class Metrics:
    """One registry for one operator; tests make their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "soulbox_reconciles_total",
            "Passes over an object. result: ok, retry (it will be tried again), error (a bug).",
            ["kind", "result"],
            registry=self.registry,
        )
        self._reconcile_seconds = Histogram(
            "soulbox_reconcile_seconds",
            "Duration of a pass.",
            ["kind"],
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )
        self._api_requests = Counter(
            "soulbox_api_requests_total",
            "Calls to the API server, watches apart. code: HTTP status, 0 for no answer.",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self._api_seconds = Histogram(
            "soulbox_api_request_seconds",
            "Duration of calls to the API server.",
            ["verb"],
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )
        self._executions = Counter(
            "soulbox_executions_total",
            "Executions that reached a final state.",
            ["state", "reason"],
            registry=self.registry,
        )
        self._execution_seconds = Histogram(
            "soulbox_execution_duration_seconds",
            "Wall time of the programs.",
            ["state"],
            buckets=_RUN_BUCKETS,
            registry=self.registry,
        )
        self._queue_seconds = Histogram(
            "soulbox_execution_queue_seconds",
            "Time from an Execution's creation to its code's start.",
            buckets=_RUN_BUCKETS,
            registry=self.registry,
        )
        self._runner_errors = Counter(
            "soulbox_runner_errors_total",
            "Calls to runners that failed. code: the runner's, or the kind of failure.",
            ["code"],
            registry=self.registry,
        )
        self._watch_last = Gauge(
            "soulbox_watch_last_event_timestamp_seconds",
            "Unix time of the newest event of each watch.",
            ["kind"],
            registry=self.registry,
        )
        self._events = Counter(
            "soulbox_watch_events_total",
            "Events received.",
            ["kind"],
            registry=self.registry,
        )

    def read_gauges(self, readers: Mapping[str, Callable[[], float]]) -> None:
        """Where each of GAUGES is read; all of them, and no other."""
        assert readers.keys() == GAUGES.keys()
        for name, read in readers.items():
            Gauge(name, GAUGES[name], registry=self.registry).set_function(read)

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """One pass is over."""
        self._reconciles.labels(kind, result).inc()
        self._reconcile_seconds.labels(kind).observe(seconds)

    def api_request(self, verb: str, kind: str, status: int, seconds: float) -> None:
        """One call to the API server is over."""
        self._api_requests.labels(verb, kind, str(status)).inc()
        self._api_seconds.labels(verb).observe(seconds)

    def runner_error(self, code: str) -> None:
        """One call to a runner failed. `code` is cut to a closed form: it may be hostile."""
        known = code if code.isalpha() and code.isascii() and len(code) <= 32 else "Other"
        self._runner_errors.labels(known).inc()

    def watch_event(self, kind: str, timestamp_seconds: float) -> None:
        """One event came."""
        self._events.labels(kind).inc()
        self._watch_last.labels(kind).set(timestamp_seconds)

    def execution_ended(self, state: ExecutionState, status: Mapping[str, Any]) -> None:
        """An Execution's final status was written."""
        self._executions.labels(state.value, str(status.get("reason", ""))).inc()
        duration = status.get("durationMilliseconds")
        if isinstance(duration, int):
            self._execution_seconds.labels(state.value).observe(duration / 1000)
        queued, started = status.get("queuedTime"), status.get("startTime")
        if queued and started:
            waited = datetime.fromisoformat(started) - datetime.fromisoformat(queued)
            self._queue_seconds.observe(max(0.0, waited.total_seconds()))

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
