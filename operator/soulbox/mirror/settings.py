"""What can be set about the mirror, and what it tells about itself."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from soulbox.model.backoff import doubled_seconds
from soulbox.model.retention import RetentionPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSettings:
    """How the mirror works. The defaults are meant to be right for everybody."""

    # Objects in one transaction. 500 rows take some 35 ms; larger batches gained nothing
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
    # Between two folds of usage_daily and usage_aggregates. The views add what is not folded
    # themselves, so this only bounds how much that is; nothing new costs two looks into an index.
    rollup_seconds: float = 10.0
    # Changes older than this are removed: how long a live query may be away (a guess).
    changes_keep_seconds: float = 7 * 86_400.0
    # Monthly partitions made ahead of the present one.
    partitions_ahead: int = 3
    # Daily partitions of resource_metrics made ahead: a week in which nobody who could make
    # them need be there.
    metric_days_ahead: int = 7
    # What is older is dropped, once a day; see RetentionPolicy.
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    # After a round that failed: somebody read such a partition, or PostgreSQL was busy.
    retain_retry_seconds: float = 600.0
    # Resource samples that wait while PostgreSQL is away; the oldest beyond it are dropped.
    sample_capacity: int = 20_000
    # The namespaces that are served: of others a list says nothing. Empty: all.
    namespaces: tuple[str, ...] = ()
    # Outputs saved at once: each holds a connection while its runner sends.
    output_saves: int = 4

    def backoff_seconds(self, tries: int) -> float:
        """How long to wait after so many tries in a row that failed. Doubles with each, half
        of it by chance: two operators or a fleet of them must not come back in step."""
        longest = doubled_seconds(self.backoff_min_seconds, self.backoff_max_seconds, tries)
        return longest * random.uniform(0.5, 1.0)


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
        healthy: the last thing asked of PostgreSQL worked, and so did the last round.
        relist_needed: objects were dropped because too many waited; repair clears it.
        partition_horizon_seconds: seconds from now on that each table has partitions for, as of the
            last hourly look; empty before the first.
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
    partition_horizon_seconds: Mapping[str, float]
