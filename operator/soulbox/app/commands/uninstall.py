"""`soulbox uninstall`: everything of SoulBox leaves the cluster; PostgreSQL keeps the record."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from soulbox.app.uninstall import Plan, Uninstaller

# A pod's grace period is 5 s; the garbage collector of a busy cluster takes longer. A guess.
_GARBAGE_SECONDS = 60


def uninstall(
    kubeconfig: Annotated[
        Path | None, typer.Option(help="kubeconfig to use instead of KUBECONFIG.")
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="The operator's namespace.")
    ] = "soulbox-system",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    keep_crds: Annotated[
        bool, typer.Option("--keep-crds", help="Keep CustomResourceDefinitions and classes.")
    ] = False,
    keep_namespace: Annotated[
        bool, typer.Option("--keep-namespace", help="Keep the operator's namespace.")
    ] = False,
    deadline: Annotated[
        int, typer.Option(min=1, help="Seconds to wait until all objects are recorded.")
    ] = 120,
    give_up: Annotated[
        Path | None,
        typer.Option(
            "--give-up",
            metavar="FILE",
            help="Delete what is not recorded by then, after appending it to this file.",
        ),
    ] = None,
) -> None:
    """Remove SoulBox from the cluster, including Executions and Sandboxes. The database stays.

    Deleting install.yaml would hang: only the operator removes finalizers, once PostgreSQL has the
    final rows. Can be repeated. Run it as an administrator of the cluster.
    """
    asyncio.run(
        _uninstall(
            kubeconfig,
            namespace,
            yes=yes,
            keep_crds=keep_crds,
            keep_namespace=keep_namespace,
            deadline_seconds=deadline,
            save_to=give_up,
        )
    )


async def _uninstall(
    kubeconfig: Path | None,
    namespace: str,
    *,
    yes: bool,
    keep_crds: bool,
    keep_namespace: bool,
    deadline_seconds: int,
    save_to: Path | None,
) -> None:
    from rich.console import Console  # noqa: PLC0415

    from soulbox.app.uninstall import Uninstaller  # noqa: PLC0415
    from soulbox.kube.auth import Credentials  # noqa: PLC0415
    from soulbox.kube.client import KubeClient  # noqa: PLC0415
    from soulbox.kube.clock import ServerClock  # noqa: PLC0415

    credentials = Credentials(None if kubeconfig is None else str(kubeconfig))
    try:
        with Console(stderr=True).status("looking ...") as status:
            steps = Uninstaller(
                KubeClient(credentials, ServerClock()),
                namespace,
                tell=lambda what, left: status.update(f"{what}: {left}"),
            )
            plan = await steps.plan()
            if plan.empty:
                typer.echo("nothing of SoulBox is in this cluster")
                return
            status.stop()
            _show(plan, namespace, keep_crds=keep_crds, keep_namespace=keep_namespace)
            if not yes:
                typer.confirm("Go on?", abort=True)
            status.start()
            await _end_objects(steps, deadline_seconds, save_to)
            if plan.helm_release is not None:
                typer.echo(
                    "Executions, Sandboxes and pods are gone. Now uninstall the Helm release, then"
                    f" run this again:\n  helm uninstall {plan.helm_release} -n {namespace}\n"
                    f"  soulbox uninstall -n {namespace}"
                )
                return
            await steps.remove_installation()
            if not keep_crds:
                await steps.remove_crds()
            if not keep_namespace and not await steps.remove_namespace():
                typer.echo(f"namespace {namespace} stays: {_why_it_stays(plan)}")
    finally:
        await credentials.close()
    typer.echo(
        "SoulBox is removed from the cluster. The database stays until you drop it: it holds the"
        " bills"
    )


async def _end_objects(steps: "Uninstaller", deadline_seconds: int, save_to: Path | None) -> None:
    from soulbox.app.uninstall import NotRecorded  # noqa: PLC0415

    try:
        await steps.end_objects(deadline_seconds)
    except NotRecorded:
        if save_to is None:
            raise
        objects = await steps.unrecorded()
        await steps.release(objects, save_to)
        typer.echo(f"{len(objects)} objects were saved in {save_to} and given up")
        # What remains is the kubelet's and the garbage collector's: nobody waits to record it.
        await steps.end_objects(max(deadline_seconds, _GARBAGE_SECONDS))


def _show(plan: "Plan", namespace: str, *, keep_crds: bool, keep_namespace: bool) -> None:
    typer.echo("This goes:")
    for kind, count in plan.counts.items():
        if keep_crds and kind in ("CustomResourceDefinition", "SandboxClass"):
            continue
        typer.echo(f"  {count:6}  {kind}")
    if plan.own_namespace and not (keep_namespace or plan.others or plan.helm_release):
        typer.echo(f"  {1:6}  Namespace ({namespace}, with every Secret in it)")


def _why_it_stays(plan: "Plan") -> str:
    if not plan.own_namespace:
        return "it was not created by the installation"
    return f"it still contains {', '.join(plan.others)}"
