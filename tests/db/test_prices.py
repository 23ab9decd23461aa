"""Prices from a file, and what the database itself refuses of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo
from typer.testing import CliRunner

from soulbox.app.cli import app
from soulbox.model.errors import CommandError, InvalidRequest
from soulbox.model.states import Kind
from soulbox.schema.prices import parse_prices
from soulbox.store.ledger import PLAN_UNBILLED_CONSTRAINT, TIER_UNBILLED_CONSTRAINT
from soulbox.store.pool import Store, open_store
from soulbox.store.price_changes import apply_prices
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.make_mirrored import make_pod

EXAMPLE = Path(__file__).parents[2] / "examples/billing/prices.yaml"
SOON = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)


def plans(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select name, sku, tier, rate, lower(valid), upper(valid), minimum_seconds,"
        " increment_seconds, free_units from soulbox.price_plans order by name"
    ).fetchall()


async def bill(make_mirror: MakeMirror, *pods: dict[str, Any]) -> None:
    async with running(make_mirror()) as mirror:
        for pod in pods:
            mirror.offer(Kind.POD, pod)
        await drained(mirror)


def test_example_is_applied_listed_and_applied_again(
    dsn: str, sql_connection: psycopg.Connection
) -> None:
    runner = CliRunner(env={"SOULBOX_DSN": dsn})
    before = plans(sql_connection)
    tried = runner.invoke(app, ["prices", "check", str(EXAMPLE)])
    assert tried.exit_code == 0, tried.output
    assert "would be added: plan default-free-2 (default/free), 0.000025 USD a compute unit" in (
        tried.output
    )
    assert plans(sql_connection) == before
    applied = runner.invoke(app, ["prices", "apply", str(EXAMPLE)])
    assert applied.exit_code == 0, applied.output
    assert applied.output == tried.output.replace("would be ", "")
    stored = plans(sql_connection)
    assert [row[0] for row in stored] == ["default-free-1", "default-free-2", "default-team-1"]
    assert stored[1][3:] == (
        Decimal("0.000025"),
        datetime(2031, 1, 1, tzinfo=UTC),
        None,
        1,
        1,
        Decimal(36000),
    )
    again = runner.invoke(app, ["prices", "apply", str(EXAMPLE)])
    assert again.output == "unchanged: 5\n"
    listed = runner.invoke(app, ["prices", "list", "-o", "csv"]).output.splitlines()
    assert listed[1].startswith("default-free-1,valid,default,free,0.0000200000,USD,2020-01-01")
    assert listed[2].startswith("default-free-2,to come,default,free,0.0000250000,USD,2031-01-01")
    who = runner.invoke(app, ["prices", "list", "--tiers", "-o", "csv"]).output.splitlines()
    assert who[1] == "team-a,,team,to come,2031-01-01T00:00:00Z,"
    assert who[2] == "team-b,ada,team,to come,2031-01-01T00:00:00Z,2032-01-01T00:00:00Z"


async def test_one_wrong_plan_leaves_all_as_they_were(
    store: Store, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """The last of three is refused by the database alone: time of its was billed."""
    await bill(
        make_mirror, make_pod(started="2026-11-22T10:00:00Z", finished="2026-11-22T10:00:09Z")
    )
    before = plans(sql_connection)
    text = f"""plans:
- {{name: one, rate: 1, tier: a, valid_from: '{SOON.isoformat()}'}}
- {{name: two, rate: 1, tier: b, valid_from: '{SOON.isoformat()}'}}
- {{name: three, rate: 1, sku: default, tier: free, valid_from: '2026-11-01T00:00:00Z',
    valid_to: '2026-11-23T00:00:00Z'}}
