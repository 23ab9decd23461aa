"""`soulbox usage` and `soulbox billing rebuild`, as they are typed."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.support.usage import NOON, add_adjustment, add_event, add_mark, assert_exact


def soulbox(dsn: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "soulbox.app.cli", *words],
        env={**os.environ, "SOULBOX_DSN": dsn, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def rows(dsn: str, *words: str) -> Any:
    done = soulbox(dsn, "usage", "-o", "json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def filled(dsn: str, sql_connection: psycopg.Connection) -> str:
    event = add_event(sql_connection, seconds=3600, amount=Decimal("0.0180000001"))
    add_event(sql_connection, user="bob", hour=NOON + timedelta(days=1), sku="gpu")
    add_event(sql_connection, tenant="u", currency="EUR", amount=Decimal("12.5"))
    add_adjustment(sql_connection, event, Decimal("-0.01"), NOON + timedelta(days=20))
    for state in ("completed", "completed", "failed"):
        add_mark(sql_connection, state=state, duration_ms=1500)
    return dsn


def test_table_is_for_people(filled: str) -> None:
    before = soulbox(filled, "usage", "--period", "2026-11")
    built = soulbox(filled, "billing", "rebuild")
    assert built.returncode == 0, built.stderr
    assert "summed 2026-11\nsummed 2026-12\n" in built.stdout
    assert built.stdout.endswith("the sums are rebuilt\n")
    after = soulbox(filled, "usage", "--period", "2026-11")
    assert before.stdout == after.stdout
    lines = [line.split() for line in after.stdout.splitlines()]
    assert lines[0] == [
        *("PERIOD", "TENANT", "USER", "EXECUTIONS", "DURATION_MS"),
        *("BILLED_SECONDS", "COST", "CURRENCY"),
    ]
    assert lines[1:] == [
        ["2026-11", "t", "ada", "3", "4500", "3600.000000", "0.0180000001", "USD"],
        ["2026-11", "t", "bob", "0", "0", "10.000000", "0.0002000000", "USD"],
        ["2026-11", "u", "ada", "0", "0", "10.000000", "12.5000000000", "EUR"],
    ]


def test_json_has_all_and_rounds_nothing(filled: str) -> None:
    [ada] = rows(filled, "--period", "2026-11", "--user", "ada", "--tenant", "t")
    assert ada == {
        "period": "2026-11",
        "tenant": "t",
        "user_name": "ada",
        "total_executions": 3,
        "total_duration_ms": 4500,
        "billed_seconds": "3600.000000",
        "compute_units": "3600.0000000000",
        "total_cost": "0.0180000001",
        "currency": "USD",
        "breakdown": {
            "kind": {
                "sandbox_runtime": {
                    "seconds": "3600.000000",
                    "units": "3600.0000000000",
                    "cost": "0.0180000001",
                }
            },
            "sku": {
                "default": {
                    "seconds": "3600.000000",
                    "units": "3600.0000000000",
                    "cost": "0.0180000001",
                }
            },
            "state": {
                "completed": {"executions": 2, "duration_ms": 3000},
                "failed": {"executions": 1, "duration_ms": 1500},
            },
        },
    }


def test_by_tenant_by_period_and_over_months(filled: str) -> None:
    tenants = rows(filled, "--period", "2026-11", "--by", "tenant")
    assert [(row["tenant"], row["total_cost"]) for row in tenants] == [
        ("t", "0.0182000001"),
        ("u", "12.5000000000"),
    ]
    assert "user_name" not in tenants[0]
    assert tenants[0]["breakdown"]["sku"]["gpu"]["cost"] == "0.0002000000"
    months = rows(filled, "--since", "2026-11", "--period", "2026-12", "--by", "period")
    assert [(row["period"], row["currency"], row["total_cost"]) for row in months] == [
        ("2026-11", "EUR", "12.5000000000"),
        ("2026-11", "USD", "0.0182000001"),
        ("2026-12", "USD", "-0.0100000000"),
    ]
    assert sum(row["total_executions"] for row in months) == 3


def test_daily_as_csv(filled: str) -> None:
    done = soulbox(filled, "usage", "--daily", "--period", "2026-11", "--tenant", "t", "-o", "csv")
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["day"], row["user_name"]) for row in found] == [
        ("2026-11-22", "ada"),
        ("2026-11-23", "bob"),
    ]
    assert found[0]["total_cost"] == "0.0180000001"


def test_without_a_period_it_is_this_month(filled: str, sql_connection: psycopg.Connection) -> None:
    now = datetime.now(UTC)
    add_mark(sql_connection, user="today", ended=now)
    found = rows(filled, "--user", "today")
    # The month may have changed since.
    assert [row["period"] for row in found] in ([f"{now:%Y-%m}"], [])


def test_nobody_used_anything(dsn: str) -> None:
    assert soulbox(dsn, "usage", "--period", "2001-01").stdout == "nothing was used\n"
    assert rows(dsn, "--period", "2001-01") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--period", "2026-13"], "period: '2026-13' is not a month; write it as 2026-11"),
        (["--since", "November"], "since: 'November' is not a month; write it as 2026-11"),
        (["--since", "2027-01", "--period", "2026-01"], "since: it is later than 2026-01; swap"),
    ],
)
def test_months_that_are_none_are_refused_in_a_line(dsn: str, words: list[str], said: str) -> None:
    done = soulbox(dsn, "usage", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_rebuild_mends_what_was_damaged(filled: str, sql_connection: psycopg.Connection) -> None:
    assert soulbox(filled, "billing", "rebuild").returncode == 0
    sql_connection.execute("update soulbox.usage_daily set total_cost = 7")
    sql_connection.execute("delete from soulbox.usage_aggregates")
    assert soulbox(filled, "billing", "rebuild").returncode == 0
    assert_exact(sql_connection)


def test_rebuild_without_the_right_says_so(filled: str) -> None:
    read_only = psycopg.conninfo.make_conninfo(
        filled, options="-c default_transaction_read_only=on"
    )
    done = soulbox(read_only, "billing", "rebuild")
    assert done.returncode == 1
    assert "read-only" in done.stderr
    assert done.stderr.count("\n") == 1
