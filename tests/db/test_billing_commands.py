"""soulbox billing adjust, verify, invoice: on a ledger the mirror wrote."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner, Result

from soulbox.app.cli import app
from soulbox.kinds.registry import ENTRIES
from soulbox.mirror.retry import retry_dead_letters
from soulbox.model.errors import InvalidRequest, NotFound
from soulbox.model.periods import parse_period
from soulbox.model.states import Kind
from soulbox.model.times import parse_time
from soulbox.schema.prices import parse_prices
from soulbox.store.adjustments import adjust
from soulbox.store.invoices import invoice
from soulbox.store.pool import Store
from soulbox.store.price_changes import apply_prices
from soulbox.store.verify import Scope, Verification
from tests.support.fix_mirror import MakeMirror, drained, running, until
from tests.support.make_mirrored import make_pod, new_uid, newer
from tests.support.usage import add_event

NOVEMBER = parse_period("2026-11")
PRICES = b"""plans:
- {name: pro-1, tier: pro, rate: 0.0000333333, minimum_seconds: 60, increment_seconds: 7,
   free_units: 1000, valid_from: 2026-01-01T00:00:00Z, valid_to: 2026-11-22T11:00:00Z}
- {name: pro-2, tier: pro, rate: 0.0000444444, minimum_seconds: 60, increment_seconds: 7,
   free_units: 1100, valid_from: 2026-11-22T11:00:00Z}
