"""What `soulbox get` and `cancel` do."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from soulbox.app.commands.person import Manifest, Person, is_over, status_of
from soulbox.app.commands.show import age, console, mebibytes, print_json, table
from soulbox.kube.resources import EXECUTIONS, SANDBOXES, Resource
from soulbox.model.errors import CommandError, KubeNotFound
from soulbox.model.keys import API_VERSION
from soulbox.model.times import parse_time

_KINDS = {
    "execution": EXECUTIONS,
    "executions": EXECUTIONS,
    "sbe": EXECUTIONS,
    "sandbox": SANDBOXES,
    "sandboxes": SANDBOXES,
    "sbx": SANDBOXES,
}


async def show_all(person: Person, *, everywhere: bool, as_json: bool) -> None:
    """Tables of Sandboxes and Executions, newest last."""
    scope = None if everywhere else person.namespace
    sandboxes = sorted(await _list(person, SANDBOXES, scope), key=_created)
    executions = sorted(await _list(person, EXECUTIONS, scope), key=_created)
    if as_json:
        print_json([*sandboxes, *executions])
        return
    now = person.clock.now()
    screen = console()
    if not sandboxes and not executions:
        where = "any namespace" if everywhere else f"namespace {person.namespace}"
        print(f"no Sandboxes or Executions in {where}")
        return
    first = ("NAMESPACE",) if everywhere else ()
    if sandboxes:
        columns = (*first, "SANDBOX", "STATE", "CLASS", "RUNNING", "QUEUED", "NODE", "AGE")
        rows = [_sandbox_row(one, now, everywhere=everywhere) for one in sandboxes]
        screen.print(table("", columns, rows))
    if executions:
        columns = (
            *first, "EXECUTION", "STATE", "REASON", "EXIT", "DURATION", "CPU", "MEMORY",
            "SANDBOX", "AGE",
        )  # fmt: skip
        rows = [_execution_row(one, now, everywhere=everywhere) for one in executions]
        screen.print(table("", columns, rows))


async def show_one(person: Person, name: str, *, as_json: bool) -> None:
    """execution/NAME or sandbox/NAME; of a bare name an Execution, else a Sandbox."""
    kind, _, bare = name.rpartition("/")
    if kind:
        if kind not in _KINDS:
            raise CommandError(f"{kind}: write execution/NAME or sandbox/NAME")
        manifest = await person.find(_KINDS[kind], bare)
    else:
        manifest = await _find_either(person, name)
    if as_json:
        print_json(manifest)
        return
    rows = [(label, value) for label, value in _facts(manifest) if value not in ("", "None")]
    screen = console()
    screen.print(table("", ("", ""), rows), soft_wrap=True)


async def _find_either(person: Person, name: str) -> Manifest:
    for resource in (EXECUTIONS, SANDBOXES):
        try:
            return await person.kube.get(resource, name, person.namespace)
        except KubeNotFound:
            continue
    return await person.find(EXECUTIONS, name)  # explains what there is instead


async def cancel_executions(person: Person, names: list[str], *, as_json: bool) -> None:
    """Ask for the end of each; one that is over already stays as it is."""
    cancelled = []
    for name in names:
        execution = await person.find(EXECUTIONS, name)
        if is_over(execution):
            state = status_of(execution).get("state")
            if not as_json:
                print(f"execution {name} is over already: {state}")
            cancelled.append(execution)
            continue
        body = {"spec": {"cancel": True}}
        try:
            cancelled.append(await person.kube.patch(EXECUTIONS, name, body, person.namespace))
        except KubeNotFound as error:
            raise CommandError(f"Execution {name} was deleted meanwhile") from error
        if not as_json:
            print(f"execution {name} is being cancelled")
    if as_json:
        print_json(cancelled[0] if len(cancelled) == 1 else cancelled)


async def _list(person: Person, resource: Resource, scope: str | None) -> list[Manifest]:
    items = await person.kube.list(resource, scope)
    # Lists leave out what kind their items are.
    return [{"apiVersion": API_VERSION, "kind": resource.kind, **item} for item in items]


def _created(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"]["creationTimestamp"])


def _age(manifest: Mapping[str, Any], now: datetime) -> str:
    created = parse_time(_created(manifest))
    return "" if created is None else age((now - created).total_seconds())


def _sandbox_row(manifest: Manifest, now: datetime, *, everywhere: bool) -> tuple[str, ...]:
    metadata, status = manifest["metadata"], status_of(manifest)
    counts = status.get("executions") or {}
    return (
        *((metadata["namespace"],) if everywhere else ()),
        metadata["name"],
        str(status.get("state", "Created")),
        str(manifest["spec"].get("className", "")),
        str(counts.get("running", 0)),
        str(counts.get("queued", 0)),
        str((status.get("pod") or {}).get("node", "")),
        _age(manifest, now),
    )


def _execution_row(manifest: Manifest, now: datetime, *, everywhere: bool) -> tuple[str, ...]:
    metadata, spec, status = manifest["metadata"], manifest["spec"], status_of(manifest)
    usage = status.get("usage") or {}
    return (
        *((metadata["namespace"],) if everywhere else ()),
        metadata["name"],
        str(status.get("state", "Queued")),
        str(status.get("reason", "")),
        str(status.get("exitCode", status.get("signal", ""))),
        _seconds(status.get("durationMilliseconds")),
        _seconds(usage.get("cpuTimeMilliseconds")),
        mebibytes(usage.get("peakMemoryBytes")),
        str((spec.get("sandboxRef") or {}).get("name", "")),
        _age(manifest, now),
    )


def _seconds(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    """What is known of one object, label and value."""
    metadata, spec, status = manifest["metadata"], manifest["spec"], status_of(manifest)
    facts = [
        (str(manifest.get("kind", "Object")), f"{metadata['namespace']}/{metadata['name']}"),
        ("State", " ".join(str(status[k]) for k in ("state", "reason") if status.get(k))),
        ("Message", str(status.get("message", ""))),
        ("Class", str(spec.get("className", ""))),
        ("Sandbox", str((spec.get("sandboxRef") or {}).get("name", ""))),
        ("Exit code", str(status.get("exitCode", ""))),
        ("Signal", str(status.get("signal", ""))),
        ("Created", _created(manifest)),
        ("Started", str(status.get("startTime", ""))),
        ("Ended", str(status.get("completionTime") or status.get("terminationTime") or "")),
    ]
    if "durationMilliseconds" in status:
        facts.append(("Duration", _seconds(status["durationMilliseconds"])))
    pod = status.get("pod") or {}
    facts += [("Pod", str(pod.get("name", ""))), ("Node", str(pod.get("node", "")))]
    facts += _nested("Usage", status.get("usage"), _usage_words)
    facts += _nested("Billing", status.get("billing"), lambda _, value: str(value))
    facts += _nested("Receipt", status.get("receipt"), _plain)
    output = status.get("output") or {}
    for stream in ("stdout", "stderr"):
        if stream in output:
            cut = ", shown in part" if output.get(f"{stream}Truncated") else ""
            facts.append((stream, f"{output.get(f'{stream}Bytes', 0)} bytes{cut}"))
    return facts


def _nested(
    label: str, document: Mapping[str, Any] | None, words: Callable[[str, Any], str]
) -> list[tuple[str, str]]:
    """A line a member, its unit not in the label but in the value."""
    return [
        (f"{label} {key.removesuffix('Milliseconds').removesuffix('Bytes')}", words(key, value))
        for key, value in (document or {}).items()
    ]


def _usage_words(key: str, value: Any) -> str:
    if key.endswith("Bytes"):
        return mebibytes(int(value))
    return _seconds(value) if key.endswith("Milliseconds") else str(value)


def _plain(_: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return str(value)
