"""`soulbox run`: a program from a file, its output live, its exit code ours."""

from pathlib import Path
from typing import Annotated, Any

import typer

from soulbox.app.commands import inputs, options
from soulbox.app.commands.complete import complete_classes, complete_sandboxes
from soulbox.app.commands.durations import duration
from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.outcome import FAILED_AROUND
from soulbox.app.commands.target import Target
from soulbox.app.commands.terminal import tell
from soulbox.model.errors import CommandError, ConfigError
from soulbox.model.keys import API_VERSION

BROKEN_PIPE = 141  # as a shell, of SIGPIPE


@options.on_operator
def run(
    file: Annotated[
        str,
        typer.Argument(
            help="File with the program; - reads it from standard input.", metavar="FILE|-"
        ),
    ],
    args: Annotated[
        list[str] | None, typer.Argument(help="Arguments of the program, after --.")
    ] = None,
    sandbox: Annotated[
        str | None,
        typer.Option(
            help="Run in this Sandbox instead of a pod of its own.",
            autocompletion=complete_sandboxes,
        ),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="SandboxClass of the pod; default: by the file's ending.",
            autocompletion=complete_classes,
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Default: by the file's ending, or else the class's.")
    ] = None,
    cpu: options.Cpu = None,
    memory: options.Memory = None,
    disk: options.Disk = None,
    timeout: Annotated[
        int | None, duration("--timeout", help="How long the program may run.")
    ] = None,
    queue_timeout: Annotated[
        int | None, duration("--queue-timeout", help="How long it may wait before it starts.")
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(
            min=-100, max=100, help="Of the Executions that wait, the highest goes first."
        ),
    ] = None,
    idempotent: Annotated[
        bool, typer.Option("--idempotent", help="Run it again if its pod is lost.")
    ] = False,
    env: options.Env = None,
    env_from_secret: options.EnvFromSecret = None,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", help="An argument of the program; can be repeated.")
    ] = None,
    send_stdin: Annotated[
        bool, typer.Option("--stdin", "-i", help="Pass standard input on to the program.")
    ] = False,
    given: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="JSON for the program, which finds it by SOULBOX_INPUT; @FILE reads a file.",
            metavar="JSON|@FILE",
        ),
    ] = None,
    handler: Annotated[
        str | None,
        typer.Option(
            help="A function of the program, called with the input; Python and Node.",
            metavar="NAME",
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            "-f",
            help="A file or folder for the program, below its workspace; can be repeated.",
            metavar="LOCAL[:PATH]",
        ),
    ] = None,
    capture: Annotated[
        list[str] | None,
        typer.Option(
            "--capture",
            help="Files to keep after the run, such as 'out/**'; can be repeated.",
            metavar="GLOB",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write the captured files below this folder.",
            file_okay=False,
            metavar="DIR",
        ),
    ] = None,
    output_limit: Annotated[
        int | None,
        typer.Option(
            "--output-limit",
            min=0,
            help="Most bytes kept of each stream, and of all files.",
            metavar="BYTES",
        ),
    ] = None,
    user: options.User = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the Execution; default: derived from the file's.")
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
    """Run a program in a sandbox, show its output live and end with its exit code.

    Exit codes: the program's own; 124: it took too long; 130: cancelled; 137: killed at its limit
    of memory or disk; 128 + N: ended by signal N; 125: it could not be run, or its result was lost.
    Ctrl-C cancels it.
    """
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.running import Wishes, run_program, start_program  # noqa: PLC0415

    if sandbox is not None and class_name is not None:
        raise typer.BadParameter(
            "--sandbox and --class exclude each other: a Sandbox has its own class"
        )
    resources = options.resources_of(cpu, memory, disk)
    if sandbox is not None and resources is not None:
        raise typer.BadParameter(
            "--cpu, --memory and --disk cannot be combined with --sandbox: the Sandbox has its own"
            " limits"
        )
    if detach and (remove or out is not None):
        raise typer.BadParameter(
            "--detach does not wait for the end: use --ttl instead of --rm, and `soulbox files`"
            " instead of --out"
        )
    if out is not None and not capture:
        raise typer.BadParameter("--out DIR needs files to write: add --capture 'GLOB'")
    code = inputs.read_code(file, send_stdin=send_stdin)
    known_language, known_class = inputs.language_of(
        file, is_chosen=bool(sandbox or class_name or language)
    )
    spec = {
        "code": code,
        "sandboxRef": None if sandbox is None else {"name": sandbox},
        "className": None if sandbox is not None else class_name or known_class,
        "resources": resources,
        "language": language or known_language,
        "args": [*(arg or ()), *(args or ())] or None,
        "env": options.variables_of(env, env_from_secret),
        "stdin": inputs.read_stdin() if send_stdin else None,
        "handler": handler,
        "files": inputs.read_files(files) or None,
        "captureFiles": capture or None,
        "timeoutSeconds": timeout,
        "queueTimeoutSeconds": queue_timeout,
        "priority": priority,
        "idempotent": idempotent or None,
        "outputLimitBytes": output_limit,
        "ttlSecondsAfterFinished": ttl,
        "user": user,
    }
    manifest = build_manifest(name or inputs.make_name(file), spec, options.labels_of(label))
    if given is not None:  # null is an input too
        manifest["spec"]["input"] = inputs.read_json("--input", given)
    wishes = Wishes(keep=not remove, form=output, raw=raw, out=out)
    try:
        if detach:
            as_person(target, lambda p: start_program(p, manifest, output))
            return
        code_of_exit = as_person(target, lambda p: run_program(p, manifest, wishes))
    except (CommandError, ConfigError) as error:
        # Not 1 or 2: a program may end so, and a script must be able to tell.
        tell(str(error))
        raise typer.Exit(FAILED_AROUND) from error
    except BrokenPipeError:
        inputs.leave_quietly()
        raise typer.Exit(BROKEN_PIPE) from None
    raise typer.Exit(code_of_exit)


def build_manifest(
    name: str, spec: dict[str, Any], labels: dict[str, str] | None = None
) -> dict[str, Any]:
    """The Execution that is asked for; members that are None are left to the API."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Execution",
        "metadata": {"name": name} | ({"labels": labels} if labels else {}),
        "spec": {field: value for field, value in spec.items() if value is not None},
    }
