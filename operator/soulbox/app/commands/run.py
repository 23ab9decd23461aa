"""`soulbox run`: a program from a file, its output live, its exit code ours."""

import os
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from soulbox.app.commands import options
from soulbox.app.commands.complete import complete_classes, complete_sandboxes
from soulbox.app.commands.options import Format, Target
from soulbox.app.commands.outcome import FAILED_AROUND
from soulbox.app.commands.terminal import tell
from soulbox.model.errors import CommandError, ConfigError

# What a file's ending says: (language, class that an installation brings for it).
LANGUAGES: dict[str, tuple[str, str]] = {
    ".py": ("python", "python"),
    ".sh": ("bash", "bash"),
    ".bash": ("bash", "bash"),
    ".js": ("javascript", "node"),
    ".mjs": ("javascript", "node"),
    ".cjs": ("javascript", "node"),
}
_MAX_CODE_BYTES = 262_144
_MAX_STDIN_BYTES = 393_216
_BROKEN_PIPE = 141  # as a shell, of SIGPIPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command line asks for; None leaves the field to the API."""

    code: str
    name: str
    sandbox: str | None = None
    class_name: str | None = None
    language: str | None = None
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()  # NAME=VALUE, or NAME to take it from the environment
    stdin: str | None = None
    timeout_seconds: int | None = None
    user: str | None = None


@options.on_operator
def run(
    file: Annotated[
        str, typer.Argument(help="The program; - reads it from standard input.", metavar="FILE|-")
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
            help="SandboxClass of the pod; default: by the file's ending, else python.",
            autocompletion=complete_classes,
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Default: by the file's ending, else the class's.")
    ] = None,
    timeout: Annotated[
        int | None, typer.Option(min=1, help="Seconds the program may run.", metavar="SECONDS")
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            "-e",
            help="Variable of the program; NAME alone passes ours on.",
            metavar="NAME[=VALUE]",
        ),
    ] = None,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", help="An argument of the program; again for more.")
    ] = None,
    send_stdin: Annotated[
        bool, typer.Option("--stdin", "-i", help="Give our standard input to the program.")
    ] = False,
    user: Annotated[
        str | None, typer.Option(help="Whom it is billed to; another than you needs `billto`.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the Execution; default: from the file's.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep/--rm", help="Keep the Execution when it is over, or delete it.")
    ] = True,
    raw: options.Raw = False,
    *,
    output: options.Output = Format.TEXT,
    target: Target,
) -> None:
    """Run a program in a sandbox, show its output live and end with its exit code.

    Exit codes: the program's; 124 it took too long; 130 cancelled; 137 out of memory; 128 + N
    ended by signal N; 125 it could not be run, or its result was lost. Ctrl-C cancels it.
    """
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.running import run_program  # noqa: PLC0415

    if sandbox is not None and class_name is not None:
        raise typer.BadParameter("--sandbox and --class exclude each other: a Sandbox has its own")
    code = read_code(file, send_stdin=send_stdin)
    known_language, known_class = language_of(
        file, is_chosen=bool(sandbox or class_name or language)
    )
    request = Request(
        code=code,
        name=name or make_name(file),
        sandbox=sandbox,
        class_name=None if sandbox is not None else class_name or known_class,
        language=language or known_language,
        args=(*(arg or ()), *(args or ())),
        env=tuple(env or ()),
        stdin=read_stdin() if send_stdin else None,
        timeout_seconds=timeout,
        user=user,
    )
    manifest = build_manifest(request)
    try:
        code_of_exit = as_person(
            target,
            lambda p: run_program(p, manifest, keep=keep, as_json=output is Format.JSON, raw=raw),
        )
    except (CommandError, ConfigError) as error:
        # Not 1 or 2: a program may end so, and a script must be able to tell.
        tell(str(error))
        raise typer.Exit(FAILED_AROUND) from error
    except BrokenPipeError:
        # Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(_BROKEN_PIPE) from None
    raise typer.Exit(code_of_exit)


def language_of(file: str, *, is_chosen: bool) -> tuple[str | None, str]:
    """Language and class by a file's ending. Standard input is Python, the first language of
    the first class.

    Args:
        is_chosen: the command line names language, class or Sandbox: any ending will do.

    Raises:
        BadParameter: the ending says nothing, and nothing else does.
    """
    suffix = Path(file).suffix.lower()
    if suffix in LANGUAGES:
        return LANGUAGES[suffix]
    if file == "-" or is_chosen:
        return None, "python"
    told = f"its ending {suffix} is not known" if suffix else "it has no ending"
    raise typer.BadParameter(
        f"what language is {file}? {told} ({', '.join(LANGUAGES)} are): give --language with "
        "--class, or --sandbox"
    )


def read_code(file: str, *, send_stdin: bool) -> str:
    """The program's text.

    Raises:
        BadParameter: no such file, too long, not UTF-8, or two things want standard input.
    """
    if file == "-":
        if send_stdin:
            raise typer.BadParameter("with - the program itself is read from standard input")
        raw = sys.stdin.buffer.read(_MAX_CODE_BYTES + 1)
    else:
        try:
            with Path(file).open("rb") as source:
                raw = source.read(_MAX_CODE_BYTES + 1)
        except OSError as error:
            raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from error
    if len(raw) > _MAX_CODE_BYTES:
        raise typer.BadParameter(
            f"{file} is over {_MAX_CODE_BYTES} bytes, the most an Execution's code may have"
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not UTF-8 text") from error


def read_stdin() -> str:
    """All of our standard input.

    Raises:
        BadParameter: too long, or not UTF-8.
    """
    raw = sys.stdin.buffer.read(_MAX_STDIN_BYTES + 1)
    if len(raw) > _MAX_STDIN_BYTES:
        raise typer.BadParameter(
            f"standard input is over {_MAX_STDIN_BYTES} bytes, the most an Execution may carry"
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise typer.BadParameter("standard input is not UTF-8 text") from error


def make_name(file: str) -> str:
    """A new name from a file's, as Kubernetes takes them."""
    stem = "run" if file == "-" else Path(file).stem
    slug = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40].strip("-") or "run"
    return f"{slug}-{secrets.token_hex(3)}"


def build_manifest(request: Request) -> dict[str, Any]:
    """The Execution that is asked for.

    Raises:
        BadParameter: a variable without a value that is not in our environment.
    """
    spec: dict[str, Any] = {"code": request.code}
    if request.sandbox is not None:
        spec["sandboxRef"] = {"name": request.sandbox}
    else:
        spec["className"] = request.class_name
    optional = {
        "language": request.language,
        "args": list(request.args) or None,
        "env": [_variable(text) for text in request.env] or None,
        "stdin": request.stdin,
        "timeoutSeconds": request.timeout_seconds,
        "user": request.user,
    }
    spec |= {field: value for field, value in optional.items() if value is not None}
    return {
        "apiVersion": "soulbox.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"name": request.name},
        "spec": spec,
    }


def _variable(text: str) -> dict[str, str]:
    name, given, value = text.partition("=")
    if not given:
        if name not in os.environ:
            raise typer.BadParameter(f"--env {name}: not set here; write {name}=VALUE")
        value = os.environ[name]
    return {"name": name, "value": value}
