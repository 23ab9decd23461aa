"""Every metric of the operator, with the meaning of its labels.

Names are for ever. Labels are closed sets or names an admin owns (a class); never the
name of a sandbox, an execution or an image: those are unbounded.

docs/reference/metrics.md is made from these declarations (`python -m soulbox.telemetry.reference`).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from soulbox.model.kinds import OURS, WATCHED, KindInfo
from soulbox.telemetry.family import Family
from soulbox.telemetry.store_families import STORE_FAMILIES

# From a warm run (tens of milliseconds) to the longest class default (minutes).
_RUN_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_CALL_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30)


def _one_of(infos: Iterable[KindInfo]) -> str:
    *others, last = (f"`{info.kind}`" for info in infos)
    return f"{', '.join(others)} or {last}"


_OWN_KINDS: Final = _one_of(OURS)
_WATCHED_KINDS: Final = _one_of(WATCHED)
_FINAL_STATES: Final = "`Completed`, `Failed`, `Timeout` or `Cancelled`"

FAMILIES: Final[tuple[Family, ...]] = (
    # Leader election
    Family(
        name="soulbox_leader",
        type="gauge",
        help="1 on the operator that leads, 0 on one that stands by. A leader that could not renew"
        " its Lease in time and has stopped writing counts as 0.",
    ),
    Family(
        name="soulbox_leader_transitions_total",
        type="counter",
        help="How often this process began to lead, stopped writing, or ceased to lead.",
        labels={
            "to": "`leader`, `silent` (the Lease was not renewed in time), `released` (at its"
            " end) or `lost` (another has it)"
        },
    ),
    Family(
        name="soulbox_lease_renew_failures_total",
        type="counter",
        help="Renewals of the Lease that failed.",
    ),
    # Reconciling
    Family(
        name="soulbox_reconciles_total",
        type="counter",
        help="Passes over an object.",
        labels={
            "kind": _OWN_KINDS,
            "result": "`ok`, `retry` (it will be tried again), `refused` (the API server forbade"
            " something) or `error` (a bug)",
        },
    ),
    Family(
        name="soulbox_reconcile_seconds",
        type="histogram",
        help="Duration of a pass.",
        labels={"kind": _OWN_KINDS},
        buckets=_CALL_BUCKETS,
    ),
    Family(
        name="soulbox_queue_ready",
        type="gauge",
        help="Keys that wait for a worker.",
        read=True,
    ),
    Family(
        name="soulbox_queue_active",
        type="gauge",
        help="Keys being worked on, at most `workers`.",
        read=True,
    ),
    Family(
        name="soulbox_queue_delayed",
        type="gauge",
        help="Keys that wait for their time: a deadline, a back-off.",
        read=True,
    ),
    Family(
        name="soulbox_queue_failing",
        type="gauge",
        help="Keys whose last pass failed.",
        read=True,
    ),
    # API server
    Family(
        name="soulbox_api_requests_total",
        type="counter",
        help="Calls to the API server, except watches. Writes are create, patch and delete.",
        labels={
            "verb": "`get`, `list`, `create`, `patch` or `delete`",
            "kind": "of the object, `Pod` for example",
            "code": "HTTP status, `0` for no answer",
        },
    ),
    Family(
        name="soulbox_api_request_seconds",
        type="histogram",
        help="Duration of calls to the API server.",
        labels={"verb": "`get`, `list`, `create`, `patch` or `delete`"},
        buckets=_CALL_BUCKETS,
    ),
    Family(
        name="soulbox_watch_events_total",
        type="counter",
        help="Watch events received.",
        labels={"kind": _WATCHED_KINDS},
    ),
    Family(
        name="soulbox_watch_last_event_timestamp_seconds",
        type="gauge",
        help="Unix time of the newest event of each watch.",
        labels={"kind": _WATCHED_KINDS},
    ),
    Family(
        name="soulbox_watch_age_seconds",
        type="gauge",
        help="Time since each watch last brought an event, or since the start. A watch of"
        " objects that do not change is silent too.",
        labels={"kind": _WATCHED_KINDS},
        read=True,
    ),
    Family(
        name="soulbox_events_dropped_total",
        type="counter",
        help="Kubernetes Events that were dropped because the queue was full.",
        read=True,
    ),
    # Sandboxes and Executions
    Family(
        name="soulbox_sandboxes_known",
        type="gauge",
        help="Sandboxes that exist.",
        read=True,
    ),
    Family(
        name="soulbox_executions_known",
        type="gauge",
        help="Executions that exist, finished ones too.",
        read=True,
    ),
    Family(
        name="soulbox_sandbox_start_seconds",
        type="histogram",
        help="Time from a Sandbox's creation to its first Running.",
        buckets=_RUN_BUCKETS,
    ),
    Family(
        name="soulbox_executions_total",
        type="counter",
        help="Executions that reached a final state.",
        labels={"state": _FINAL_STATES, "reason": "one of [concepts](../concepts.md)' reasons"},
    ),
    Family(
        name="soulbox_execution_queue_seconds",
        type="histogram",
        help="Time from an Execution's creation to the start of its code.",
        buckets=_RUN_BUCKETS,
    ),
    Family(
        name="soulbox_execution_start_seconds",
        type="histogram",
        help="Time from an Execution's dispatch to the start of its code, for Executions that this"
        " process dispatched: the part of the queue time that is not waiting.",
        buckets=_RUN_BUCKETS,
    ),
    Family(
        name="soulbox_execution_duration_seconds",
        type="histogram",
        help="Wall time of the programs.",
        labels={"state": _FINAL_STATES},
        buckets=_RUN_BUCKETS,
    ),
    Family(
        name="soulbox_runs_followed",
        type="gauge",
        help="Runs in progress.",
        read=True,
    ),
    Family(
        name="soulbox_runner_errors_total",
        type="counter",
        help="Calls to runners that failed.",
        labels={
            "code": "the runner's error code, or the kind of failure; `Other` for a code that our"
            " runner does not use"
        },
    ),
    # The judge of schemas and inputs
    Family(
        name="soulbox_judge_seconds",
        type="histogram",
        help="From a question to the judge to its answer.",
        labels={
            "ask": "check_schema, validate, check_cel or evaluate_cel",
            "outcome": "Good, Bad, Refused, Late, Outgrew, Died, or Unavailable",
        },
        buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
    ),
    Family(
        name="soulbox_judge_ended_total",
        type="counter",
        help="Processes of the judge that ended.",
        labels={"cause": "Idle and Spent are ordinary; Late, Outgrew, Died, Silent or Killed"},
    ),
    Family(
        name="soulbox_results_unjudged_total",
        type="counter",
        help="Calls that ended as Completed though the judge gave no word on their result.",
    ),
    # Resource figures
    Family(
        name="soulbox_samples_total",
        type="counter",
        help="Samples of what pods use.",
        labels={"result": "`ok`, or `failed`: its runner did not answer, or answered nonsense"},
    ),
    Family(
        name="soulbox_memory_pressure_samples_total",
        type="counter",
        help="Samples in which a pod used over 90 % of its memory limit, not counting page cache.",
    ),
    Family(
        name="soulbox_samples_waiting",
        type="gauge",
        help="Samples that wait to be written to PostgreSQL.",
        read=True,
    ),
    Family(
        name="soulbox_samples_dropped_total",
        type="counter",
        help="Samples that were never written: too many waited while PostgreSQL was unavailable,"
        " or it refused them.",
        read=True,
    ),
    *STORE_FAMILIES,
)
# Those that read_snapshots wants a reader for.
READ: Final[Mapping[str, Family]] = {family.name: family for family in FAMILIES if family.read}
