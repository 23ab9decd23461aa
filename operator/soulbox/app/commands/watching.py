"""What `soulbox top` does."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from soulbox.app.commands.person import Manifest, Person, status_of
from soulbox.app.commands.show import age, mebibytes, print_json, print_table, table
from soulbox.kube.resources import EXECUTIONS, POD_METRICS, SANDBOXES
from soulbox.model.errors import KubeNotFound, KubeRefused, KubeUnavailable, SoulBoxError
from soulbox.model.keys import MANAGED_BY, MANAGED_BY_LABEL
from soulbox.model.manifests import sandbox_ref
from soulbox.model.quantity import parse_bytes, parse_millicores
from soulbox.model.times import parse_time

if TYPE_CHECKING:
    from soulbox.store.pool import Store

# Older samples say nothing of now: four of the default interval.
_FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a Sandbox uses now; None is not known."""

    cpu_cores: float | None = None
    memory_bytes: int | None = None


class Source(Protocol):
    """Where figures come from."""

    async def read(self, sandboxes: list[Manifest]) -> Mapping[str, Figures]:
        """By the Sandbox's uid; one that is missing is not known."""
        ...


class MetricsServer:
    """metrics.k8s.io, by the pods' names."""

    def __init__(self, person: Person) -> None:
        self._person = person

    async def read(self, sandboxes: list[Manifest]) -> Mapping[str, Figures]:
        """Raises KubeNotFound, KubeRefused or KubeUnavailable where there is none."""
        spaces = {one["metadata"]["namespace"] for one in sandboxes}
        scope = spaces.pop() if len(spaces) == 1 else None
        selector = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
        pods = await self._person.kube.list(POD_METRICS, scope, label_selector=selector)
        by_pod = {(p["metadata"]["namespace"], p["metadata"]["name"]): p for p in pods}
        found = {}
        for sandbox in sandboxes:
            metadata = sandbox["metadata"]
            pod = (status_of(sandbox).get("pod") or {}).get("name")
            measured = by_pod.get((metadata["namespace"], str(pod)))
            if measured is not None:
                used = [c.get("usage") or {} for c in measured.get("containers") or ()]
                found[metadata["uid"]] = Figures(
                    cpu_cores=sum(parse_millicores(u.get("cpu", "0")) for u in used) / 1000,
                    memory_bytes=sum(parse_bytes(u.get("memory", "0")) for u in used),
                )
        return found


class Samples:
    """The operator's samples in PostgreSQL."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    async def read(self, sandboxes: list[Manifest]) -> Mapping[str, Figures]:
        """Raises StoreUnavailable or StoreRefused."""
        from soulbox.store.samples import SampleStore  # noqa: PLC0415 - psycopg: 0.2 s

        uids = [UUID(one["metadata"]["uid"]) for one in sandboxes]
        async with self._store.transaction() as tx:
            newest = await SampleStore(tx).newest(uids, _FRESH_SECONDS)
        return {
            str(row.sandbox_uid): Figures(
                cpu_cores=None if row.cpu_cores is None else float(row.cpu_cores),
                memory_bytes=row.memory_bytes,
            )
            for row in newest
        }


class Nothing:
    """No source at hand."""

    async def read(self, sandboxes: list[Manifest]) -> Mapping[str, Figures]:
        """Knows nothing."""
        del sandboxes
        return {}


async def show_top(
    person: Person, *, everywhere: bool, every: float, once: bool, dsn: str | None, as_json: bool
) -> None:
    """One look, or one every so many seconds on a terminal."""
    scope = None if everywhere else person.namespace
    screen = Console()
    async with AsyncExitStack() as stack:
        source, hint = await _choose(person, scope, dsn, stack)
        if once or not screen.is_terminal:
            rows = await _look(person, scope, source)
            if as_json:
                print_json({"apiVersion": "v1", "kind": "SandboxUsageList", "items": rows})
            else:
                if rows:
                    print_table(_table(rows, everywhere=everywhere))
                else:
                    print("no Sandboxes")
                if hint:
                    print(hint)
            return
        with Live(console=screen, auto_refresh=False) as live:
            while True:
                rows = await _look(person, scope, source)
                live.update(_render(rows, everywhere=everywhere, hint=hint), refresh=True)
                await asyncio.sleep(every)


async def _choose(
    person: Person, scope: str | None, dsn: str | None, stack: AsyncExitStack
) -> tuple[Source, str]:
    """The best source that answers, and what to say about it."""
    try:
        await anext(person.kube.pages(POD_METRICS, scope))
    except (KubeNotFound, KubeRefused, KubeUnavailable):
        pass  # most small clusters have none
    else:
        return MetricsServer(person), ""
    if dsn is None:
        return Nothing(), (
            "CPU and memory are not known: the cluster has no metrics-server (or you have no right"
            " to read it), and SOULBOX_DSN is not set"
        )
    from soulbox.store.pool import open_store  # noqa: PLC0415 - psycopg: 0.2 s

    store = await open_store(dsn, max_size=1)
    stack.push_async_callback(store.close)
    try:
        await Samples(store).read([])
    except SoulBoxError as error:
        return Nothing(), f"CPU and memory are not known: {error}"
    return Samples(store), ""


async def _look(person: Person, scope: str | None, source: Source) -> list[dict[str, Any]]:
    """A row a Sandbox, as JSON shows it."""
    sandboxes = sorted(
        await person.kube.list(SANDBOXES, scope),
        key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"]),
    )
    running: dict[tuple[str, str], list[str]] = {}
    for execution in await person.kube.list(EXECUTIONS, scope):
        name = sandbox_ref(execution)
        if name and status_of(execution).get("state") == "Running":
            key = (execution["metadata"]["namespace"], name)
            running.setdefault(key, []).append(execution["metadata"]["name"])
    figures = await source.read(sandboxes) if sandboxes else {}
    now = person.clock.now()
    rows = []
    for sandbox in sandboxes:
        metadata, status = sandbox["metadata"], status_of(sandbox)
        known = figures.get(metadata["uid"], Figures())
        created = parse_time(metadata["creationTimestamp"])
        rows.append(
            {
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "state": status.get("state", "Created"),
                "running": sorted(running.get((metadata["namespace"], metadata["name"]), [])),
                "queued": (status.get("executions") or {}).get("queued", 0),
                "cpuCores": known.cpu_cores,
                "memoryBytes": known.memory_bytes,
                "ageSeconds": 0 if created is None else int((now - created).total_seconds()),
            }
        )
    return rows


def _render(rows: list[dict[str, Any]], *, everywhere: bool, hint: str) -> RenderableType:
    shown: RenderableType = _table(rows, everywhere=everywhere) if rows else Text("no Sandboxes")
    return Group(shown, Text(hint, style="dim")) if hint else shown


def _table(rows: list[dict[str, Any]], *, everywhere: bool) -> Table:
    first = ("NAMESPACE",) if everywhere else ()
    columns = (*first, "SANDBOX", "STATE", "EXECUTIONS", "QUEUED", "CPU", "MEMORY", "AGE")
    lines = [
        (
            *((row["namespace"],) if everywhere else ()),
            row["name"],
            row["state"],
            ", ".join(row["running"][:2]) + (" …" if len(row["running"]) > 2 else "") or "-",
            str(row["queued"]),
            "-" if row["cpuCores"] is None else f"{row['cpuCores']:.2f}",
            mebibytes(row["memoryBytes"]),
            age(row["ageSeconds"]),
        )
        for row in rows
    ]
    return table("", columns, lines)
