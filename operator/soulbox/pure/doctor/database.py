"""The database, as an operator finds it. `care` judges what only its owner can see."""

from dataclasses import dataclass
from typing import Final

from soulbox.pure.doctor.finding import SKEW_WARN_SECONDS, Finding, Unseen, fail, ok, warn

_OLDEST_POSTGRESQL: Final = 150_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSeen:
    """PostgreSQL, looked at with the operator's own login.

    Attributes:
        version: server_version_num, 150018 for 15.18.
        in_recovery: it is a standby.
        schema_problem: why the schema is not this release's; "" if it is.
        pending: migrations that were not applied yet.
        lacking: rights of soulbox_writer that the login lacks, "INSERT on executions".
        excess: rights on the ledger that the operator must not have.
        skew_seconds: the database's clock minus the API server's; None: that is not known.
    """

    version: int
    login: str
    in_recovery: bool
    max_connections: int
    pool_max_size: int
    answer_seconds: float
    schema_problem: str
    pending: tuple[str, ...]
    lacking: tuple[str, ...]
    excess: tuple[str, ...]
    skew_seconds: float | None


def judge_database(seen: DatabaseSeen | Unseen) -> list[Finding]:
    """Reachable, new enough, migrated, writable; with the rights it needs and no others."""
    if isinstance(seen, Unseen):
        return [fail("database", seen.why, "check SOULBOX_DSN; docs/operations.md#database")]
    found = (
        f"PostgreSQL {seen.version // 10_000}.{seen.version % 10_000} as {seen.login},"
        f" {seen.answer_seconds * 1000:.0f} ms"
    )
    findings = [ok("database", found)]
    if seen.version < _OLDEST_POSTGRESQL:
        findings = [fail("database", found, "SoulBox needs PostgreSQL 15 or later: upgrade it")]
    elif seen.in_recovery:
        remedy = "let SOULBOX_DSN name the primary: target_session_attrs=read-write"
        findings = [fail("database", f"{found}: it is a standby, which takes no rows", remedy)]
    if seen.pool_max_size * 2 > seen.max_connections:
        words = f"pool_max_size {seen.pool_max_size} of max_connections {seen.max_connections}"
        remedy = (
            "raise max_connections or lower pool_max_size: each of two replicas needs that many"
        )
        findings.append(warn("database", words, remedy))
    return [*findings, _schema(seen), *_database_rights(seen), *_database_clock(seen)]


def _schema(seen: DatabaseSeen) -> Finding:
    if seen.schema_problem:
        return fail("migrations", seen.schema_problem, "docs/upgrade.md")
    if seen.pending:
        names = ", ".join(seen.pending)
        return fail("migrations", f"not applied: {names}", "soulbox migrate")
    return ok("migrations", "the schema is this release's")


def _database_rights(seen: DatabaseSeen) -> list[Finding]:
    if seen.pending or seen.schema_problem:
        return []  # the rights come with the schema
    findings = []
    if seen.lacking:
        words = ", ".join(seen.lacking[:4]) + (" …" if len(seen.lacking) > 4 else "")
        remedy = f'grant soulbox_writer to "{seen.login}"'
        findings.append(fail("database-rights", f"{seen.login} lacks {words}", remedy))
    if seen.excess:
        words = ", ".join(seen.excess)
        remedy = "give the operator a login that is a member of soulbox_writer alone"
        findings.append(warn("database-rights", f"{seen.login} may {words}", remedy))
    return findings or [ok("database-rights", f"{seen.login} has what it needs, and no more")]


def _database_clock(seen: DatabaseSeen) -> list[Finding]:
    skew = seen.skew_seconds
    if skew is None:
        return []
    if abs(skew) < SKEW_WARN_SECONDS:
        return [ok("database-clock", f"within {max(1, round(abs(skew)))} s of the API server's")]
    found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API server's"
    return [warn("database-clock", found, "set both by NTP: recorded_at is the database's time")]
