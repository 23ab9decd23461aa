"""`soulbox db backup | restore | verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from soulbox.app.commands.options_db import Config
from soulbox.app.commands.settings import load_settings
from soulbox.model.errors import InvalidRequest

if TYPE_CHECKING:
    from soulbox.store.backup import Backup

_PgBin = Annotated[
    Path | None,
    typer.Option("--pg-bin", help="Folder of pg_dump and pg_restore; default: search for them."),
]


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder for backups; created if missing.")],
    what: Annotated[str, typer.Option(help="full, schema or data.")] = "full",
    compress: Annotated[int, typer.Option(min=0, max=9, help="0 means none.")] = 6,
    keep_days: Annotated[
        int | None,
        typer.Option(min=1, help="Remove older backups afterwards; default: keep all."),
    ] = None,
    pg_bin: _PgBin = None,
    config: Config = None,
) -> None:
    """Write a backup of schema soulbox, and beside it the figures that prove a restored one.

    Needs a login that sees all rows: a member of soulbox_owner."""
    from soulbox.store.backup import back_up  # noqa: PLC0415 - psycopg: 0.2 s

    if what not in ("full", "schema", "data"):
        raise InvalidRequest(
            "--what", f"{what[:64]!r} is not a kind of backup", "take full, schema or data"
        )
    kind = cast(Literal["full", "schema", "data"], what)
    url = load_settings(config).database_url.get_secret_value()
    done = back_up(url, folder, what=kind, compress=compress, keep_days=keep_days, pg_bin=pg_bin)
    typer.echo(f"written: {done.path} ({done.size_bytes} bytes)")
    _print_figures(done)
    for path in done.removed:
        typer.echo(f"removed: {path}")


def restore(
    path: Annotated[Path, typer.Argument(help="The .dump file; its .json beside it.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the existing schema soulbox.")
    ] = False,
    pg_bin: _PgBin = None,
    config: Config = None,
) -> None:
    """Restore a backup into an empty database, or with --replace over the existing schema (a backup
    of the schema alone is never restored over rows).

    Stop the operator first. The ledger is compared with the backup's figures; if anything fails,
    the database is left as it was."""
    from soulbox.store.backup import restore as restore_backup  # noqa: PLC0415

    url = load_settings(config).database_url.get_secret_value()
    figures = restore_backup(url, path, replace=replace, pg_bin=pg_bin)
    typer.echo(f"restored: {path}")
    for name, value in figures.items():
        typer.echo(f"  {name} {value}: as in the backup")


def verify(
    path: Annotated[Path, typer.Argument(help="The .dump file; its .json beside it.")],
    pg_bin: _PgBin = None,
) -> None:
    """Check whether a backup is complete and readable; no database is needed."""
    from soulbox.store.backup import verify_backup  # noqa: PLC0415

    found = verify_backup(path, pg_bin=pg_bin)
    typer.echo(f"whole: {found.path} ({found.what}, {found.size_bytes} bytes)")
    _print_figures(found)


def _print_figures(backup: "Backup") -> None:
    for name, value in backup.figures.items():
        typer.echo(f"  {name} {value}")
