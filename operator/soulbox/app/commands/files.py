"""`soulbox files`: what an Execution captured."""

from pathlib import Path
from typing import Annotated

import typer

from soulbox.app.commands import options
from soulbox.app.commands.complete import complete_executions
from soulbox.app.commands.options import Format
from soulbox.app.commands.target import Target


@options.on_operator
def files(
    name: Annotated[str, typer.Argument(help="Execution.", autocompletion=complete_executions)],
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Files, or folders of them; without --out one file, to stdout."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write them below this folder.", file_okay=False, metavar="DIR"),
    ] = None,
    dsn_file: options.DsnFile = None,
    raw: options.Raw = False,
    *,
    output: options.Output = Format.TEXT,
    target: Target,
) -> None:
    """List the files that an Execution captured; with PATH show one, with --out write them.

    Files that the status does not hold come from PostgreSQL (SOULBOX_DSN or SOULBOX_DSN_FILE), or
    else through the operator.
    """
    from soulbox.app.commands.fetching import list_files, show_file, write_files  # noqa: PLC0415
    from soulbox.app.commands.person import as_person  # noqa: PLC0415

    wanted, dsn = list(paths or ()), options.find_dsn(dsn_file)
    if out is not None:
        as_person(target, lambda p: write_files(p, name, wanted, out, dsn))
    elif not wanted:
        as_person(target, lambda p: list_files(p, name, as_json=output is Format.JSON))
    elif len(wanted) == 1:
        as_person(target, lambda p: show_file(p, name, wanted[0], dsn, raw=raw))
    else:
        raise typer.BadParameter("several files need a target folder: give --out DIR")
