"""`soulbox top`: Sandboxes, what runs in them and what they use, live."""

from typing import Annotated

import typer

from soulbox.app.commands import options
from soulbox.app.commands.options import Format
from soulbox.app.commands.target import Target


@options.on_cluster
def top(
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="In every namespace.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds between updates.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table and exit.")] = False,
    dsn_file: options.DsnFile = None,
    *,
    output: options.Output = Format.TEXT,
    target: Target,
) -> None:
    """Show Sandboxes with what runs in them, and their CPU and memory. Ctrl-C ends it.

    Figures come from the cluster's metrics-server (the role `view` includes the right to read pods'
    metrics), or else from PostgreSQL (SOULBOX_DSN or SOULBOX_DSN_FILE). Without a terminal, and
    with -o json, it prints once.
    """
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.watching import show_top  # noqa: PLC0415

    as_json, dsn = output is Format.JSON, options.find_dsn(dsn_file)
    try:
        as_person(
            target,
            lambda p: show_top(
                p, everywhere=all_namespaces, every=every, once=once or as_json, dsn=dsn,
                as_json=as_json,
            ),
        )  # fmt: skip
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
