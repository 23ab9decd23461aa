"""`soulbox query NAME`: the reports of the database."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from soulbox.app.commands.complete import complete_params, complete_reports
from soulbox.app.commands.options_db import Config
from soulbox.app.commands.settings import load_settings
from soulbox.app.commands.tables import RowFormat, format_rows
from soulbox.app.commands.terminal import clean
from soulbox.model.errors import InvalidRequest

if TYPE_CHECKING:
    from soulbox.schema.settings import Settings
    from soulbox.store.pool import Transaction

T = TypeVar("T")


def query(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of the report; without it all reports are listed with their parameters.",
            autocompletion=complete_reports,
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            help="name=value; can be repeated. Times without a zone are UTC; a Sandbox or"
            " Execution is a UID or NAMESPACE/NAME.",
            metavar="NAME=VALUE",
            autocompletion=complete_params,
        ),
    ] = None,
    output: Annotated[
        RowFormat, typer.Option("--output", "-o", help="table, json or csv.")
    ] = RowFormat.TABLE,
    config: Config = None,
) -> None:
    """Ask the database for a report: dashboard, usage, statistics, executions, search, ...

    Shows what the login of the DSN may see. Reads from the replica at dsn_read if that is set;
    stderr says how far it is behind."""
    from soulbox.store.reports import REPORTS, parse_params  # noqa: PLC0415 - psycopg: 0.2 s

    if name is None:
        for one, report in REPORTS.items():
            params = " ".join(
                f"{key}=…" if value.is_required else f"[{key}]"
                for key, value in report.params.items()
            )
            typer.echo(f"{one:11} {report.purpose}\n{'':11} {params}".rstrip())
        return
    values = parse_params(name, _pairs(param or ()))
    given = tuple(param or ())
    rows, cursor, note = asyncio.run(_ask(load_settings(config), name, values))
    typer.echo(format_rows(rows, output), nl=False)
    if note:
        typer.echo(note, err=True)
    if cursor is not None:
        others = [word for word in given if not word.startswith("cursor=")]
        options = [part for word in (*others, f"cursor={cursor}") for part in ("-p", word)]
        typer.echo(clean(f"more: soulbox query {name} {shlex.join(options)}"), err=True)


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise InvalidRequest("--param", f"{word[:64]!r} is not name=value", "add the =")
        if name in pairs:
            raise InvalidRequest(name, "it is given twice", "give it once")
        pairs[name] = value
    return pairs


async def _ask(
    settings: "Settings", name: str, values: dict[str, object]
) -> tuple[list[dict[str, object]], str | None, str | None]:
    """Rows, cursor of the next page, and a note about the source, if there is one."""
    from soulbox.store.reports import run_report  # noqa: PLC0415

    result, note = await read(settings, lambda tx: run_report(tx, name, values))
    return result.rows, result.next_cursor, note


async def read(
    settings: "Settings", work: "Callable[[Transaction], Awaitable[T]]"
) -> tuple[T, str | None]:
    """Run a read on the replica if there is one, else on the primary; its result, and a note
    about the source, if there is one."""
    from soulbox.store.pool import open_store  # noqa: PLC0415
    from soulbox.store.reader import Reader  # noqa: PLC0415

    dsns = [settings.database_url] + ([settings.dsn_read] if settings.dsn_read else [])
    stores = [
        await open_store(
            one.get_secret_value(),
            max_size=1,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            statement_timeout_seconds=settings.statement_timeout_seconds,
        )
        for one in dsns
    ]
    try:
        reader = Reader(
            stores[0],
            stores[1] if len(stores) > 1 else None,
            max_lag_seconds=settings.read_max_lag_seconds,
        )
        result, source = await reader.read(work)
    finally:
        for store in stores:
            await store.close()
    note = source.problem and f"from the primary: {source.problem}"
    if source.replica_lag_seconds is not None:
        note = f"from a replica, {source.replica_lag_seconds:.1f} s behind"
    return result, note
