"""What is wrong with a database, and what to do about it: `soulbox db doctor`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from soulbox.pure.doctor.finding import Finding, Verdict

_DAY: Final = 86_400.0
# Autovacuum waits for transactions as old; so does every reader of the feed of changes.
_OLD_TRANSACTION_SECONDS: Final = 600.0
# PostgreSQL forces a vacuum at 200 million and stops at 2,100 million.
_OLD_TRANSACTION_IDS: Final = 1_000_000_000
# PostgreSQL itself warns from half on; when it is full, transactions that notify cannot commit.
_FULL_QUEUE_RATIO: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseCare:
    """What was seen of a database that answers.

    Attributes:
        unbounded_logins: of tenants, without a bound on connections, statements or idle
            transactions.
        open_relations: with rows of tenants, that all their logins may read.
        worn: dead rows of tables that vacuum has fallen behind with.
        horizon_seconds: by partitioned table, for how long from now it has partitions.
        pending: migrations that are not applied.
        leader_epoch: 0 when no operator ever wrote here.
    """

    server_version: str
    is_replica: bool
    is_read_only: bool
    is_durable: bool
    connections: int
    max_connections: int
    cache_hit_ratio: float | None
    oldest_transaction_seconds: float
    transaction_id_age: int
    notification_queue_ratio: float
    unbounded_logins: Sequence[str]
    open_relations: Sequence[str]
    dead_letters: int
    leader_epoch: int
    idle_slots: int
    broken_indexes: int
    worn: Mapping[str, int]
    horizon_seconds: Mapping[str, float]
    pending: tuple[str, ...]


def judge_care(seen: DatabaseCare) -> list[Finding]:
    """Every finding, the sound ones too, in a fixed order."""
    return [
        *_server(seen),
        *_load(seen),
        *_logins(seen),
        *_partitions(seen),
        *_rows(seen),
    ]


def _server(seen: DatabaseCare) -> list[Finding]:
    findings = []
    kind = "standby" if seen.is_replica else "primary"
    said = f"PostgreSQL {seen.server_version}, {kind}"
    if seen.is_replica:
        findings.append(_fail("server", said, "let SOULBOX_DSN name the primary"))
    elif seen.is_read_only:
        remedy = "unset default_transaction_read_only"
        findings.append(_fail("server", f"{said}, read-only", remedy))
    else:
        findings.append(_ok("server", said))
    if not seen.is_durable:
        words = "fsync, full_page_writes or synchronous_commit is off: a crash may lose bills"
        findings.append(_warn("durability", words, "set all three to on"))
    if seen.pending:
        words = f"not applied: {', '.join(seen.pending)}"
        findings.append(_fail("migrations", words, "soulbox migrate"))
    return findings


def _load(seen: DatabaseCare) -> list[Finding]:
    findings = []
    words = f"{seen.connections} of {seen.max_connections} connections"
    if seen.connections > seen.max_connections * 0.8:
        findings.append(_warn("connections", words, "raise max_connections or lower pool_max_size"))
    else:
        findings.append(_ok("connections", words))
    age = seen.oldest_transaction_seconds
    if age > _OLD_TRANSACTION_SECONDS:
        words = (
            f"a transaction has been open for {age:.0f} s: it holds back vacuum and, if it may"
            " write, the live feed of changes"
        )
        remedy = "find it in pg_stat_activity; set idle_in_transaction_session_timeout"
        findings.append(_warn("transactions", words, remedy))
    if seen.notification_queue_ratio > _FULL_QUEUE_RATIO:
        words = (
            f"the NOTIFY queue is {seen.notification_queue_ratio:.0%} full: a listening session"
            " has left a transaction open"
        )
        remedy = "end the oldest transaction in pg_stat_activity, in any database of the server"
        findings.append(_warn("notifications", words, remedy))
    if seen.cache_hit_ratio is not None and seen.cache_hit_ratio < 0.9:
        words = f"{seen.cache_hit_ratio:.0%} of reads came from memory"
        findings.append(_warn("cache", words, "raise shared_buffers, to a quarter of the memory"))
    if seen.transaction_id_age > _OLD_TRANSACTION_IDS:
        words = f"transaction ids are {seen.transaction_id_age:,} old"
        findings.append(
            _fail("wraparound", words, "run vacuum freeze; find what holds vacuum back")
        )
    if seen.idle_slots:
        words = f"nobody reads {seen.idle_slots} replication slots: their WAL fills the disk"
        findings.append(
            _warn("slots", words, "drop those that are not needed with pg_drop_replication_slot")
        )
    return findings


def _logins(seen: DatabaseCare) -> list[Finding]:
    findings = []
    if seen.open_relations:
        words = (
            f"tenants' logins may read {', '.join(seen.open_relations)}: EXPLAIN reveals other"
            " tenants' rows"
        )
        findings.append(_fail("walls", words, "call soulbox.apply_access()"))
    if seen.unbounded_logins:
        words = f"no limit on connections or time: {', '.join(seen.unbounded_logins)}"
        remedy = "soulbox db grant-reader LOGIN --tenant …, or alter role"
        findings.append(_warn("logins", words, remedy))
    return findings


def _partitions(seen: DatabaseCare) -> list[Finding]:
    findings = []
    for table, seconds in sorted(seen.horizon_seconds.items()):
        words = f"{table} has partitions for {max(seconds, 0.0) / _DAY:.0f} days"
        if seconds > 2 * _DAY:
            findings.append(_ok("partitions", words))
        elif seen.leader_epoch == 0:
            findings.append(_ok("partitions", f"{words}: no operator has written here yet"))
        else:
            remedy = "start the operator, which creates them hourly; check its log for refusals"
            findings.append(_fail("partitions", words, remedy))
    return findings


def _rows(seen: DatabaseCare) -> list[Finding]:
    findings = [
        _warn("vacuum", f"{table} has {dead:,} dead rows", f"vacuum analyze soulbox.{table}")
        for table, dead in sorted(seen.worn.items())
    ]
    if seen.broken_indexes:
        words = f"{seen.broken_indexes} indexes are not valid"
        findings.append(_fail("indexes", words, "reindex schema concurrently soulbox"))
    if seen.dead_letters:
        words = f"{seen.dead_letters} objects or bills were refused"
        findings.append(_warn("dead-letters", words, "soulbox db dead-letter list"))
    return findings


def _ok(check: str, found: str) -> Finding:
    return Finding(check=check, verdict=Verdict.OK, found=found)


def _warn(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WARN, found=found, remedy=remedy)


def _fail(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, verdict=Verdict.FAIL, found=found, remedy=remedy)
