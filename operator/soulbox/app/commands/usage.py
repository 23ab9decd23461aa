"""`soulbox usage` and `soulbox billing rebuild`: use and cost by month and day."""

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soulbox.app.commands.db import with_store
from soulbox.app.commands.options_db import Config
from soulbox.app.commands.query import read
from soulbox.app.commands.settings import load_settings
from soulbox.app.commands.tables import RowFormat, format_rows

if TYPE_CHECKING:
    from soulbox.store.pool import Store

# What a person reads; the rest is in JSON and CSV.
_COLUMNS = {
    "period": "period",
    "day": "day",
    "tenant": "tenant",
    "user_name": "user",
    "total_executions": "executions",
    "total_duration_ms": "duration_ms",
    "billed_seconds": "billed_seconds",
    "total_cost": "cost",
    "currency": "currency",
}


class By(StrEnum):
    """What has a row of its own."""

    USER = "user"
    TENANT = "tenant"
    PERIOD = "period"


def usage(
    user: Annotated[str | None, typer.Option(help="Only this user.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    period: Annotated[
        str | None,
        typer.Option(help="The month, such as 2026-11; default: the current one, in UTC."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="The first of several months, up to --period.")
    ] = None,
    by: Annotated[
        By, typer.Option(help="One row for each user, for each tenant, or for the whole period.")
    ] = By.USER,
    daily: Annotated[bool, typer.Option("--daily", help="By day.")] = False,
    output: Annotated[
        RowFormat, typer.Option("--output", "-o", help="table, json or csv.")
    ] = RowFormat.TABLE,
    config: Config = None,
) -> None:
    """What was used and what it cost: Executions, their time, billed seconds, cost. (CPU and memory
    of one Sandbox: `soulbox query usage`.)

    Exact at this moment, for what the login of the DSN may see. Executions count when they
    ended, running time when it ran, adjustments when they were decided. JSON and CSV also have a
    breakdown by kind, SKU and state. Reads from the replica at dsn_read if that is set."""
    from soulbox.store.rollups import UsageQuestion  # noqa: PLC0415 - psycopg: 0.2 s
    from soulbox.store.rollups import usage as ask  # noqa: PLC0415

    until = period or f"{datetime.now(UTC):%Y-%m}"
    question = UsageQuestion(
        since=since or until, until=until, by=by.value, daily=daily, tenant=tenant, user=user
    )
    settings = load_settings(config)
    rows, note = asyncio.run(read(settings, lambda tx: ask(tx, question)))
    typer.echo(_as_text(rows, output), nl=False)
    if note:
        typer.echo(note, err=True)


def _as_text(rows: list[dict[str, Any]], output: RowFormat) -> str:
    if output is not RowFormat.TABLE:
        return format_rows(rows, output)
    if not rows:
        return "nothing was used\n"
    shown = [{title: row[name] for name, title in _COLUMNS.items() if name in row} for row in rows]
    return format_rows(shown, output)


def rebuild(config: Config = None) -> None:
    """Recompute usage_daily and usage_aggregates from the ledger and the marks of Executions, and
    call_sums from Executions.

    The operator does so by itself when needed. This command may run beside it, and repeatedly; it
    needs the rights of soulbox_writer."""
    from soulbox.store.call_sums import CallSums  # noqa: PLC0415 - psycopg: 0.2 s
    from soulbox.store.rollups import Rebuild, fold_usage  # noqa: PLC0415 - psycopg: 0.2 s

    async def work(store: "Store") -> None:
        for steps in (Rebuild(store), CallSums(store)):
            while (done := await steps.step()) is not None:
                typer.echo(done)
        while await fold_usage(store):
            pass

    with_store(load_settings(config), work)
    typer.echo("the sums are rebuilt")
