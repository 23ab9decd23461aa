"""`soulbox get`, `cancel` and `logs`."""

import sys
from typing import Annotated

import typer

from soulbox.app.commands import options
from soulbox.app.commands.complete import complete_executions, complete_objects
from soulbox.app.commands.options import Format, ObjectFormat
from soulbox.app.commands.target import Target

_Names = Annotated[
    list[str], typer.Argument(help="Executions.", autocompletion=complete_executions)
]


@options.on_cluster
def get(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Executions and Sandboxes: a NAME, execution/NAME, sandbox/NAME, function/NAME; or"
            " a kind (sandboxes, executions, functions), alone or followed by names. Default: all"
            " Sandboxes and Executions.",
            metavar="[KIND] [NAME]...",
            autocompletion=complete_objects,
        ),
    ] = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="In every namespace.")
    ] = False,
    selector: Annotated[
        str | None,
        typer.Option("--selector", "-l", help="Only objects with these labels, such as a=b,c=d."),
    ] = None,
    *,
    output: options.ObjectOutput = ObjectFormat.TEXT,
    target: Target,
) -> None:
    """Show Sandboxes and Executions, or Functions, or some with everything known about each."""
    from soulbox.app.commands.looking import show_all, show_some  # noqa: PLC0415
    from soulbox.app.commands.person import KINDS, as_person  # noqa: PLC0415
    from soulbox.kube.resources import EXECUTIONS, SANDBOXES  # noqa: PLC0415

    words = list(names or ())
    kind = KINDS.get(words[0].lower()) if words else None
    if kind is not None:
        words = [f"{kind.kind.lower()}/{word}" for word in words[1:]]
    if words:
        if all_namespaces or selector is not None:
            raise typer.BadParameter(
                "a NAME belongs to one namespace and cannot be combined with labels"
            )
        as_person(target, lambda p: show_some(p, words, output))
        return
    resources = (SANDBOXES, EXECUTIONS) if kind is None else (kind,)
    as_person(
        target,
        lambda p: show_all(p, resources, everywhere=all_namespaces, selector=selector, form=output),
    )


@options.on_cluster
def cancel(
    names: _Names,
    *,
    output: options.ObjectOutput = ObjectFormat.TEXT,
    target: Target,
) -> None:
    """Cancel Executions: all their processes get SIGTERM, and SIGKILL a second later."""
    from soulbox.app.commands.looking import cancel_executions  # noqa: PLC0415
    from soulbox.app.commands.person import as_person  # noqa: PLC0415

    as_person(target, lambda p: cancel_executions(p, names, output))


@options.on_operator
def logs(
    name: Annotated[str, typer.Argument(help="Execution.", autocompletion=complete_executions)],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue until the program ends.")
    ] = False,
    dsn_file: options.DsnFile = None,
    raw: options.Raw = False,
    *,
    output: options.Output = Format.TEXT,
    target: Target,
) -> None:
    """Show what an Execution wrote: stdout on stdout, stderr on stderr.

    If the status holds only part of the output, all of it is read from PostgreSQL (SOULBOX_DSN or
    SOULBOX_DSN_FILE), or else through the operator.
    """
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.reading import show_logs  # noqa: PLC0415

    if follow and output is Format.JSON:
        raise typer.BadParameter("--follow writes bytes as they arrive: leave out -o json")
    dsn = options.find_dsn(dsn_file)
    try:
        as_person(
            target,
            lambda p: show_logs(
                p, name, follow=follow, dsn=dsn, as_json=output is Format.JSON, raw=raw
            ),
        )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(141) from None
