"""`soulbox create`, `suspend`, `resume`, `keep-alive` and `delete`."""

from typing import Annotated

import typer

from soulbox.app.commands import options
from soulbox.app.commands.complete import complete_classes, complete_objects, complete_sandboxes
from soulbox.app.commands.durations import duration
from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.target import Target

_Names = Annotated[list[str], typer.Argument(help="Sandboxes.", autocompletion=complete_sandboxes)]


@options.on_cluster
def create(
    name: Annotated[str, typer.Argument(help="Name of the Sandbox.")],
    class_name: Annotated[
        str,
        typer.Option(
            "--class", help="SandboxClass it is made from.", autocompletion=complete_classes
        ),
    ] = "python",
    cpu: options.Cpu = None,
    memory: options.Memory = None,
    disk: options.Disk = None,
    network: Annotated[
        str | None, typer.Option(help="Network profile of the class; default: none.")
    ] = None,
    lifetime: Annotated[
        int | None,
        duration(
            "--lifetime", help="Terminated this long after its first start; default: the class's."
        ),
    ] = None,
    idle_timeout: Annotated[
        int | None,
        duration(
            "--idle-timeout", help="Terminated when nothing has run or waited in it for this long."
        ),
    ] = None,
    timeout: Annotated[
        int | None,
        duration("--timeout", help="Time-out of its Executions that set none."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Executions that may run in it at once; default: 1.")
    ] = None,
    persistent: Annotated[
        bool, typer.Option("--persistent", help="Its files outlive its pods, in a volume.")
    ] = False,
    env: options.Env = None,
    env_from_secret: options.EnvFromSecret = None,
    label: options.Labels = None,
    user: options.User = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until Executions can run in it.")
    ] = True,
    *,
    output: options.ObjectOutput = ObjectFormat.TEXT,
    target: Target,
) -> None:
    """Create a Sandbox, and wait until it is ready."""
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.shaping import build_sandbox, create_sandbox  # noqa: PLC0415

    manifest = build_sandbox(
        name,
        {
            "className": class_name,
            "resources": options.resources_of(cpu, memory, disk),
            "network": network,
            "lifetimeSeconds": lifetime,
            "idleTimeoutSeconds": idle_timeout,
            "defaultTimeoutSeconds": timeout,
            "maxConcurrentExecutions": concurrency,
            "workspace": {"persistent": True} if persistent else None,
            "env": options.variables_of(env, env_from_secret),
            "user": user,
        },
        labels=options.labels_of(label),
    )
    as_person(target, lambda p: create_sandbox(p, manifest, wait=wait, form=output))


@options.on_cluster
def suspend(
    names: _Names, *, output: options.ObjectOutput = ObjectFormat.TEXT, target: Target
) -> None:
    """Suspend Sandboxes: what runs in them ends, their pods go, and nothing more is billed."""
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.shaping import set_suspended  # noqa: PLC0415

    as_person(target, lambda p: set_suspended(p, names, suspend=True, form=output))


@options.on_cluster
def resume(
    names: _Names, *, output: options.ObjectOutput = ObjectFormat.TEXT, target: Target
) -> None:
    """Resume suspended Sandboxes, each with a new pod."""
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.shaping import set_suspended  # noqa: PLC0415

    as_person(target, lambda p: set_suspended(p, names, suspend=False, form=output))


@options.on_cluster
def keep_alive(
    names: _Names,
    seconds: Annotated[int, duration("--for", help="How long from now they should at least live.")],
    *,
    output: options.ObjectOutput = ObjectFormat.TEXT,
    target: Target,
) -> None:
    """Let Sandboxes live at least this long from now, by raising their lifetime. One that already
    lives longer is left as it is."""
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.shaping import extend_lifetimes  # noqa: PLC0415

    as_person(target, lambda p: extend_lifetimes(p, names, seconds, form=output))


@options.on_cluster
def delete(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Sandboxes or Executions, or sandbox/NAME, execution/NAME, function/NAME.",
            autocompletion=complete_objects,
        ),
    ],
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until they are gone.")
    ] = True,
    *,
    target: Target,
) -> None:
    """Delete Sandboxes, Executions and Functions. Running programs are cancelled; rows in SQL
    stay."""
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.shaping import delete_objects  # noqa: PLC0415

    as_person(target, lambda p: delete_objects(p, names, wait=wait))
