"""What `soulbox db doctor` says of what it saw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soulbox.pure.doctor.care import DatabaseCare, judge_care
from soulbox.pure.doctor.finding import Verdict

SOUND = DatabaseCare(
    server_version="18.4",
    is_replica=False,
    is_read_only=False,
    is_durable=True,
    connections=12,
    max_connections=100,
    cache_hit_ratio=0.99,
    oldest_transaction_seconds=1.0,
    transaction_id_age=1000,
    notification_queue_ratio=0.0,
    unbounded_logins=(),
    open_relations=(),
    dead_letters=0,
    leader_epoch=3,
    idle_slots=0,
    broken_indexes=0,
    worn={},
    horizon_seconds={"executions": 90 * 86_400.0, "resource_metrics": 7 * 86_400.0},
    pending=(),
)

CASES: dict[str, tuple[dict[str, Any], str, Verdict, str]] = {
    "a standby": ({"is_replica": True}, "server", Verdict.FAIL, "primary"),
    "read-only": ({"is_read_only": True}, "server", Verdict.FAIL, "default_transaction_read_only"),
    "fsync is off": ({"is_durable": False}, "durability", Verdict.WARN, "set all three"),
    "tables open to tenants": ({"open_relations": ["executions"]}, "walls", Verdict.FAIL, "apply"),
    "logins without bounds": (
        {"unbounded_logins": ["eve"]},
        "logins",
        Verdict.WARN,
        "grant-reader",
    ),
    "not migrated": ({"pending": ("0099_x",)}, "migrations", Verdict.FAIL, "soulbox migrate"),
    "nearly full": ({"connections": 81}, "connections", Verdict.WARN, "max_connections"),
    "somebody forgot a transaction": (
        {"oldest_transaction_seconds": 601.0},
        "transactions",
        Verdict.WARN,
        "pg_stat_activity",
    ),
    "a listener went to sleep": (
        {"notification_queue_ratio": 0.51},
        "notifications",
        Verdict.WARN,
        "pg_stat_activity",
    ),
    "memory too small": ({"cache_hit_ratio": 0.5}, "cache", Verdict.WARN, "shared_buffers"),
    "wraparound ahead": (
        {"transaction_id_age": 1_000_000_001},
        "wraparound",
        Verdict.FAIL,
        "vacuum freeze",
    ),
    "a replica that never came back": ({"idle_slots": 1}, "slots", Verdict.WARN, "pg_drop"),
    "partitions end": (
        {"horizon_seconds": {"executions": 86_400.0}},
        "partitions",
        Verdict.FAIL,
        "start the operator",
    ),
    "vacuum is behind": (
        {"worn": {"executions": 50_000}},
        "vacuum",
        Verdict.WARN,
        "vacuum analyze",
    ),
    "an index is broken": ({"broken_indexes": 1}, "indexes", Verdict.FAIL, "reindex"),
    "dead letters": ({"dead_letters": 2}, "dead-letters", Verdict.WARN, "dead-letter list"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named_with_its_remedy(case: str) -> None:
    changes, check, want_verdict, want_remedy = CASES[case]
    bad = [one for one in judge_care(replace(SOUND, **changes)) if one.verdict is not Verdict.OK]
    assert [(one.check, one.verdict) for one in bad] == [(check, want_verdict)]
    assert want_remedy in bad[0].remedy


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cache_hit_ratio": None},
        {"connections": 80},
        {"oldest_transaction_seconds": 600.0},
        {"notification_queue_ratio": 0.5},
        {"horizon_seconds": {"executions": 0.0}, "leader_epoch": 0},
    ],
)
def test_sound_database(changes: dict[str, Any]) -> None:
    assert {one.verdict for one in judge_care(replace(SOUND, **changes))} == {Verdict.OK}