- {{name: default-free-1, rate: 0.00002, valid_from: '2020-01-01T00:00:00Z'}}"""
    with pytest.raises(InvalidRequest, match=r"plans\[2\].valid_from: its time overlaps"):
        await apply_prices(store, parse_prices(text.encode(), "x"))
    other = text.replace("sku: default, tier: free", "sku: default, tier: gold")
    assert (await apply_prices(store, parse_prices(other.encode(), "x"), dry_run=True)).plans_added
    assert plans(sql_connection) == before
    gpu = text.replace("sku: default, tier: free", "sku: gpu, tier: free")
    await bill(
        make_mirror,
        make_pod(
            started="2026-11-22T10:00:00Z",
            finished="2026-11-22T10:00:09Z",
            metadata={"annotations": {"soulbox.dev/sku": "gpu"}},
        ),
    )
    with pytest.raises(InvalidRequest, match=r"plans\[2\].valid_from: time that is already billed"):
        await apply_prices(store, parse_prices(gpu.encode(), "x"))
    assert plans(sql_connection) == before


async def test_login_that_may_not_is_told_which_may(
    dsn: str, sql_connection: psycopg.Connection
) -> None:
    name = f"prices_{sql_connection.info.dbname[-8:]}"
    sql_connection.execute(f"create role {name} login in role soulbox_writer".encode())
    limited = await open_store(conninfo.make_conninfo(dsn, user=name))
    try:
        with pytest.raises(CommandError, match="member of soulbox_owner"):
            await apply_prices(limited, parse_prices(EXAMPLE.read_bytes(), "x"))
    finally:
        await limited.close()
        sql_connection.execute(f"drop owned by {name}".encode())
        sql_connection.execute(f"drop role {name}".encode())


def test_bad_file_is_one_line(dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("plans: [{name: p, rate: -1, valid_from: 2027-01-01T00:00:00Z}]")
    result = CliRunner(env={"SOULBOX_DSN": dsn}).invoke(app, ["prices", "apply", str(file)])
    assert isinstance(result.exception, InvalidRequest)
    assert str(result.exception).startswith("plans[0].rate: '-1': ")
    words = ["prices", "apply", str(file), "--allow-new-sku"]
    file.write_text("plans: [{name: p, sku: x, rate: 300, valid_from: 2037-01-01T00:00:00Z}]")
    result = CliRunner(env={"SOULBOX_DSN": dsn}).invoke(app, words)
    assert isinstance(result.exception, InvalidRequest)
    assert str(result.exception).startswith("plans[0].rate: with its minimum and increment")


async def test_plan_may_not_begin_under_time_that_is_billed(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    pod = make_pod(started="2026-11-22T10:30:00Z", finished="2026-11-22T11:00:09Z")
    await bill(make_mirror, pod)
    insert = (
        "insert into soulbox.price_plans (name, sku, tier, rate, valid)"
        " values ('late', %s, %s, 1, %s)"
    )
    past = "[2026-11-22 11:00:00+00,2026-11-23 00:00:00+00)"
    for sku, tier in (("gpu", "free"), ("default", "gold")):
        # Neither would price what was billed: it is of SKU default and tier free.
        sql_connection.execute(insert, (sku, tier, past))
        sql_connection.execute(
            "alter table soulbox.price_plans disable trigger price_plans_guard;"
            "delete from soulbox.price_plans where name = 'late';"
            "alter table soulbox.price_plans enable trigger price_plans_guard"
        )
    with pytest.raises(psycopg.errors.RestrictViolation) as raised:
        sql_connection.execute(insert, ("default", "free", past))
    assert raised.value.diag.constraint_name == PLAN_UNBILLED_CONSTRAINT
    # Nor by the way round, as a plan to come that is moved.
    sql_connection.execute(insert, ("default", "gold", f"[{SOON.isoformat()},)"))
    with pytest.raises(psycopg.errors.RestrictViolation) as raised:
        sql_connection.execute(
            "update soulbox.price_plans set tier = 'free', valid = %s where name = 'late'", (past,)
        )
    assert raised.value.diag.constraint_name == PLAN_UNBILLED_CONSTRAINT
    # Before all that was billed it may.
    sql_connection.execute(
        "update soulbox.price_plans set tier = 'gold', valid = '[2026-01-01,2026-02-01)'"
        " where name = 'late'"
    )


async def test_tier_may_not_begin_under_time_that_is_billed(
    make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    annotations = {"soulbox.dev/user": "ada"}
    pod = make_pod(
        started="2026-11-22T10:30:00Z",
        finished="2026-11-22T10:30:09Z",
        metadata={"annotations": annotations},
    )
    await bill(make_mirror, pod)
    insert = (
        "insert into soulbox.account_tiers (tenant, user_name, tier, valid)"
        " values (%s, %s, 'x', %s)"
    )
    for tenant, user in (("tenant-team-a", "bob"), ("tenant-team-b", "")):
        sql_connection.execute(insert, (tenant, user, "[2026-11-22,)"))
    for user in ("ada", ""):
        with pytest.raises(psycopg.errors.RestrictViolation) as raised:
            sql_connection.execute(insert, ("tenant-team-a", user, "[2026-11-22,)"))
        assert raised.value.diag.constraint_name == TIER_UNBILLED_CONSTRAINT
    with pytest.raises(psycopg.errors.RestrictViolation):
        sql_connection.execute("update soulbox.account_tiers set tier = 'y'")
    with pytest.raises(psycopg.errors.RestrictViolation):
        sql_connection.execute("delete from soulbox.account_tiers")
    with pytest.raises(psycopg.errors.RestrictViolation):
        sql_connection.execute("truncate soulbox.account_tiers")
    with pytest.raises(psycopg.errors.ExclusionViolation):
        sql_connection.execute(insert, ("tenant-team-b", "", "[2030-01-01,)"))
    sql_connection.execute(
        "update soulbox.account_tiers set valid = tstzrange(lower(valid), now() + interval '1 d')"
    )


def test_plan_waits_for_who_bills(dsn: str, sql_connection: psycopg.Connection) -> None:
    """A transaction that read the prices and has not committed its bills would not be seen."""
    with psycopg.connect(dsn) as billing:
        billing.execute("select * from soulbox.price_plans")
        sql_connection.execute("set lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            sql_connection.execute(
                "insert into soulbox.price_plans (name, sku, tier, rate, valid)"
                " values ('late', 'gpu', 'free', 1, '[2026-01-01,)')"
            )


async def test_tier_and_terms_reach_the_ledger(
    store: Store, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """A one-shot of less than a second is not for nothing, and is billed once."""
    text = """plans:
