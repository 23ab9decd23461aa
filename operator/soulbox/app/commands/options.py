"""Options that several commands share, and what a person's call works with."""

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from soulbox.app.commands.complete import complete_contexts, complete_namespaces
from soulbox.app.commands.target import Target
from soulbox.model.errors import ConfigError


class Format(StrEnum):
    """How a command prints its result."""

    TEXT = "text"  # for people
    JSON = "json"


class ObjectFormat(StrEnum):
    """How a command prints objects."""

    TEXT = "text"  # for people
    JSON = "json"  # as the API server has them
    YAML = "yaml"
    NAME = "name"  # kind/name, which the commands take


Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Namespace; default: the context's.",
        autocompletion=complete_namespaces,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        help="Context of the kubeconfig; default: the current one.",
        autocompletion=complete_contexts,
    ),
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="kubeconfig to use instead of KUBECONFIG.")
]
AsUser = Annotated[
    str | None,
    typer.Option("--as", help="Impersonate this user, as kubectl does.", metavar="USER"),
]
AsGroups = Annotated[
    list[str] | None,
    typer.Option("--as-group", help="Impersonate this group; can be repeated.", metavar="GROUP"),
]
OperatorNamespace = Annotated[
    str,
    typer.Option(
        "--operator-namespace",
        envvar="SOULBOX_OPERATOR_NAMESPACE",
        help="Namespace of the operator's Service, the source of live output.",
    ),
]
OperatorUrl = Annotated[
    str | None,
    typer.Option(
        "--operator-url",
        envvar="SOULBOX_OPERATOR_URL",
        help="The operator's HTTP address, if it can be reached without the API server.",
    ),
]
DsnFile = Annotated[
    Path | None,
    typer.Option(
        "--dsn-file",
        envvar="SOULBOX_DSN_FILE",
        help="File with PostgreSQL's DSN, if SOULBOX_DSN does not hold it.",
    ),
]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw",
        help="Pass the program's output to a terminal unchanged, including control characters.",
    ),
]
Cpu = Annotated[
    str | None,
    typer.Option("--cpu", help="CPU limit in cores, such as 500m or 2; default: the class's."),
]
Memory = Annotated[
    str | None, typer.Option("--memory", help="Memory limit, such as 512Mi; default: the class's.")
]
Disk = Annotated[
    str | None,
    typer.Option("--disk", help="Size of the workspace, such as 2Gi; default: the class's."),
]
Env = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        "-e",
        help="Variable of the program; NAME alone passes on the value set here. Can be repeated.",
        metavar="NAME[=VALUE]",
    ),
]
EnvFromSecret = Annotated[
    list[str] | None,
    typer.Option(
        "--env-from-secret",
        help="Variable from a key of a Secret, which must carry the label soulbox.dev/readable:"
        ' "true". Can be repeated.',
        metavar="NAME=SECRET/KEY",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", "-l", help="Label of the object; can be repeated.", metavar="KEY=VALUE"
    ),
]
User = Annotated[
    str | None,
    typer.Option(
        "--user", help="User to bill; for anybody but yourself you need the verb `billto`."
    ),
]
ObjectOutput = Annotated[
    ObjectFormat, typer.Option("--output", "-o", help="How to print the result.")
]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]


Command = Callable[..., None]


def on_cluster(command: Command) -> Command:
    """Give a command the options that choose cluster, namespace and identity; they come to it
    as its parameter `target`."""
    return _with_options(command, _cluster_target)


def on_operator(command: Command) -> Command:
    """As `on_cluster`, for a command that asks the operator too."""
    return _with_options(command, _operator_target)


def _cluster_target(
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_groups: AsGroups = None,
) -> Target:
    return Target(
        namespace=namespace,
        context=context,
        kubeconfig=kubeconfig,
        as_user=as_user,
        as_groups=tuple(as_groups or ()),
    )


def _operator_target(
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_user: AsUser = None,
    as_groups: AsGroups = None,
    operator_namespace: OperatorNamespace = "soulbox-system",
    operator_url: OperatorUrl = None,
) -> Target:
    return replace(
        _cluster_target(namespace, context, kubeconfig, as_user, as_groups),
        operator_namespace=operator_namespace,
        operator_url=operator_url,
    )


def _with_options(command: Command, read_target: Callable[..., Target]) -> Command:
    """The command with the parameters of `read_target` instead of `target`: Typer makes options
    from a function's signature."""
    shared = inspect.signature(read_target).parameters
    own = inspect.signature(command).parameters

    @functools.wraps(command)
    def call(**given: Any) -> None:
        target = read_target(**{name: given.pop(name) for name in shared})
        command(**given, target=target)

    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for one in (*own.values(), *shared.values())
        if one.name != "target"
    ]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def resources_of(cpu: str | None, memory: str | None, disk: str | None) -> dict[str, str] | None:
    """The field `resources`, None where nothing is asked for."""
    given = {"cpu": cpu, "memory": memory, "disk": disk}
    return {name: value for name, value in given.items() if value is not None} or None


def labels_of(words: list[str] | None) -> dict[str, str]:
    """Labels from KEY=VALUE.

    Raises:
        BadParameter: one has no =, or comes twice.
    """
    labels: dict[str, str] = {}
    for word in words or ():
        key, given, value = word.partition("=")
        if not given or not key:
            raise typer.BadParameter(f"--label {word}: write KEY=VALUE")
        if key in labels:
            raise typer.BadParameter(f"--label {key}: given twice")
        labels[key] = value
    return labels


def function_of(word: str) -> tuple[str, str | None]:
    """Name and version from NAME[@VERSION].

    Raises:
        BadParameter: one of them is empty.
    """
    name, has_version, version = word.partition("@")
    if not name or (has_version and not version):
        raise typer.BadParameter(f"{word}: write NAME, or NAME@VERSION")
    return name, version or None


def variables_of(
    words: list[str] | None, from_secrets: list[str] | None = None
) -> list[dict[str, Any]] | None:
    """The field `env`, None where there are none.

    Raises:
        BadParameter: a variable without a value that is not set here, or no SECRET/KEY.
    """
    return [*map(_variable, words or ()), *map(_secret_variable, from_secrets or ())] or None


def _variable(word: str) -> dict[str, Any]:
    name, given, value = word.partition("=")
    if not given:
        if name not in os.environ:
            raise typer.BadParameter(
                f"--env {name}: not set in this environment; write {name}=VALUE"
            )
        value = os.environ[name]
    return {"name": name, "value": value}


def _secret_variable(word: str) -> dict[str, Any]:
    name, _, place = word.partition("=")
    secret, _, key = place.partition("/")
    if not (name and secret and key):
        raise typer.BadParameter(f"--env-from-secret {word}: write NAME=SECRET/KEY")
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def find_dsn(dsn_file: Path | None) -> str | None:
    """The DSN that SOULBOX_DSN or a file holds, None if neither is there: no flag takes it,
    the process list would show its password.

    Raises:
        ConfigError: the file cannot be read.
    """
    if os.environ.get("SOULBOX_DSN"):
        return os.environ["SOULBOX_DSN"]
    if dsn_file is None:
        return None
    try:
        return dsn_file.read_text().strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--dsn-file: cannot read {dsn_file}") from error
