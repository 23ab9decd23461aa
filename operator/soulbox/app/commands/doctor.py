"""`soulbox doctor`: checks an installation, and names the remedy for each fault."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soulbox.app.commands.settings import load_settings
from soulbox.model.errors import ConfigError
from soulbox.pure.doctor.classes import Enforcement, judge_classes, judge_network, judge_nodes
from soulbox.pure.doctor.cluster import judge_admission, judge_cluster, judge_crds, judge_rights
from soulbox.pure.doctor.database import DatabaseSeen, judge_database
from soulbox.pure.doctor.finding import Finding, Unseen, Verdict, worst
from soulbox.pure.doctor.operator import (
    Election,
    judge_leader,
    judge_records,
    judge_settings,
    judge_signing_key,
)

if TYPE_CHECKING:
    from soulbox.app.doctor.looks import Looks
    from soulbox.kube.client import KubeClient
    from soulbox.kube.clock import ServerClock
    from soulbox.schema.settings import Settings

# The API server's clock is known to a second after one answer, to less after some.
_CLOCK_LOOKS = 5


class Output(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"


def doctor(
    config: Annotated[
        Path | None,
        typer.Option("--config", help="YAML file with settings; the environment overrides it."),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="kubeconfig to use instead of KUBECONFIG.")
    ] = None,
    probe_network: Annotated[
        bool,
        typer.Option(
            "--probe-network",
            help="Also try, with pods in a namespace of their own, whether NetworkPolicies are"
            " enforced (about half a minute).",
        ),
    ] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="text or json.")] = Output.TEXT,
) -> None:
    """Check cluster, rights, CRDs, nodes, database and more; each problem comes with a remedy.

    Run it as an administrator of the cluster, with the operator's settings. Exit code 1 when
    a check fails; warnings alone are 0.
    """
    findings = asyncio.run(_examine(config, kubeconfig, probe_network, output))
    if output is Output.JSON:
        document = {"verdict": worst(findings), "findings": [asdict(one) for one in findings]}
        typer.echo(json.dumps(document, indent=2))
    else:
        _summarise(findings)
    raise typer.Exit(1 if worst(findings) is Verdict.FAIL else 0)


async def _examine(
    config: Path | None, kubeconfig: Path | None, probe: bool, output: Output
) -> list[Finding]:
    """All findings; as text each is printed as it is made."""
    findings: list[Finding] = []
    async for finding in _findings(config, kubeconfig, probe):
        findings.append(finding)
        if output is Output.TEXT:
            _print(finding)
    return findings


async def _findings(
    config: Path | None, kubeconfig: Path | None, probe: bool
) -> AsyncIterator[Finding]:
    from soulbox.kube.auth import Credentials  # noqa: PLC0415
    from soulbox.kube.client import KubeClient  # noqa: PLC0415
    from soulbox.kube.clock import ServerClock  # noqa: PLC0415

    settings, problem = _settings(config, kubeconfig)
    for finding in judge_settings(problem, _summary(settings)):
        yield finding
    skew: float | None = None
    clock = ServerClock()
    try:
        credentials = Credentials(None if settings.kubeconfig is None else str(settings.kubeconfig))
    except ConfigError as error:
        for finding in judge_cluster(Unseen(why=str(error))):
            yield finding
    else:
        try:
            kube = KubeClient(credentials, clock, timeout_seconds=settings.api_timeout_seconds)
            reached = False
            async for finding in _of_cluster(kube, clock, credentials.server, settings, probe):
                reached = reached or finding.check == "clock"
                yield finding
            skew = clock.skew_seconds if reached else None
        finally:
            await credentials.close()
    _tell("the database")
    for finding in judge_database(await _database(settings, problem, skew)):
        yield finding


async def _of_cluster(
    kube: "KubeClient", clock: "ServerClock", server: str, settings: "Settings", probe: bool
) -> AsyncIterator[Finding]:
    from soulbox.app.doctor.looks import Looks  # noqa: PLC0415
    from soulbox.app.doctor.probe import probe_network  # noqa: PLC0415

    looks = Looks(kube, clock, server)
    _tell("the API server")
    seen = await looks.cluster()
    if not isinstance(seen, Unseen):
        for _ in range(_CLOCK_LOOKS):
            again = await looks.cluster()
            seen = seen if isinstance(again, Unseen) else again
    for finding in judge_cluster(seen):
        yield finding
    if isinstance(seen, Unseen):
        return
    for what, look in _looks(looks, settings):
        _tell(what)
        for finding in await look():
            yield finding
    if probe:
        _tell("NetworkPolicies, with pods of its own (about half a minute)")
    network = await probe_network(kube) if probe else Enforcement.NOT_TRIED
    for finding in judge_network(network):
        yield finding


def _looks(
    looks: "Looks", settings: "Settings"
) -> tuple[tuple[str, Callable[[], Awaitable[list[Finding]]]], ...]:
    """What is looked at in the cluster, in this order, each with its judge."""
    namespace = settings.operator_namespace

    async def rights() -> list[Finding]:
        return judge_rights(
            await looks.rights(namespace, settings.watch_namespaces, settings.lease)
        )

    async def crds() -> list[Finding]:
        return judge_crds(await looks.crds())

    async def admission() -> list[Finding]:
        return judge_admission(await looks.admission())

    async def classes() -> list[Finding]:
        return judge_classes(await looks.classes())

    async def nodes() -> list[Finding]:
        return judge_nodes(await looks.nodes())

    async def signing_key() -> list[Finding]:
        return judge_signing_key(await looks.signing_key(namespace))

    async def leader() -> list[Finding]:
        if not settings.leader_elect:
            return judge_leader(Election.OFF)
        return judge_leader(await looks.leader(namespace, settings.lease))

    async def records() -> list[Finding]:
        spool = "" if settings.spool_directory is None else str(settings.spool_directory)
        return judge_records(await looks.held(settings.record_deadline_seconds), spool)

    return (
        ("the operator's rights", rights),
        ("CustomResourceDefinitions", crds),
        ("admission policies", admission),
        ("classes", classes),
        ("nodes", nodes),
        ("the signing key", signing_key),
        ("the leader", leader),
        ("deleted objects", records),
    )


def _settings(config: Path | None, kubeconfig: Path | None) -> "tuple[Settings, str]":
    """The operator's settings, and why they are not whole: without a database the cluster
    can be looked at all the same."""
    try:
        return load_settings(config, kubeconfig=kubeconfig), ""
    except ConfigError as error:
        try:
            return load_settings(config, kubeconfig=kubeconfig, dsn="dbname=none"), str(error)
        except ConfigError:
            raise error from None


def _summary(settings: "Settings") -> dict[str, str]:
    served = ", ".join(settings.watch_namespaces) or "all namespaces"
    return {"profile": settings.profile, "serving": served}


async def _database(
    settings: "Settings", problem: str, skew: float | None
) -> DatabaseSeen | Unseen:
    if problem:
        return Unseen(why="not checked: the settings name none")
    from soulbox.store.inspect import inspect_database  # noqa: PLC0415

    try:
        dsn = settings.database_url.get_secret_value()
    except ConfigError as error:
        return Unseen(why=str(error))
    return await asyncio.to_thread(
        inspect_database,
        dsn,
        pool_max_size=settings.pool_max_size,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        skew_seconds=skew,
    )


def _tell(what: str) -> None:
    """Progress, for a waiting person; nothing in a log."""
    if sys.stderr.isatty():
        print(f"\r\033[Kchecking {what} ...", end="", file=sys.stderr, flush=True)


def _print(finding: Finding) -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    colors = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}
    word = typer.style(f"{finding.verdict:4}", fg=colors[finding.verdict], bold=True)
    typer.echo(f"{word}  {finding.check:15}  {finding.found}")
    if finding.remedy:
        typer.echo(f"{'':21}  → {finding.remedy}")


def _summarise(findings: Sequence[Finding]) -> None:
    counts = {verdict: sum(f.verdict is verdict for f in findings) for verdict in Verdict}
    typer.echo(
        f"\n{counts[Verdict.OK]} ok, {counts[Verdict.WARN]} warnings, {counts[Verdict.FAIL]} to fix"
    )
