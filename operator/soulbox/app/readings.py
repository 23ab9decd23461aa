"""The figures that queues and buffers keep themselves, as /metrics reads them at each scrape."""

from collections.abc import Mapping

from soulbox.app.handlers import Intake
from soulbox.app.held import HeldObjects
from soulbox.app.queue import WorkQueue
from soulbox.kinds.execution.runs import RunFollower
from soulbox.kube.cache import ObjectCache
from soulbox.kube.clock import ServerClock
from soulbox.kube.events import EventRecorder
from soulbox.mirror import Mirror
from soulbox.model.states import Kind
from soulbox.telemetry.metrics import Reader, Reading


def work_readers(
    queue: WorkQueue,
    cache: ObjectCache,
    runs: RunFollower,
    events: EventRecorder,
    intake: Intake,
) -> Mapping[str, Reader]:
    """Of what works on objects."""
    return {
        "soulbox_queue_ready": lambda: queue.statistics().ready,
        "soulbox_queue_active": lambda: queue.statistics().active,
        "soulbox_queue_delayed": lambda: queue.statistics().delayed,
        "soulbox_queue_failing": lambda: queue.statistics().failing,
        "soulbox_watch_age_seconds": intake.watch_ages,
        "soulbox_runs_followed": lambda: runs.active,
        "soulbox_events_dropped_total": lambda: events.statistics().dropped,
        "soulbox_sandboxes_known": lambda: cache.count(Kind.SANDBOX),
        "soulbox_executions_known": lambda: cache.count(Kind.EXECUTION),
    }


def mirror_readers(mirror: Mirror) -> Mapping[str, Reader]:
    """Of what writes rows."""
    return {
        "soulbox_samples_waiting": lambda: mirror.samples.statistics().waiting,
        "soulbox_samples_dropped_total": lambda: (
            mirror.samples.statistics().dropped + mirror.samples.statistics().refused
        ),
        "soulbox_mirror_pending_objects": lambda: mirror.statistics().pending,
        "soulbox_mirror_lag_seconds": lambda: mirror.statistics().oldest_pending_seconds,
        "soulbox_mirror_rows_written_total": lambda: mirror.statistics().rows_written,
        "soulbox_mirror_failures_total": lambda: mirror.statistics().failures,
        "soulbox_mirror_dead_letters_total": lambda: mirror.statistics().dead_letters,
        "soulbox_mirror_bill_conflicts_total": lambda: mirror.statistics().bill_conflicts,
        "soulbox_mirror_ends_unknown_total": lambda: mirror.statistics().ends_unknown,
        "soulbox_rollup_lag_seconds": lambda: (
            {} if (lag := mirror.rollup_lag_seconds()) is None else lag
        ),
        "soulbox_partition_horizon_seconds": lambda: mirror.statistics().partition_horizon_seconds,
        "soulbox_mirror_healthy": lambda: float(mirror.statistics().healthy),
    }


def spool_readers(mirror: Mirror, held: HeldObjects, clock: ServerClock) -> Mapping[str, Reader]:
    """Readers of what PostgreSQL did not take in time."""
    statistics = mirror.spooler.statistics

    def age() -> float:
        oldest = statistics().oldest_at
        return 0.0 if oldest is None else max(0.0, (clock.now() - oldest).total_seconds())

    return {
        "soulbox_mirror_held_objects": lambda: held.count,
        "soulbox_spool_objects": lambda: statistics().objects,
        "soulbox_spool_bytes": lambda: statistics().size_bytes,
        "soulbox_spool_age_seconds": age,
        "soulbox_spool_failures_total": lambda: statistics().failures,
    }


def database_readers(mirror: Mirror) -> Mapping[str, Reader]:
    """Readers of the database's own figures; nothing is read before the first look."""

    def of_table(figure: str) -> Reader:
        return lambda: figures.by_table(figure) if (figures := mirror.database_figures()) else {}

    def of_database(figure: str) -> Reader:
        def read() -> Reading:
            value = getattr(mirror.database_figures(), figure, None)
            return {} if value is None else float(value)

        return read

    return (
        {
            f"soulbox_database_{name}": of_database(figure)
            for name, figure in (
                ("connections", "connections"),
                ("commits_total", "commits"),
                ("rollbacks_total", "rollbacks"),
                ("cache_hit_ratio", "cache_hit_ratio"),
                ("bytes", "database_bytes"),
                ("oldest_transaction_seconds", "oldest_transaction_seconds"),
                ("notification_queue_ratio", "notification_queue_ratio"),
            )
        }
        | {
            "soulbox_unbilled_seconds": of_database("unbilled_seconds"),
        }
        | {
            f"soulbox_database_{name}": of_table(figure)
            for name, figure in (
                ("inserts_total", "inserts"),
                ("updates_total", "updates"),
                ("deletes_total", "deletes"),
                ("live_rows", "live_rows"),
                ("dead_rows", "dead_rows"),
                ("table_bytes", "table_bytes"),
                ("index_bytes", "index_bytes"),
            )
        }
    )
