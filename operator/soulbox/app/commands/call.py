"""`soulbox call`: a Function called by its name, its result as JSON on stdout."""

from typing import Annotated, Any

import typer

from soulbox.app.commands import inputs, options
from soulbox.app.commands.complete import complete_functions
from soulbox.app.commands.durations import duration
from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.outcome import FAILED_AROUND
from soulbox.app.commands.run import BROKEN_PIPE, build_manifest
from soulbox.app.commands.target import Target
from soulbox.app.commands.terminal import tell
from soulbox.model.errors import CommandError, ConfigError


@options.on_operator
def call(
    function: Annotated[
        str,
        typer.Argument(
            help="Name of the Function; @VERSION calls another version than the current one.",
            metavar="NAME[@VERSION]",
            autocompletion=complete_functions,
        ),
    ],
    given: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="JSON for it; @FILE reads a file, - reads standard input.",
            metavar="JSON|@FILE|-",
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Show what the program writes on stderr, live."),
    ] = False,
    timeout: Annotated[
        int | None, duration("--timeout", help="How long it may run; default: the Function's.")
    ] = None,
    queue_timeout: Annotated[
        int | None, duration("--queue-timeout", help="How long it may wait before it starts.")
    ] = None,
    user: options.User = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the Execution; default: derived from the Function's."),
    ] = None,
    label: options.Labels = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", "-d", help="Print the Execution's name and do not wait for its end."
        ),
    ] = False,
    ttl: Annotated[
        int | None,
        duration("--ttl", help="Delete the Execution this long after its end.", or_zero=True),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--rm", help="Delete the Execution when it is over.")
    ] = False,
    raw: options.Raw = False,
    *,
    output: options.ObjectOutput = ObjectFormat.TEXT,
    target: Target,
) -> None:
    """Call a Function, wait for it and print its result as JSON.

    Exit codes as of `soulbox run`; 125 too where the input or the result does not match its schema,
    or there is no such Function or version. Ctrl-C cancels the call.
    """
    from soulbox.app.commands.calling import call_function  # noqa: PLC0415
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.running import Wishes, start_program  # noqa: PLC0415

    called, version = options.function_of(function)
    if detach and (remove or follow):
        raise typer.BadParameter(
            "--detach does not wait for the end: use --ttl instead of --rm, and `soulbox logs -f`"
            " instead of --follow"
        )
    if follow and output is not ObjectFormat.TEXT:
        raise typer.BadParameter("--follow shows output live, --output an object: use one of them")
    spec = {
        "functionRef": {"name": called} | ({"version": version} if version else {}),
        "timeoutSeconds": timeout,
        "queueTimeoutSeconds": queue_timeout,
        "ttlSecondsAfterFinished": ttl,
        "user": user,
    }
    manifest = build_manifest(name or inputs.new_name(called), spec, options.labels_of(label))
    if given is not None:  # null is an input too
        manifest["spec"]["input"] = _read_input(given)
    wishes = Wishes(keep=not remove, form=output, raw=raw)
    try:
        if detach:
            as_person(target, lambda p: start_program(p, manifest, output))
            return
        code = as_person(target, lambda p: call_function(p, manifest, wishes, live=follow))
    except (CommandError, ConfigError) as error:
        # Not 1 or 2: a program may end so, and a script must be able to tell.
        tell(str(error))
        raise typer.Exit(FAILED_AROUND) from error
    except BrokenPipeError:
        inputs.leave_quietly()
        raise typer.Exit(BROKEN_PIPE) from None
    raise typer.Exit(code)


def _read_input(given: str) -> Any:
    if given == "-":
        return inputs.parse_json("--input", "standard input", inputs.read_stdin())
    return inputs.read_json("--input", given)
