"""The metrics of PostgreSQL and of the way there: the mirror, deleted objects that wait, the
database as it counts itself."""

from typing import Final

from soulbox.telemetry.family import Family

# To mirror_batch_rows' default; a larger setting falls into +Inf.
_BATCH_BUCKETS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500)

STORE_FAMILIES: Final[tuple[Family, ...]] = (
    # Mirror
    Family(
        name="soulbox_mirror_healthy",
        type="gauge",
        help="1 while PostgreSQL accepts what is written; 0 also while writing fails because of an"
        " error in the operator.",
        read=True,
    ),
    Family(
        name="soulbox_mirror_pending_objects",
        type="gauge",
        help="Objects that wait to be written to PostgreSQL: how far it is behind.",
        read=True,
    ),
    Family(
        name="soulbox_mirror_lag_seconds",
        type="gauge",
        help="Age of the oldest object that waits to be written.",
        read=True,
    ),
    Family(
        name="soulbox_mirror_batch_objects",
        type="histogram",
        help="Objects in a batch that was written.",
        buckets=_BATCH_BUCKETS,
    ),
    Family(
        name="soulbox_mirror_rows_written_total",
        type="counter",
        help="Rows that were new or changed.",
        read=True,
    ),
    Family(
        name="soulbox_mirror_failures_total",
        type="counter",
        help="Attempts that failed because PostgreSQL was unavailable.",
        read=True,
    ),
    Family(
        name="soulbox_mirror_dead_letters_total",
        type="counter",
        help="Rows and bills that PostgreSQL refused; they are in `dead_letter`.",
        read=True,
    ),
    Family(
        name="soulbox_mirror_bill_conflicts_total",
        type="counter",
        help="Bills that contradict the ledger; each needs to be examined.",
        read=True,
    ),
    Family(
        name="soulbox_mirror_ends_unknown_total",
        type="counter",
        help="Pods that were found gone and whose end is unknown.",
        read=True,
    ),
    # Deleted objects that PostgreSQL did not take in time
    Family(
        name="soulbox_mirror_held_objects",
        type="gauge",
        help="Deleted objects that stay past `record_deadline_seconds` because neither PostgreSQL"
        " nor a spool volume accepts them.",
        read=True,
    ),
    Family(
        name="soulbox_spool_objects",
        type="gauge",
        help="Objects that are gone from the cluster and wait on the spool volume for PostgreSQL.",
        read=True,
    ),
    Family(
        name="soulbox_spool_bytes",
        type="gauge",
        help="Size of the files on the spool volume.",
        read=True,
    ),
    Family(
        name="soulbox_spool_age_seconds",
        type="gauge",
        help="How long the oldest object on the spool volume has waited there.",
        read=True,
    ),
    Family(
        name="soulbox_spool_failures_total",
        type="counter",
        help="How often the spool volume could not be used: full, read-only, gone. It is tried"
        " every ten minutes (`repair_period_seconds`), needed or not.",
        read=True,
    ),
    Family(
        name="soulbox_rollup_lag_seconds",
        type="gauge",
        help="Age of the oldest ledger row or finished Execution that may not be in `usage_daily`"
        " and `usage_aggregates` yet; 10 s at rest. An open transaction or a rebuild delays it;"
        " the views are exact meanwhile.",
        read=True,
    ),
    # The database, as it counts itself; looked at every half minute
    Family(
        name="soulbox_database_connections",
        type="gauge",
        help="Connections to the database, by anybody.",
        read=True,
    ),
    Family(
        name="soulbox_database_commits_total",
        type="counter",
        help="Transactions that were committed.",
        read=True,
    ),
    Family(
        name="soulbox_database_rollbacks_total",
        type="counter",
        help="Transactions that were rolled back.",
        read=True,
    ),
    Family(
        name="soulbox_database_cache_hit_ratio",
        type="gauge",
        help="Share of page reads that were answered from memory.",
        read=True,
    ),
    Family(
        name="soulbox_database_bytes",
        type="gauge",
        help="Size of the database on disk.",
        read=True,
    ),
    Family(
        name="soulbox_database_oldest_transaction_seconds",
        type="gauge",
        help="Age of the oldest open transaction.",
        read=True,
    ),
    Family(
        name="soulbox_database_notification_queue_ratio",
        type="gauge",
        help="How full the server's NOTIFY queue is, which all its databases share; when it is"
        " full, live queries lose their hints and poll every few seconds.",
        read=True,
    ),
    Family(
        name="soulbox_unbilled_seconds",
        type="gauge",
        help="Time since the end of the oldest hour of a running pod that has no row in the"
        " ledger; under three minutes while the pod's node renews its Lease.",
        read=True,
    ),
    Family(
        name="soulbox_database_inserts_total",
        type="counter",
        help="Rows inserted.",
        labels={"table": "a table of schema `soulbox`, its partitions together"},
        read=True,
    ),
    Family(
        name="soulbox_database_updates_total",
        type="counter",
        help="Rows updated.",
        labels={"table": "a table of schema `soulbox`, its partitions together"},
        read=True,
    ),
    Family(
        name="soulbox_database_deletes_total",
        type="counter",
        help="Rows deleted.",
        labels={"table": "a table of schema `soulbox`, its partitions together"},
        read=True,
    ),
    Family(
        name="soulbox_database_live_rows",
        type="gauge",
        help="Rows, as estimated by the statistics.",
        labels={"table": "a table of schema `soulbox`, its partitions together"},
        read=True,
    ),
    Family(
        name="soulbox_database_dead_rows",
        type="gauge",
        help="Rows that vacuum has yet to remove.",
        labels={"table": "a table of schema `soulbox`, its partitions together"},
        read=True,
    ),
    Family(
        name="soulbox_database_table_bytes",
        type="gauge",
        help="Size of a table on disk.",
        labels={"table": "a table of schema `soulbox`, its partitions together"},
        read=True,
    ),
    Family(
        name="soulbox_database_index_bytes",
        type="gauge",
        help="Size of a table's indexes on disk.",
        labels={"table": "a table of schema `soulbox`, its partitions together"},
        read=True,
    ),
    Family(
        name="soulbox_partition_horizon_seconds",
        type="gauge",
        help="How far into the future a table has partitions; later rows are refused. Updated"
        " hourly.",
        labels={
            "table": "`executions`, `execution_outputs`, `execution_logs` or `resource_metrics`"
        },
        read=True,
    ),
)
