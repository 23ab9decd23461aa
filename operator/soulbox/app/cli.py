"""The `soulbox` command. Wrong settings: one clear line and exit code 2."""

import asyncio
import gc
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from soulbox.app.commands import billing, db, prices, tools
from soulbox.app.commands.call import call
from soulbox.app.commands.doctor import doctor
from soulbox.app.commands.executions import cancel, get, logs
from soulbox.app.commands.files import files
from soulbox.app.commands.query import query
from soulbox.app.commands.run import run
from soulbox.app.commands.sandboxes import create, delete, keep_alive, resume, suspend
from soulbox.app.commands.settings import load_settings
from soulbox.app.commands.terminal import tell
from soulbox.app.commands.top import top
from soulbox.app.commands.uninstall import uninstall
from soulbox.app.commands.usage import usage
from soulbox.app.commands.watch import watch
from soulbox.model.errors import ConfigError, SoulBoxError
from soulbox.telemetry.logs import set_up_logging

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,  # they print local variables, a DSN among them
)
app.add_typer(db.app, name="db")
app.add_typer(billing.app, name="billing")
app.add_typer(prices.app, name="prices")
app.add_typer(tools.app, name="tools")
app.command()(query)
app.command()(usage)
app.command()(watch)

app.command()(run)
app.command()(call)
app.command()(logs)
app.command()(cancel)
app.command()(get)
app.command()(files)
app.command()(create)
app.command()(suspend)
app.command()(resume)
app.command("keep-alive")(keep_alive)
app.command()(delete)
app.command()(top)

_Config = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file with settings; the environment overrides it."),
]


@app.command("operator")
def run_the_operator(
    config: _Config = None,
    profile: Annotated[
        str | None, typer.Option(help="development or production: which defaults apply.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="kubeconfig to use instead of KUBECONFIG.")
    ] = None,
    http_listen: Annotated[
        str | None, typer.Option(help="host:port of /healthz, /readyz and /metrics.")
    ] = None,
    leader_elect: Annotated[
        bool | None,
        typer.Option(
            "--leader-elect/--no-leader-elect",
            help="Work only while holding the Lease; without it, this must be the only operator.",
        ),
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="json or console.")] = None,
) -> None:
    """Run the operator until SIGTERM."""
    # What is imported is no garbage: collecting it would take a seventh of the start's time
    # (measured). It stays out of the collector's way, which then looks less often.
    gc.disable()
    # Imported here: kopf and aiohttp take half a second that `soulbox --help` need not wait.
    from soulbox.app.memory import COLLECT_THRESHOLDS  # noqa: PLC0415
    from soulbox.app.operator import run_operator  # noqa: PLC0415

    gc.freeze()
    gc.set_threshold(*COLLECT_THRESHOLDS)
    gc.enable()

    settings = load_settings(
        config,
        profile=profile,
        kubeconfig=kubeconfig,
        http_listen=http_listen,
        leader_elect=leader_elect,
        log_level=log_level,
        log_format=log_format,
    )
    set_up_logging(settings.log_level, settings.log_format)
    asyncio.run(run_operator(settings))


@app.command()
def migrate(
    config: _Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be done.")
    ] = False,
) -> None:
    """Bring the database's schema to this release's."""
    from soulbox.store.migrate import migrate as migrate_database  # noqa: PLC0415

    url = load_settings(config).database_url
    applied = migrate_database(url.get_secret_value(), dry_run=dry_run)
    verb = "would be applied" if dry_run else "applied"
    for name in applied:
        typer.echo(f"{verb}: {name}")
    if not applied:
        typer.echo("the schema is up to date")


app.command()(doctor)
app.command()(uninstall)


@app.command("version")
def show_version() -> None:
    """Print the version."""
    typer.echo(version("soulbox"))


def _print_version(is_asked: bool) -> None:
    if is_asked:
        show_version()
        raise typer.Exit


@app.callback()
def common(
    _: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """SoulBox: runs untrusted code on Kubernetes, keeps every outcome, proves every bill."""


def main() -> None:
    """Entry point: errors of ours are one line on stderr."""
    arguments = sys.argv[1:]
    # Scripts know the operator's process by a command line that holds `soulbox run`; what
    # starts it spells it so. To people the command is `soulbox operator`.
    if arguments[:2] == ["run", "--operator"]:
        arguments[:2] = ["operator"]
    try:
        app(arguments)
    except ConfigError as error:
        tell(str(error))
        sys.exit(2)
    except SoulBoxError as error:
        tell(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