- {name: pro-1, tier: pro, rate: 0.5, valid_from: 2026-01-01T00:00:00Z, minimum_seconds: 10,
   increment_seconds: 7}
tiers:
- {tenant: tenant-team-a, user: ada, tier: pro, valid_from: 2026-01-01T00:00:00Z}"""
    await apply_prices(store, parse_prices(text.encode(), "x"))
    annotations = {"soulbox.dev/user": "ada"}
    shot, box = (
        make_pod(
            started=start, finished=end, cpu="1", metadata={"annotations": annotations}, **changes
        )
        for start, end, changes in (
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z", {}),
            ("2026-11-22T10:59:00Z", "2026-11-22T11:00:05Z", {}),
        )
    )
    for _ in range(2):
        await bill(make_mirror, shot, box)
    rows = sql_connection.execute(
        "select tier, price_plan, quantity, rounding_seconds, compute_units, amount"
        " from soulbox.billing_events order by starts_at"
    ).fetchall()
    assert rows == [
        ("pro", "pro-1", 0, 14, 14, 7),
        ("pro", "pro-1", 60, 0, 60, 30),
        # 65 s in all go up to 70.
        ("pro", "pro-1", 5, 5, 10, 5),
    ]
    assert sql_connection.execute("select count(*) from soulbox.dead_letter").fetchone() == (0,)