tiers:
- {tenant: tenant-team-a, user: ada, tier: pro, valid_from: 2026-01-01T00:00:00Z}"""


def pods() -> list[dict[str, Any]]:
    day = "2026-11-22T"
    made = []
    for start, end, changes in (
        ("10:10:00", "10:10:00", {"execution_uid": new_uid()}),
        ("10:10:00", "10:10:09", {}),
        ("10:59:59", "13:00:00", {"cpu": "333m", "memory": "300000000"}),
        ("11:00:00", "12:00:00", {"cpu": "1", "memory": "3Gi"}),
        ("09:30:00", "12:45:01", {"cpu": "10m", "memory": "16777217"}),
        ("10:00:01", "10:00:08", {"execution_uid": new_uid(), "user": "ada"}),
        ("10:40:01", "11:20:08", {"user": "ada", "cpu": "1"}),
        ("11:30:00", "11:31:01", {"user": "ada", "cpu": "777m"}),
    ):
        user = changes.pop("user", "bob")
        made.append(
            make_pod(
                uid=new_uid(),
                started=f"{day}{start}Z",
                finished=f"{day}{end}Z",
                metadata={"annotations": {"soulbox.dev/user": user}},
                **changes,
            )
        )
    return made


async def fill(store: Store, make_mirror: MakeMirror) -> None:
    """A ledger with tiers, terms and a pod that runs on; 17 rows."""
    await apply_prices(store, parse_prices(PRICES, "x"))
    lives = make_pod(uid=new_uid(), started="2026-11-22T10:30:00Z")
    mirror = make_mirror()
    async with running(mirror):
        for pod in (*pods(), lives):
            mirror.offer(Kind.POD, pod)
        await drained(mirror)
        await mirror.meter_running([lives], lambda _: parse_time("2026-11-22T13:10:00Z"))


def one(connection: psycopg.Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


async def billing(dsn: str, *words: str) -> Result:
    """The command, in a thread: it has an event loop of its own."""
    runner = CliRunner(env={"SOULBOX_DSN": dsn})
    return await asyncio.to_thread(runner.invoke, app, ["billing", *words])


async def verify(store: Store, **scope: Any) -> tuple[list[str], Verification]:
    verification = Verification(store, Scope(**scope), portion=3)
    return [found.kind.value async for found in verification.findings()], verification


# verify


async def test_ledger_of_the_mirror_is_right(
    store: Store, dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    await fill(store, make_mirror)
    event = one(sql_connection, "select event_id from soulbox.billing_events where amount > 0.01")
    await adjust(store, event, amount=Decimal("-0.01"), reason="outage", reference="1")
    found, verification = await verify(store)
    assert found == []
    summary = verification.summary
    assert summary.pods == 9
    assert summary.ledger == summary.recomputed
    assert summary.ledger.rows == one(
        sql_connection, "select count(*) from soulbox.billing_events where kind <> 'adjustment'"
    )
    assert summary.ledger.amounts["USD"] + summary.adjustments.amounts["USD"] == one(
        sql_connection, "select sum(amount) from soulbox.billing_events"
    )
    said = await billing(dsn, "verify")
    assert said.exit_code == 0, said.output
    assert said.output.splitlines()[0] == "pods        9"
    assert said.output.endswith("wrong       0\nwarnings    0\n")
    assert " + " in said.output  # seconds of minimum and increment
    document = json.loads((await billing(dsn, "verify", "-o", "json")).output)
    assert document["findings"] == []
    assert document["summary"]["ledger"] == document["summary"]["recomputed"]


FORGERIES: dict[str, tuple[str, str]] = {
    "an amount": (
        "update soulbox.billing_events set amount = amount + 0.0000000001 where quantity = 9",
        "differs",
    ),
    "units": (
        "update soulbox.billing_events set compute_units = compute_units * 1.0001"
        " where quantity = 9",
        "differs",
    ),
    "a user": ("update soulbox.billing_events set user_name = 'eve' where quantity = 9", "differs"),
    "a tenant": ("update soulbox.billing_events set tenant = 'x' where quantity = 9", "differs"),
    "a sandbox": (
        "update soulbox.billing_events set sandbox_uid = gen_random_uuid() where quantity = 9",
        "differs",
    ),
    "no rounding": (
        "update soulbox.billing_events set rounding_seconds = 0 where rounding_seconds = 2",
        "differs",
    ),
    "a kind": (
        "update soulbox.billing_events set kind = 'execution' where quantity = 9",
        "differs",
    ),
    "a tier": ("update soulbox.billing_events set tier = 'x' where quantity = 9", "price"),
    "a plan": (
        "update soulbox.billing_events set price_plan = 'pro-1' where quantity = 9",
        "differs",
    ),
    "no plan": (
        "update soulbox.billing_events set price_plan = null, amount = 0 where quantity = 9",
        "price",
    ),
    "a row that is gone": ("delete from soulbox.billing_events where quantity = 9", "missing"),
    "a row too many": (
        "insert into soulbox.billing_events (event_id, cluster, tenant, user_name, kind, pod_uid,"
        " window_hour, starts_at, ends_at, quantity, compute_units, amount, price_plan, sku, tier,"
        " occurred_at) select gen_random_uuid(), cluster, tenant, user_name, kind, pod_uid,"
        " window_hour + interval '1 hour', starts_at + interval '1 hour',"
        " ends_at + interval '1 hour', quantity, compute_units, amount, price_plan, sku, tier,"
        " ends_at from soulbox.billing_events where quantity = 9",
        "extra",
    ),
    "a pod that is gone": (
        "delete from soulbox.pod_runs where finished_at - started_at = '9 s'",
        "extra",
    ),
    "a pod that ran longer": (
        "update soulbox.pod_runs set finished_at = finished_at + interval"
        " '1 s' where finished_at - started_at = '9 s'",
        "differs",
    ),
    "a larger pod": (
        "update soulbox.pod_runs set memory_bytes = memory_bytes * 4"
        " where finished_at - started_at = '9 s'",
        "differs",
    ),
    "a rate": ("update soulbox.price_plans set rate = rate * 2 where name = 'pro-2'", "differs"),
    "a plan made earlier": (
        "update soulbox.price_plans set valid = '[2026-11-22 11:30:00+00,)' where name = 'pro-2'",
        "price",
    ),
    "hours of a running pod": (
        "delete from soulbox.billing_events where window_hour ="
        " '2026-11-22 11:00:00+00' and pod_uid = (select pod_uid"
        " from soulbox.pod_runs where finished_at is null)",
        "missing",
    ),
}


@pytest.mark.parametrize("case", FORGERIES)
async def test_forgery_is_found(
    store: Store,
    dsn: str,
    make_mirror: MakeMirror,
    sql_connection: psycopg.Connection,
    case: str,
) -> None:
    forgery, want = FORGERIES[case]
    await fill(store, make_mirror)
    for table in ("billing_events", "price_plans", "pod_runs"):
        sql_connection.execute(f"alter table soulbox.{table} disable trigger user".encode())
    touched = sql_connection.execute(forgery.encode()).rowcount
    assert touched > 0
    found, verification = await verify(store)
    assert want in found
    assert verification.summary.differences >= 1
    said = await billing(dsn, "verify")
    assert said.exit_code == 1
    assert said.output.startswith("wrong ")
    document = json.loads((await billing(dsn, "verify", "-o", "json")).output)
    assert want in [one["kind"] for one in document["findings"]]
    # In the month before there was nothing.
    assert (await verify(store, until=parse_time("2026-11-01T00:00:00Z")))[0] == []


async def test_adjustment_that_does_not_fit_is_found(
    store: Store, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    await fill(store, make_mirror)
    event = one(sql_connection, "select event_id from soulbox.billing_events where quantity = 9")
    await adjust(store, event, amount=Decimal("-0.00001"), reason="r", reference="1")
    sql_connection.execute("alter table soulbox.billing_events disable trigger user")
    for change in ("amount = -1", "user_name = 'eve'", "currency = 'EUR'"):
        before = one(
            sql_connection,
            "select to_jsonb(b) from soulbox.billing_events b where kind = 'adjustment'",
        )
        sql_connection.execute(
            f"update soulbox.billing_events set {change} where kind = 'adjustment'".encode()
        )
        found, _ = await verify(store)
        assert "adjustment" in found, change
        sql_connection.execute(
            "update soulbox.billing_events set amount = %s, user_name = %s, currency = %s"
            " where kind = 'adjustment'",
            (before["amount"], before["user_name"], before["currency"]),
        )


async def test_overlap_and_unknown_end_are_warnings(
    store: Store, dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    box = new_uid()
    first, second, gone = (
        make_pod(uid=new_uid(), sandbox_uid=box, started=f"2026-11-22T{start}Z", **rest)
        for start, rest in (
            ("10:00:00", {"finished": "2026-11-22T10:10:00Z"}),
            ("10:09:59", {"finished": "2026-11-22T10:20:00Z"}),
            ("10:20:00", {}),
        )
    )
    async with running(make_mirror()) as mirror:
        for pod in (first, second, gone):
            mirror.offer(Kind.POD, pod)
        await drained(mirror)
        mirror.offer(Kind.POD, gone, deleted=True)
        await drained(mirror)
    found, verification = await verify(store)
    assert sorted(found) == ["end-unknown", "overlap"]
    assert verification.summary.warnings == 2
    said = await billing(dsn, "verify")
    assert said.exit_code == 0
    assert f"began 2026-11-22T10:09:59+00:00 while a pod of Sandbox {box} ran" in said.output


async def test_refused_pod_is_found_until_it_is_written(
    store: Store, dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """It has neither pod_runs row nor bills: nothing else could tell that its time is missing."""
    kept, odd = (
        make_pod(uid=new_uid(), started="2026-11-22T10:00:00Z", finished="2026-11-22T10:00:09Z")
        for _ in range(2)
    )
    odd["spec"]["containers"][0]["env"] = [{"name": "A", "value": "a\x00b\ud800"}]
    sql_connection.execute(
        "alter table soulbox.pod_runs add constraint no_pod check (pod_uid <> "
        f"'{odd['metadata']['uid']}')".encode()
    )
    async with running(make_mirror()) as mirror:
        for pod in (kept, odd):
            mirror.offer(Kind.POD, pod)
        await drained(mirror)
    assert (await verify(store))[0] == ["refused"]
    tenant = f"tenant-{odd['metadata']['namespace']}"
    assert (await verify(store, tenant=tenant))[0] == ["refused"]
    assert (await verify(store, tenant="other"))[0] == []
    since_then = parse_time("2026-11-22T10:00:00Z")
    assert (await verify(store, since=since_then))[0] == ["refused"]
    assert (await verify(store, until=parse_time("2026-11-01T00:00:00Z")))[0] == []
    said = await billing(dsn, "verify")
    assert said.exit_code == 1
    letter = one(sql_connection, "select id from soulbox.dead_letter")
    line = said.output.splitlines()[0]
    assert line.startswith(f"wrong   refused     tenant {tenant} pod {odd['metadata']['uid']}: ")
    assert f"{odd['metadata']['namespace']}/{odd['metadata']['name']} is in the" in line
    assert line.endswith(f"`soulbox db dead-letter retry {letter}`")
    sql_connection.execute("alter table soulbox.pod_runs drop constraint no_pod")
    assert [done.problem for done in await retry_dead_letters(store, ENTRIES, None)] == [None]
    assert (await verify(store))[0] == []


async def test_refused_version_of_a_pod_that_was_written_later_is_no_finding(
    store: Store, make_mirror: MakeMirror
) -> None:
    pod = make_pod(
        uid=new_uid(), started="2026-11-22T10:00:00Z", finished="2026-11-22T10:00:09Z", cpu="lots"
    )
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await drained(mirror)
        assert (await verify(store))[0] == ["refused"]
        resources = pod["spec"]["containers"][0]["resources"]
        resources["limits"]["cpu"] = "1"
        mirror.offer(Kind.POD, newer(pod))
        await drained(mirror)
    assert (await verify(store))[0] == []


async def test_bill_in_the_dead_letters_is_found(
    store: Store, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    await fill(store, make_mirror)
    for uid in (
        one(sql_connection, "select event_id from soulbox.billing_events where quantity = 9"),
        "not a uuid",
    ):
        sql_connection.execute(
            "insert into soulbox.dead_letter (cluster, kind, uid, error, payload)"
            " values (gen_random_uuid(), 'BillingEvent', %s, 'another bill', '[]')",
            (str(uid),),
        )
    assert (await verify(store))[0] == ["refused", "refused"]
    # Of the one it is known when it was.
    assert (await verify(store, since=parse_time("2026-12-01T00:00:00Z")))[0] == ["refused"]


async def test_running_pod_that_nobody_bills_is_found(
    store: Store, make_mirror: MakeMirror
) -> None:
    lives = make_pod(uid=new_uid(), started="2026-11-22T10:30:00Z")
    newer = make_pod(uid=new_uid(), started="2026-11-22T17:00:00Z", finished="2026-11-22T17:30:00Z")
    async with running(make_mirror()) as mirror:
        for pod in (lives, newer):
            mirror.offer(Kind.POD, pod)
        await drained(mirror)
    assert (await verify(store))[0] == ["overdue"]


async def test_running_pods_of_which_nothing_was_ever_metered_are_found(
    store: Store, make_mirror: MakeMirror
) -> None:
    """No pod of their nodes ended or was billed: only the database has a clock."""
    async with running(make_mirror()) as mirror:
        for _ in range(2):
            mirror.offer(Kind.POD, make_pod(uid=new_uid(), started="2026-11-22T10:30:00Z"))
        await drained(mirror)
        await until(lambda: mirror.database_figures() is not None)
        figures = mirror.database_figures()
    assert (await verify(store))[0] == ["overdue", "overdue"]
    assert figures is not None
    assert figures.unbilled_seconds > 3600


async def test_row_that_was_adjusted_as_told_is_a_warning(
    store: Store, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """A pod that its node's Lease proved until three, and of which the kubelet then says that
    it ended before noon."""
    pod = make_pod(uid=new_uid(), started="2026-11-22T10:30:00Z")
    mirror = make_mirror()
    until_three = parse_time("2026-11-22T15:30:00Z")
    await mirror.meter_running([pod], lambda _: until_three)
    uid = pod["metadata"]["uid"]
    ended = make_pod(uid=uid, started="2026-11-22T10:30:00Z", finished="2026-11-22T11:40:00Z")
    async with running(mirror):
        mirror.offer(Kind.POD, ended)
        await drained(mirror)
    sql_connection.execute("delete from soulbox.dead_letter")
    assert (await verify(store))[0] == ["differs", "extra", "extra", "extra"]
    for event, amount, minute in sql_connection.execute(
        "select event_id, amount, extract(hour from window_hour) from soulbox.billing_events"
        " where window_hour >= '2026-11-22 11:00Z'"
    ).fetchall():
        share = Decimal(1) / 3 if minute == 11 else Decimal(1)
        wrong = (amount * share).quantize(Decimal("1e-10"))
        await adjust(store, event, amount=-wrong, reason="never ran", reference="T-1")
    found, verification = await verify(store)
    assert found == ["corrected"] * 4
    assert (verification.summary.differences, verification.summary.warnings) == (0, 4)


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (["--since", "yesterday"], "soulbox: since: 'yesterday' is not a time"),
        (
            ["--since", "2026-11-02", "--until", "2026-11-01"],
            "soulbox: since: it is not before until; swap them",
        ),
    ],
)
async def test_verify_that_could_not_be_done_is_exit_code_2(
    dsn: str, words: list[str], want: str
) -> None:
    result = await billing(dsn, "verify", *words)
    assert result.exit_code == 2
    assert want in result.output


async def test_verify_without_a_server_is_exit_code_2() -> None:
    result = await billing("postgresql://127.0.0.1:1/x", "verify")
    assert result.exit_code == 2
    assert "soulbox: cannot connect to PostgreSQL: " in result.output


# adjust


async def test_adjustment_is_written_once(
    store: Store, dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    await fill(store, make_mirror)
    event = one(sql_connection, "select event_id from soulbox.billing_events where quantity = 9")
    before = one(sql_connection, "select sum(amount) from soulbox.billing_events")
    words = ["adjust", "--event", str(event), "--amount", "-0.00001", "--reason", "outage"]
    first = await billing(dsn, *words)
    assert first.exit_code == 0, first.output
    assert first.output.startswith(f"adjusted: {event} by -0.00001 USD (")
    again = await billing(dsn, *words)
    assert again.output == first.output.replace("adjusted:", "was already adjusted:")
    after = one(sql_connection, "select sum(amount) from soulbox.billing_events")
    assert after == before - Decimal("0.00001")
    other = await billing(dsn, *words[:4], "-0.00002", *words[5:])
    assert isinstance(other.exception, InvalidRequest)
    assert str(other.exception).startswith(
        "reference: the event was already adjusted by -0.0000100000 USD"
    )
    more = await billing(dsn, *words, "--reference", "second time")
    assert more.exit_code == 0
    row = sql_connection.execute(
        "select corrects, user_name, metadata from soulbox.billing_events"
        " where kind = 'adjustment' order by recorded_at limit 1"
    ).fetchone()
    assert row == (event, "bob", {"reason": "outage", "reference": "outage"})


async def test_two_adjustments_at_once_do_not_take_off_more_than_there_is(
    store: Store, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    await fill(store, make_mirror)
    event = one(sql_connection, "select event_id from soulbox.billing_events where quantity = 9")
    amount = -one(sql_connection, "select amount from soulbox.billing_events where quantity = 9")
    results = await asyncio.gather(
        *(
            adjust(store, event, amount=amount, reason="all", reference=str(index))
            for index in range(5)
        ),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, InvalidRequest)]
    assert len(refused) == 4
    left = "select sum(amount) from soulbox.billing_events where event_id = %s or corrects = %s"
    assert sql_connection.execute(left, (event, event)).fetchone() == (0,)


async def test_unknown_event_is_refused(store: Store, dsn: str) -> None:
    with pytest.raises(NotFound, match=f"event: there is no {UUID(int=1)} in the ledger"):
        await adjust(store, UUID(int=1), amount=Decimal(1), reason="r", reference="1")
    bad = await billing(dsn, "adjust", "--event", "x", "--amount", "1", "--reason", "r")
    assert str(bad.exception).startswith("event: 'x' is not an event_id")


# invoice


async def test_invoice_is_the_ledger_to_the_last_digit(
    store: Store, dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    await fill(store, make_mirror)
    for user in ("ada", "bob"):
        event = one(
            sql_connection,
            "select event_id from soulbox.billing_events"
            f" where user_name = '{user}' and amount > 0.00002 order by event_id limit 1",
        )
        await adjust(store, event, amount=Decimal("-0.00001"), reason="outage", reference="1")
    decided = one(
        sql_connection,
        "select to_char(max(occurred_at) at time zone 'UTC', 'YYYY-MM')"
        " from soulbox.billing_events where kind = 'adjustment'",
    )
    months = sorted({"2026-11", decided})
    for user in ("ada", "bob"):
        made = [
            await invoice(store, user_name=user, tenant=None, period=parse_period(month))
            for month in months
        ]
        totals = [total for bill in made for total in bill.totals]
        in_ledger = sql_connection.execute(
            "select coalesce(sum(amount), 0) from soulbox.billing_events where user_name = %s",
            (user,),
        ).fetchone()
        assert in_ledger == (
            sum((total.usage + total.adjustments for total in totals), Decimal(0)),
        )
        for bill in made:
            for total in bill.totals:
                assert total.total == sum(line.amount for line in bill.lines)
    ada = await invoice(store, user_name="ada", tenant="tenant-team-a", period=NOVEMBER)
    allowances = [line for line in ada.lines if line.type == "allowance"]
    # 1000 units are free by the plan of before 11:00; of the next one's 1100 only the rest.
    used = {
        row[0]: row[1]
        for row in sql_connection.execute(
            "select price_plan, sum(compute_units) from soulbox.billing_events"
            " where user_name = 'ada' and kind <> 'adjustment' group by 1"
        )
    }
    assert used["pro-1"] > 1000
    assert {line.price_plan: line.compute_units for line in allowances} == {"pro-1": 1000}
    rate = Decimal("0.0000333333")
    assert allowances[0].amount == -1000 * rate
    words = ["invoice", "--user", "ada", "--period", "2026-11"]
    document = json.loads((await billing(dsn, *words, "-o", "json")).output)
    assert document["period"] == "2026-11"
    assert sum(Decimal(line["amount"]) for line in document["lines"]) == Decimal(
        document["totals"][0]["total"]
    )
    page = (await billing(dsn, *words)).output
    assert page.startswith("Invoice of ada of tenant tenant-team-a, 2026-11 (UTC)\n")
    assert "\ndue         " in page
    sheet = (
        await billing(dsn, "invoice", "--user", "ada", "--period", "2026-11", "-o", "csv")
    ).output
    assert sheet.splitlines()[0].startswith("type,tenant,currency,amount,kind,sku,tier,price_plan")
    assert [line.split(",")[0] for line in sheet.splitlines()[-2:]] == ["total", "due"]


async def test_invoice_is_of_one_tenant(
    store: Store, dsn: str, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    await fill(store, make_mirror)
    add_event(sql_connection, tenant="other", user="ada", amount=Decimal("0.5"))
    add_event(sql_connection, tenant="other", user="mia", amount=Decimal("0.25"))
    words = ["invoice", "--period", "2026-11"]
    both = await billing(dsn, *words, "--user", "ada")
    assert str(both.exception) == (
        "tenant: 'ada' has bills of several: other, tenant-team-a;"
        " name one: the same name in two tenants is two people"
    )
    hers = await invoice(store, user_name="ada", tenant="other", period=NOVEMBER)
    assert [(line.tenant, line.amount) for line in hers.lines] == [("other", Decimal("0.5"))]
    whole = await invoice(store, user_name=None, tenant="other", period=NOVEMBER)
    assert {(line.user_name, line.amount) for line in whole.lines} == {
        ("ada", Decimal("0.5")),
        ("mia", Decimal("0.25")),
    }
    assert [total.due for total in whole.totals] == [Decimal("0.75")]
    page = (await billing(dsn, *words, "--tenant", "other")).output
    assert page.startswith("Invoice of all users of tenant other, 2026-11 (UTC)\n")
    assert "mia" in page
    neither = await billing(dsn, *words)
    assert str(neither.exception).startswith(
        "user: no user or tenant is named; give --user, --tenant"
    )
    nowhere = await billing(dsn, *words, "--tenant", "nowhere")
    assert str(nowhere.exception).startswith("tenant: the ledger has no rows of 'nowhere'; its")


async def test_invoice_of_nobody_and_of_no_month(
    store: Store, dsn: str, make_mirror: MakeMirror
) -> None:
    await fill(store, make_mirror)
    unknown = await billing(dsn, "invoice", "--user", "eve", "--period", "2026-11")
    assert isinstance(unknown.exception, NotFound)
    assert str(unknown.exception).startswith("user: the ledger has no rows of 'eve'; its users")
    quiet = await billing(dsn, "invoice", "--user", "ada", "--period", "2020-01")
    assert quiet.output.endswith("nothing was billed\n")
    wrong = await billing(dsn, "invoice", "--user", "ada", "--period", "November")
    assert str(wrong.exception) == "period: 'November' is not a month; write it as 2026-11"


async def test_allowance_passes_to_the_next_plan_of_the_month(
    store: Store, make_mirror: MakeMirror, sql_connection: psycopg.Connection
) -> None:
    """What the first plan's time used of the month's allowance is gone for the second."""
    await apply_prices(
        store, parse_prices(PRICES.replace(b"free_units: 1000", b"free_units: 5000"), "x")
    )
    pod = make_pod(
        uid=new_uid(),
        started="2026-11-22T10:50:00Z",
        finished="2026-11-22T11:30:00Z",
        cpu="1",
        metadata={"annotations": {"soulbox.dev/user": "ada"}},
    )
    async with running(make_mirror()) as mirror:
        mirror.offer(Kind.POD, pod)
        await drained(mirror)
    rows = sql_connection.execute(
        "select price_plan, compute_units, granted_units from soulbox.v_allowances order by 1"
    ).fetchall()
    # 600 s before eleven are free; of 1100 units 500 are left for the half hour after it,
    # which the increment rounded up to 1801 s.
    assert rows == [("pro-1", 600, 600), ("pro-2", 1801, 500)]
    # What was free is not paid out: of the first row nothing, of the second what is beyond 500.
    events = sql_connection.execute(
        "select event_id, amount, amount / compute_units from soulbox.billing_events"
        " order by starts_at"
    ).fetchall()
    with pytest.raises(InvalidRequest, match="nothing can be taken off any more"):
        await adjust(store, events[0][0], amount=-events[0][1], reason="r", reference="1")
    with pytest.raises(InvalidRequest, match="free allowance covers the rest"):
        await adjust(store, events[1][0], amount=-events[1][1], reason="r", reference="1")
    await adjust(store, events[1][0], amount=-events[1][2] * 1301, reason="r", reference="1")
    with pytest.raises(InvalidRequest, match="nothing can be taken off any more"):
        await adjust(store, events[1][0], amount=-events[1][2], reason="r", reference="2")
