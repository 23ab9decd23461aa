"""Options that several commands share, and what a person's call works with."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from soulbox.app.commands.complete import complete_contexts, complete_namespaces
from soulbox.model.errors import ConfigError


class Format(StrEnum):
    """How a command prints its result."""

    TEXT = "text"  # for people
    JSON = "json"  # the objects as the API server has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which cluster and namespace; None takes what the kubeconfig says."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None
    operator_namespace: str = "soulbox-system"
    operator_url: str | None = None  # None: through the API server


Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Namespace; default: that of the context.",
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
OperatorNamespace = Annotated[
    str,
    typer.Option(
        "--operator-namespace",
        envvar="SOULBOX_OPERATOR_NAMESPACE",
        help="Namespace of the operator's Service, which live output comes from.",
    ),
]
OperatorUrl = Annotated[
    str | None,
    typer.Option(
        "--operator-url",
        envvar="SOULBOX_OPERATOR_URL",
        help="The operator's HTTP address, where it can be reached without the API server.",
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
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]


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
