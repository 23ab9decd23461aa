"""What can be set about the mirror, and what it tells about itself."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSettings:
    """How the mirror works. The defaults are meant to be right for everybody."""

    # Objects in one transaction. 500 rows take some 20 ms; larger batches gained nothing
    # when measured, and a poison row is found by halving.
    batch_size: int = 500
    # How long the first object of a batch waits for others: what people notice of a row's
    # delay, against one transaction an object.
    linger_seconds: float = 0.2
    # Objects that wait at most, one a uid; more means that a relist is needed.
    max_pending: int = 20_000
    # Between tries while PostgreSQL is away: doubled each time, with jitter.
    backoff_min_seconds: float = 0.1
    backoff_max_seconds: float = 30.0
    # How long a cancelled run() still tries to write what waits.
    exit_flush_seconds: float = 2.0
    # Price plans are read again after so long; bills read them in their own transaction.
    price_reload_seconds: float = 60.0
    # A sign of life is asked for after so long without work.
    ping_seconds: float = 10.0
    # Changes older than this are removed: how long a live query may be away (a guess).
    changes_keep_seconds: float = 7 * 86_400.0
    # Monthly partitions made ahead of the present one.
    partitions_ahead: int = 3
    # Outputs saved at once: each holds a connection while its runner sends.
    output_saves: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorStatistics:
    """A snapshot; the counters count from the start of the process.

    Attributes:
        pending: objects that wait to be written.
        oldest_pending_seconds: how long the oldest of them has waited; 0 when none does.
        rows_written: rows that were new or changed.
        batches: committed transactions with objects.
        last_batch_size: objects in the newest of them.
        failures: tries that failed because PostgreSQL was away.
        dead_letters: objects and bills that were refused.
        bill_conflicts: bills that contradict the ledger: somebody must look.
        ends_unknown: pods found gone before anybody said when they ended.
        last_commit_time: when a batch was last committed; None: never.
        healthy: the last thing asked of PostgreSQL worked.
        relist_needed: objects were dropped because too many waited; repair clears it.
    """

    pending: int
    oldest_pending_seconds: float
    rows_written: int
    batches: int
    last_batch_size: int
    failures: int
    dead_letters: int
    bill_conflicts: int
    ends_unknown: int
    last_commit_time: datetime | None
    healthy: bool
    relist_needed: bool
