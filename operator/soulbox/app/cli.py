"""The `soulbox` command. Wrong settings: one clear line and exit code 2."""

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from soulbox.model.errors import ConfigError, SoulBoxError
from soulbox.schema.settings import load_settings
from soulbox.telemetry.logs import set_up_logging

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,  # they print local variables, a DSN among them
    help="SoulBox: runs untrusted code on Kubernetes, keeps every outcome, proves every bill.",
)

_Config = Annotated[
    Path | None, typer.Option("--config", help="YAML file with settings; the environment wins.")
]
_Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        help="PostgreSQL. Visible in the process list: prefer SOULBOX_DSN or SOULBOX_DSN_FILE.",
    ),
]


@app.command()
def run(
    config: _Config = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="kubeconfig to use instead of KUBECONFIG.")
    ] = None,
    http_listen: Annotated[
        str | None, typer.Option(help="host:port of /healthz, /readyz and /metrics.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="json or console.")] = None,
) -> None:
    """Run the operator until SIGTERM."""
    # Imported here: kopf and aiohttp take half a second that `soulbox --help` need not wait.
    from soulbox.app.operator import run_operator  # noqa: PLC0415

    settings = load_settings(
        config,
        kubeconfig=kubeconfig,
        http_listen=http_listen,
        log_level=log_level,
        log_format=log_format,
    )
    set_up_logging(settings.log_level, settings.log_format)
    asyncio.run(run_operator(settings))


@app.command()
def migrate(
    config: _Config = None,
    dsn: _Dsn = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
) -> None:
    """Bring the database's schema to this release's."""
    from soulbox.store.migrate import migrate as migrate_database  # noqa: PLC0415

    url = load_settings(config, dsn=dsn).database_url
    applied = migrate_database(url.get_secret_value(), dry_run=dry_run)
    verb = "would be applied" if dry_run else "applied"
    for name in applied:
        typer.echo(f"{verb}: {name}")
    if not applied:
        typer.echo("the schema is up to date")


@app.command("version")
def show_version() -> None:
    """Print the version."""
    typer.echo(version("soulbox"))


def main() -> None:
    """Entry point: errors of ours are one line on stderr."""
    try:
        app()
    except ConfigError as error:
        print(f"soulbox: {error}", file=sys.stderr)
        sys.exit(2)
    except SoulBoxError as error:
        print(f"soulbox: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
