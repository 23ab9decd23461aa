"""What the dashboard shows, row by row. `hack/generate` makes manifests/dashboard/soulbox.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# Every selector takes the job that the dashboard's variable names.
JOB = 'job=~"$job"'


@dataclass(frozen=True, kw_only=True)
class Query:
    """One PromQL query and the text of its legend."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture.

    Attributes:
        unit: Grafana's name of it.
        width: of 24 columns.
        bad: a stat turns red from here on, and is green below; None: it has no colour.
        names: text instead of a stat's number.
    """

    title: str
    about: str
    queries: tuple[Query, ...]
    type: Literal["stat", "timeseries"] = "timeseries"
    unit: str = "short"
    width: int = 8
    stacked: bool = False
    bad: float | None = None
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A heading and the panels below it."""

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str = "", matchers: str = "") -> str:
    selector = f"{JOB},{matchers}" if matchers else JOB
    inner = f"(rate({metric}{{{selector}}}[$__rate_interval]))"
    return f"sum by ({by}) {inner}" if by else f"sum{inner}"


def _quantile(share: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    rate = f"rate({metric}_bucket{{{JOB}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({labels}) ({rate}))"


def _quantiles(metric: str) -> tuple[Query, ...]:
    return tuple(
        Query(expr=_quantile(share, metric), legend=f"p{share * 100:.0f}")
        for share in (0.5, 0.95, 0.99)
    )


def _now(metric: str, function: str = "max") -> tuple[Query, ...]:
    return (Query(expr=f"{function}({metric}{{{JOB}}})"),)


def _grown(metric: str, over: str) -> tuple[Query, ...]:
    return (Query(expr=f"sum(increase({metric}{{{JOB}}}[{over}]))"),)


_NOW = Row(
    title="Now",
    panels=(
        Panel(
            title="PostgreSQL",
            about="Whether it takes what is written.",
            type="stat",
            width=3,
            queries=(Query(expr=f"1 - min(soulbox_mirror_healthy{{{JOB}}})"),),
            bad=1,
            names={"0": "takes rows", "1": "away"},
        ),
        Panel(
            title="Records behind",
            about="Age of the oldest object that waits to be written to PostgreSQL.",
            type="stat",
            width=3,
            unit="s",
            queries=_now("soulbox_mirror_lag_seconds"),
            bad=60,
        ),
        Panel(
            title="Objects failing",
            about="Objects whose last pass failed; the log names them.",
            type="stat",
            width=3,
            queries=_now("soulbox_queue_failing", "sum"),
            bad=1,
        ),
        Panel(
            title="Bills in doubt, 24 h",
            about="Bills that contradict the ledger. Somebody must look.",
            type="stat",
            width=3,
            queries=_grown("soulbox_mirror_bill_conflicts_total", "24h"),
            bad=1,
        ),
        Panel(
            title="Sandboxes",
            about="Sandboxes that exist.",
            type="stat",
            width=3,
            queries=_now("soulbox_sandboxes_known"),
        ),
        Panel(
            title="Executions",
            about="Executions that exist, finished ones too.",
            type="stat",
            width=3,
            queries=_now("soulbox_executions_known"),
        ),
        Panel(
            title="Runs under way",
            about="Programs that run now.",
            type="stat",
            width=3,
            queries=_now("soulbox_runs_followed"),
        ),
        Panel(
            title="Completed, 1 h",
            about="Share of the Executions that ended as Completed.",
            type="stat",
            width=3,
            unit="percentunit",
            queries=(
                Query(
                    expr=f'sum(increase(soulbox_executions_total{{{JOB},state="Completed"}}[1h]))'
                    f" / sum(increase(soulbox_executions_total{{{JOB}}}[1h]))"
                ),
            ),
        ),
    ),
)

_EXECUTIONS = Row(
    title="Executions and Sandboxes",
    panels=(
        Panel(
            title="Ends a second, by state",
            about="Executions that reached a final state.",
            unit="ops",
            stacked=True,
            queries=(Query(expr=_rate("soulbox_executions_total", "state"), legend="{{state}}"),),
        ),
        Panel(
            title="Ends that are not Completed, by reason",
            about="Why Executions did not complete.",
            unit="ops",
            stacked=True,
            queries=(
                Query(
                    expr=_rate("soulbox_executions_total", "reason", 'state!="Completed"'),
                    legend="{{reason}}",
                ),
            ),
        ),
        Panel(
            title="Run time, p95 by state",
            about="Wall time of the programs.",
            unit="s",
            queries=(
                Query(
                    expr=_quantile(0.95, "soulbox_execution_duration_seconds", "state"),
                    legend="{{state}}",
                ),
            ),
        ),
        Panel(
            title="Creation to code's start",
            about="What a user waits for: queue, pod if it needs one, dispatch, start.",
            unit="s",
            queries=_quantiles("soulbox_execution_queue_seconds"),
        ),
        Panel(
            title="Dispatch to code's start",
            about="The part of it that is not waiting.",
            unit="s",
            queries=_quantiles("soulbox_execution_start_seconds"),
        ),
        Panel(
            title="Sandbox creation to Running",
            about="First incarnations; most of it is the kubelet's.",
            unit="s",
            queries=_quantiles("soulbox_sandbox_start_seconds"),
        ),
    ),
)

_RECONCILING = Row(
    title="Reconciling and the API server",
    panels=(
        Panel(
            title="Leader",
            about="1: an operator works; 0: all stand by. silent and lost are changes that nobody"
            " asked for.",
            width=6,
            queries=(
                Query(expr=f"sum(soulbox_leader{{{JOB}}})", legend="leaders"),
                Query(
                    expr=f"sum by (to) (increase(soulbox_leader_transitions_total{{{JOB}}}[5m]))",
                    legend="to {{to}}",
                ),
                Query(
                    expr=f"sum(increase(soulbox_lease_renew_failures_total{{{JOB}}}[5m]))",
                    legend="renewals failed",
                ),
            ),
        ),
        Panel(
            title="Passes a second",
            about="retry is tried again, error is a bug.",
            width=6,
            unit="ops",
            stacked=True,
            queries=(
                Query(
                    expr=_rate("soulbox_reconciles_total", "kind, result"),
                    legend="{{kind}} {{result}}",
                ),
            ),
        ),
        Panel(
            title="Duration of a pass, p95",
            about="With the calls it makes.",
            width=6,
            unit="s",
            queries=(
                Query(expr=_quantile(0.95, "soulbox_reconcile_seconds", "kind"), legend="{{kind}}"),
            ),
        ),
        Panel(
            title="Queue",
            about="Keys that wait for a worker, that are worked on, that wait for their time (a"
            " deadline, a back-off), and whose last pass failed.",
            width=6,
            queries=(
                Query(expr=f"sum(soulbox_queue_ready{{{JOB}}})", legend="ready"),
                Query(expr=f"sum(soulbox_queue_active{{{JOB}}})", legend="active"),
                Query(expr=f"sum(soulbox_queue_delayed{{{JOB}}})", legend="delayed"),
                Query(expr=f"sum(soulbox_queue_failing{{{JOB}}})", legend="failing"),
            ),
        ),
        Panel(
            title="Writes a second, by verb and kind",
            about="An Execution in a running Sandbox takes two; an idle cluster none.",
            unit="ops",
            stacked=True,
            queries=(
                Query(
                    expr=_rate(
                        "soulbox_api_requests_total", "verb, kind", 'verb=~"create|patch|delete"'
                    ),
                    legend="{{verb}} {{kind}}",
                ),
            ),
        ),
        Panel(
            title="Calls that fail, by code",
            about="0 is no answer, 409 a conflict (tried again at once), 429 too many.",
            unit="ops",
            stacked=True,
            queries=(
                Query(
                    expr=_rate("soulbox_api_requests_total", "code", 'code!~"2.."'),
                    legend="{{code}}",
                ),
            ),
        ),
        Panel(
            title="Duration of calls, p95 by verb",
            about="Watches apart.",
            unit="s",
            queries=(
                Query(
                    expr=_quantile(0.95, "soulbox_api_request_seconds", "verb"), legend="{{verb}}"
                ),
            ),
        ),
        Panel(
            title="Watch events a second",
            about="What the API server tells.",
            unit="ops",
            queries=(Query(expr=_rate("soulbox_watch_events_total", "kind"), legend="{{kind}}"),),
        ),
        Panel(
            title="Age of the watches",
            about="Since the last event. All of them growing together is a broken connection.",
            unit="s",
            queries=(
                Query(
                    expr=f"max by (kind) (soulbox_watch_age_seconds{{{JOB}}})", legend="{{kind}}"
                ),
            ),
        ),
        Panel(
            title="Errors of runners, by code",
            about="Pods that just start refuse connections for a moment; that is normal.",
            unit="ops",
            stacked=True,
            queries=(Query(expr=_rate("soulbox_runner_errors_total", "code"), legend="{{code}}"),),
        ),
    ),
)

_MIRROR = Row(
    title="Records in PostgreSQL",
    panels=(
        Panel(
            title="Objects that wait",
            about="To be written. Growing without end: PostgreSQL is away.",
            queries=(
                Query(expr=f"max(soulbox_mirror_pending_objects{{{JOB}}})", legend="objects"),
            ),
        ),
        Panel(
            title="Rows a second",
            about="Rows that were new or changed.",
            unit="ops",
            queries=(Query(expr=_rate("soulbox_mirror_rows_written_total"), legend="rows"),),
        ),
        Panel(
            title="Objects in a batch",
            about="One transaction each.",
            queries=_quantiles("soulbox_mirror_batch_objects"),
        ),
        Panel(
            title="Trouble, an hour",
            width=6,
            about="Tries that failed; rows refused; bills in doubt; pods gone with no end told.",
            queries=tuple(
                Query(expr=f"sum(increase({metric}{{{JOB}}}[1h]))", legend=legend)
                for metric, legend in (
                    ("soulbox_mirror_failures_total", "failed tries"),
                    ("soulbox_mirror_dead_letters_total", "refused"),
                    ("soulbox_mirror_bill_conflicts_total", "bills in doubt"),
                    ("soulbox_mirror_ends_unknown_total", "ends unknown"),
                )
            ),
        ),
        Panel(
            title="Events not posted, an hour",
            width=6,
            about="More Kubernetes Events than the API server took.",
            queries=(
                Query(
                    expr=f"sum(increase(soulbox_events_dropped_total{{{JOB}}}[1h]))",
                    legend="dropped",
                ),
            ),
        ),
        Panel(
            title="Partitions ahead",
            width=6,
            about="For how long from now each table has partitions; later rows are refused.",
            unit="s",
            queries=(
                Query(
                    expr=f"min by (table) (soulbox_partition_horizon_seconds{{{JOB}}})",
                    legend="{{table}}",
                ),
            ),
        ),
        Panel(
            title="Sums of use behind",
            width=6,
            about="Age of the oldest row that may not be in usage_daily yet; the views are exact"
            " all the while.",
            unit="s",
            queries=(Query(expr=f"max(soulbox_rollup_lag_seconds{{{JOB}}})", legend="behind"),),
        ),
    ),
)

_SAMPLES = Row(
    title="Resource figures",
    panels=(
        Panel(
            title="Samples a second, by result",
            about="What pods use, asked of their runners. failed: no answer, or nonsense.",
            unit="ops",
            stacked=True,
            queries=(Query(expr=_rate("soulbox_samples_total", "result"), legend="{{result}}"),),
        ),
        Panel(
            title="Memory over 90 %, samples in 5 min",
            about="Samples in which a pod used over 90 % of its limit. Events name the pods.",
            queries=(
                Query(
                    expr=f"sum(increase(soulbox_memory_pressure_samples_total{{{JOB}}}[5m]))",
                    legend="samples",
                ),
            ),
        ),
        Panel(
            title="Samples that wait, and that were dropped in an hour",
            about="Dropped ones are gaps in the figures; bills do not need them.",
            queries=(
                Query(expr=f"sum(soulbox_samples_waiting{{{JOB}}})", legend="waiting"),
                Query(
                    expr=f"sum(increase(soulbox_samples_dropped_total{{{JOB}}}[1h]))",
                    legend="dropped",
                ),
            ),
        ),
    ),
)

ROWS: tuple[Row, ...] = (_NOW, _EXECUTIONS, _RECONCILING, _MIRROR, _SAMPLES)
