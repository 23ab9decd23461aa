"""Options of every command that talks to the database."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None, typer.Option("--config", help="YAML file with settings; the environment wins.")
]
Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        help="PostgreSQL. Visible in the process list: prefer SOULBOX_DSN or SOULBOX_DSN_FILE.",
    ),
]
