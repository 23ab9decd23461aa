"""Options of every command that talks to the database."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file with settings; the environment overrides it."),
]
