"""`soulbox db …`: care of the database, for its administrator."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from soulbox.app.commands.backup import backup, restore, verify
from soulbox.app.commands.options_db import Config
from soulbox.app.commands.settings import load_settings
from soulbox.app.commands.tables import RowFormat, format_rows
from soulbox.model.errors import ConfigError

if TYPE_CHECKING:
    from soulbox.schema.settings import Settings
    from soulbox.store.pool import Store

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="Backups, retention, and other care of the database.")
app.command()(backup)
app.command()(restore)
app.command()(verify)


def with_store(settings: "Settings", work: "Callable[[Store], Awaitable[T]]") -> T:
    """Run a piece of work on a store that is opened for it and closed after it."""
    from soulbox.store.pool import open_store  # noqa: PLC0415 - psycopg: 0.2 s

    async def run() -> T:
        store = await open_store(
            settings.database_url.get_secret_value(),
            max_size=2,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            statement_timeout_seconds=settings.statement_timeout_seconds,
        )
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


@app.command()
def retain(
    config: Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be dropped.")
    ] = False,
) -> None:
    """Drop the partitions that are older than the settings retain_… keep. The operator does so by
    itself once a day; the ledger is never touched."""
    from soulbox.store.retention import retain as drop  # noqa: PLC0415

    settings = load_settings(config)
    names = with_store(settings, lambda store: drop(store, settings.retention, dry_run=dry_run))
    verb = "would be dropped" if dry_run else "dropped"
    for name in names:
        typer.echo(f"{verb}: {name}")
    if not names:
        typer.echo("nothing is old enough to be dropped")


@app.command("grant-reader")
def grant_reader(
    login: Annotated[str, typer.Argument(help="An existing login (create role … login).")],
    tenant: Annotated[list[str], typer.Option(help="A tenant it may read; can be repeated.")],
    connections: Annotated[
        int, typer.Option(min=1, max=1000, help="Most connections at once.")
    ] = 10,
    statement_seconds: Annotated[
        int,
        typer.Option(
            min=1, max=86_400, help="Time-out of a statement, and of an idle transaction."
        ),
    ] = 60,
    config: Config = None,
) -> None:
    """Let a login read the rows of tenants, within limits. Can be repeated.

    Needs the rights of soulbox_owner and a login that created the other one, or a superuser."""
    from soulbox.store.access import grant_reader as grant  # noqa: PLC0415 - psycopg: 0.2 s

    done = with_store(
        load_settings(config),
        lambda store: grant(
            store,
            login=login,
            tenants=tenant,
            connections=connections,
            statement_seconds=statement_seconds,
        ),
    )
    for line in done:
        typer.echo(line)


@app.command("doctor")
def db_doctor(
    output: Annotated[RowFormat, typer.Option("--output", "-o")] = RowFormat.TABLE,
    config: Config = None,
) -> None:
    """Report what is wrong with the database, and the remedy. Exit code 1 if anything is wrong."""
    from soulbox.pure.doctor.care import judge_care  # noqa: PLC0415
    from soulbox.pure.doctor.finding import Verdict, worst  # noqa: PLC0415
    from soulbox.store.care import look_at  # noqa: PLC0415
    from soulbox.store.migrate import migrate  # noqa: PLC0415

    settings = load_settings(config)
    pending = migrate(settings.database_url.get_secret_value(), dry_run=True)
    if any(name < "0014" for name in pending):
        raise ConfigError(f"the database lacks {', '.join(pending)}; run soulbox migrate")
    findings = judge_care(with_store(settings, lambda store: look_at(store, pending)))
    rows = [
        {"verdict": one.verdict.value, "check": one.check, "found": one.found, "remedy": one.remedy}
        for one in findings
    ]
    if output is RowFormat.TABLE:
        for row in rows:
            remedy = f"  ->  {row['remedy']}" if row["remedy"] else ""
            typer.echo(f"{row['verdict']:4}  {row['check']:13} {row['found']}{remedy}")
    else:
        typer.echo(format_rows(rows, output), nl=False)
    if worst(findings) is Verdict.FAIL:
        raise typer.Exit(1)


dead_letters = typer.Typer(no_args_is_help=True, help="Objects that PostgreSQL refused.")
app.add_typer(dead_letters, name="dead-letter")


@dead_letters.command("list")
def list_dead_letters(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    output: Annotated[RowFormat, typer.Option("--output", "-o")] = RowFormat.TABLE,
    config: Config = None,
) -> None:
    """List what was refused and why, oldest first; complete objects are in soulbox.dead_letter."""
    from soulbox.store.care import DeadLetterStore  # noqa: PLC0415

    async def look(store: "Store") -> list[dict[str, object]]:
        async with store.transaction() as tx:
            return await DeadLetterStore(tx).list(limit)

    rows = with_store(load_settings(config), look)
    typer.echo(format_rows(rows, output), nl=False)


@dead_letters.command("retry")
def retry(
    ids: Annotated[list[int] | None, typer.Argument(help="Their numbers; default: all.")] = None,
    config: Config = None,
) -> None:
    """Write them again, once the cause of the refusal is fixed; the operator may keep running. Exit
    code 1 if any is refused again or does not exist."""
    from soulbox.kinds.registry import ENTRIES  # noqa: PLC0415
    from soulbox.mirror.retry import retry_dead_letters  # noqa: PLC0415

    settings = load_settings(config)
    done = with_store(settings, lambda store: retry_dead_letters(store, ENTRIES, ids or None))
    for one in done:
        typer.echo(f"{one.id} {one.kind} {one.uid}: {one.problem or 'written'}")
    missing = [number for number in ids or () if number not in {one.id for one in done}]
    for number in missing:
        typer.echo(f"{number}: there is no such dead letter, or another retry is handling it")
    if not done and not missing:
        typer.echo("there are none")
    if missing or any(one.problem for one in done):
        raise typer.Exit(1)
