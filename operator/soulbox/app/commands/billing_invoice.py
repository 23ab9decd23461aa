"""`soulbox billing invoice` and `soulbox billing export`: the bills of a month."""

import asyncio
import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from soulbox.app.commands.db import with_store
from soulbox.app.commands.options_db import Config
from soulbox.app.commands.settings import load_settings
from soulbox.app.commands.tables import RowFormat, format_rows
from soulbox.model.billing import plain_decimal
from soulbox.model.errors import CommandError, InvalidRequest
from soulbox.model.periods import Period, parse_period

if TYPE_CHECKING:
    from soulbox.pure.invoice import Invoice
    from soulbox.store.pool import Store

_Period = Annotated[str, typer.Option(help="The month, as 2026-11 (UTC).")]
_Tenant = Annotated[str | None, typer.Option(help="Only this tenant.")]


def invoice(
    period: _Period,
    user: Annotated[
        str | None,
        typer.Option(
            help='Whose bill; "" means rows without a user; unset: all users of the tenant.'
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(help="Which tenant; needed if the user has bills in several."),
    ] = None,
    output: Annotated[RowFormat, typer.Option("--output", "-o")] = RowFormat.TABLE,
    config: Config = None,
) -> None:
    """What a user, or a whole tenant, owes for a month: lines by SKU, tier, plan and kind,
    allowances, corrections, the exact total of each currency, and the amount due, rounded to
    coins."""
    from soulbox.store.invoices import invoice as make  # noqa: PLC0415 - psycopg: 0.2 s

    month = parse_period(period)
    made = with_store(
        load_settings(config),
        lambda store: make(store, user_name=user, tenant=tenant, period=month),
    )
    match output:
        case RowFormat.JSON:
            typer.echo(json.dumps(_document(made), default=str, indent=2))
        case RowFormat.CSV:
            typer.echo(format_rows([*_line_rows(made), *_total_lines(made)], output), nl=False)
        case RowFormat.TABLE:
            typer.echo(_page(made), nl=False)


def export(
    period: _Period,
    focus: Annotated[
        bool, typer.Option("--focus", help="In the format of FOCUS 1.2; there is no other yet.")
    ] = False,
    tenant: _Tenant = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; none: standard output.", metavar="FILE"),
    ] = None,
    config: Config = None,
) -> None:
    """Every row of the month as CSV, for tools that read FOCUS: one for each hour of each pod,
    each correction and each allowance. Billed costs sum to the invoices of the month."""
    if not focus:
        raise InvalidRequest("focus", "no format is chosen", "give --focus")
    month = parse_period(period)
    settings = load_settings(config)
    with _target(out) as file:
        count = with_store(settings, lambda store: _write(store, file, month, tenant))
    if out is not None:
        typer.echo(f"{out}: {count} rows")


async def _write(store: "Store", file: TextIO, period: Period, tenant: str | None) -> int:
    from soulbox.store.invoices import focus_columns, focus_rows  # noqa: PLC0415

    writer = csv.DictWriter(file, await focus_columns(store), lineterminator="\n")
    writer.writeheader()
    count = 0
    async for row in focus_rows(store, period=period, tenant=tenant):
        writer.writerow(row)
        count += 1
        if count % 5000 == 0:
            await asyncio.sleep(0)
    return count


@contextmanager
def _target(path: Path | None) -> Iterator[TextIO]:
    """The file, which appears only once it is complete; standard output for None."""
    if path is None:
        yield sys.stdout
        return
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise CommandError(f"out: cannot write beside {path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _line_rows(made: "Invoice") -> list[dict[str, Any]]:
    return [{name: _figure(value) for name, value in asdict(line).items()} for line in made.lines]


def _total_lines(made: "Invoice") -> list[dict[str, Any]]:
    """The totals in the form of lines, for CSV."""
    empty = dict.fromkeys(asdict(made.lines[0])) if made.lines else {}
    return [
        {**empty, "type": name, "currency": total.currency, "amount": amount}
        for total in made.totals
        for name, amount in (("total", plain_decimal(total.total)), ("due", f"{total.due:f}"))
    ]


def _figure(value: object) -> object:
    return plain_decimal(value) if isinstance(value, Decimal) else value


def _document(made: "Invoice") -> dict[str, Any]:
    return {
        "user": made.user_name,
        "tenant": made.tenant,
        "period": str(made.period),
        "lines": _line_rows(made),
        "totals": [
            {
                **{name: _figure(value) for name, value in asdict(total).items()},
                "due": f"{total.due:f}",
            }
            for total in made.totals
        ],
    }


def _page(made: "Invoice") -> str:
    """For people: the columns that matter, then the totals."""
    whom = "all users" if made.user_name is None else made.user_name or "(nobody named)"
    of = "" if made.tenant is None else f" of tenant {made.tenant}"
    text = f"Invoice of {whom}{of}, {made.period} (UTC)\n\n"
    columns = (
        *(() if made.user_name is not None else ("user_name",)),
        *("tenant", "type", "kind", "sku", "tier", "price_plan", "seconds"),
        *("rounding_seconds", "compute_units"),
    )
    rows = [
        {
            **{name: row[name] for name in columns},
            "rate": row["rate"],
            "amount": row["amount"],
            "currency": row["currency"],
            "note": row["note"],
        }
        for row in _line_rows(made)
    ]
    text += format_rows(rows, RowFormat.TABLE) if rows else "nothing was billed\n"
    for total in made.totals:
        text += "\n"
        for name, value in (
            ("usage", total.usage),
            ("allowance", total.allowance),
            ("adjustments", total.adjustments),
            ("total", total.total),
        ):
            text += f"{name:12}{plain_decimal(value)} {total.currency}\n"
        text += f"{'due':12}{total.due:f} {total.currency}\n"
    return text
