"""soulbox billing export --focus: every row of the month, by FOCUS 1.2's own rules."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from soulbox.model.errors import CommandError, InvalidRequest
from soulbox.model.states import Kind
from soulbox.store.adjustments import adjust
from soulbox.store.pool import Store
from tests.db.test_billing_commands import billing, fill, one
from tests.support.fix_mirror import MakeMirror, drained, running
from tests.support.focus import problems
from tests.support.make_mirrored import make_pod, new_uid


async def fill_all(
    store: Store, make_mirror: MakeMirror, connection: psycopg.Connection
) -> list[str]:
    """Use of every kind, unpriced and of last year too, and adjustments of both; the months
    that have rows."""
    await fill(store, make_mirror)
    odd = [
        make_pod(
            uid=new_uid(),
            created="2019-05-05T09:59:58Z",
            started="2019-05-05T10:00:00Z",
            finished="2019-05-05T10:00:05Z",
        ),
        make_pod(
            uid=new_uid(),
            started="2026-11-30T23:59:59Z",
            finished="2026-12-01T00:00:01Z",
            metadata={"annotations": {"soulbox.dev/user": "=cmd()", "soulbox.dev/sku": "gpu,1"}},
        ),
        make_pod(
            uid=new_uid(),
            created="2026-10-05T09:59:58Z",
            started="2026-10-05T10:00:00Z",
            finished="2026-10-05T11:00:00Z",
        ),
    ]
    async with running(make_mirror()) as mirror:
        for pod in odd:
            mirror.offer(Kind.POD, pod)
        await drained(mirror)
    for month in ("2026-11", "2026-10"):
        event = one(
            connection,
            "select event_id from soulbox.billing_events where amount > 0.0001"
            f" and to_char(starts_at at time zone 'UTC', 'YYYY-MM') = '{month}' limit 1",
        )
        # Added: of what a free allowance covers nothing can be taken off.
        await adjust(store, event, amount=Decimal("0.00001"), reason='late, "twice"', reference="1")
    rows = connection.execute(
        "select distinct to_char(billing_period_start at time zone 'UTC', 'YYYY-MM')"
        " from soulbox.v_focus order by 1"
    ).fetchall()
    return [row[0] for row in rows]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read(text: str) -> tuple[list[str], list[dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text))
    rows = list(reader)
    assert reader.fieldnames is not None
    return list(reader.fieldnames), rows


async def test_export_keeps_to_the_rules_and_sums_to_the_ledger(
    store: Store, dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    months = await fill_all(store, make_mirror, sql_connection)
    assert {"2019-05", "2026-10", "2026-11", "2026-12"} <= set(months)
    everything: list[dict[str, str]] = []
    for month in months:
        result = await billing(dsn, "export", "--focus", "--period", month)
        assert result.exit_code == 0, result.output
        columns, rows = read(result.output)
        everything += rows
        assert {row["BillingPeriodStart"] for row in rows} == {f"{month}-01T00:00:00Z"}
    assert list(problems(columns, everything)) == []
    assert {row["ChargeCategory"] for row in everything} == {"Usage", "Adjustment", "Credit"}
    assert {row["ChargeClass"] for row in everything} == {"", "Correction"}
    billed = sum(Decimal(row["BilledCost"]) for row in everything)
    assert billed == one(
        sql_connection,
        "select (select sum(amount) from soulbox.billing_events)"
        " + (select sum(amount) from soulbox.v_allowances)",
    )
    in_ledger = sql_connection.execute("select event_id::text from soulbox.billing_events")
    ids = [row["x_EventId"] for row in everything if row["x_EventId"]]
    assert sorted(ids) == sorted(row[0] for row in in_ledger)
    unpriced = next(row for row in everything if row["SkuPriceId"].endswith("/unpriced"))
    assert (unpriced["BilledCost"], unpriced["ListUnitPrice"]) == ("0", "0")


async def test_rules_find_what_breaks_them(
    store: Store, dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """Else the test above would prove nothing."""
    await fill(store, make_mirror)
    columns, rows = read((await billing(dsn, "export", "--focus", "--period", "2026-11")).output)
    assert list(problems(columns, rows)) == []
    index = next(i for i, row in enumerate(rows) if row["ChargeCategory"] == "Usage")
    for name, value in (
        ("BilledCost", "1e-5"),
        ("BilledCost", ""),
        ("BillingCurrency", "dollars"),
        ("ChargeCategory", "Use"),
        ("ChargeClass", "Correction"),
        ("ChargePeriodStart", "2026-11-22 10:00:00"),
        ("BillingPeriodEnd", "2026-11-30T00:00:00Z"),
        ("ConsumedQuantity", ""),
        ("ListCost", "7"),
        ("PricingUnit", ""),
        ("ResourceType", ""),
        ("ServiceSubcategory", "Databases"),
        ("SkuId", "other"),
        ("Tags", "[]"),
        ("SubAccountName", ""),
    ):
        wrong = [*rows[:index], {**rows[index], name: value}, *rows[index + 1 :]]
        assert list(problems(columns, wrong)), name
    assert list(problems(columns[1:], rows)) == [f"{columns[0]} is not there"]
    assert list(problems([*columns, "Extra"], rows))


async def test_file_is_whole_or_not_there(
    store: Store, dsn: str, make_mirror: MakeMirror, tmp_path: Path
) -> None:
    await fill(store, make_mirror)
    target = tmp_path / "focus.csv"
    words = ["export", "--focus", "--period", "2026-11", "--out"]
    result = await billing(dsn, *words, str(target))
    rows = read(target.read_text())[1]
    assert result.output == f"{target}: {len(rows)} rows\n"
    await billing(dsn.replace("dbname=", "dbname=x"), *words, str(tmp_path / "other.csv"))
    assert names(tmp_path) == ["focus.csv"]
    lost = await billing(dsn, *words, str(tmp_path / "nowhere/focus.csv"))
    assert isinstance(lost.exception, CommandError)
    one_tenant = await billing(dsn, *words[:4], "--tenant", "nobody")
    assert len(one_tenant.output.splitlines()) == 1


@pytest.mark.parametrize("words", [["--period", "2026-11"], ["--focus", "--period", "11"]])
async def test_export_of_nothing_clear_is_refused(dsn: str, words: list[str]) -> None:
    assert isinstance((await billing(dsn, "export", *words)).exception, InvalidRequest)
