"""What `soulbox get` and `cancel` do."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from soulbox.app.commands.facts import facts_of
from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.person import Manifest, Person, is_over, status_of
from soulbox.app.commands.registry import facts_of_tool
from soulbox.app.commands.show import (
    Report,
    age,
    mebibytes,
    print_json,
    print_objects,
    print_table,
    seconds,
    table,
)
from soulbox.kube.resources import EXECUTIONS, FUNCTIONS, SANDBOXES, Resource
from soulbox.model.errors import CommandError, KubeNotFound
from soulbox.model.keys import API_VERSION
from soulbox.model.manifests import sandbox_ref
from soulbox.model.times import parse_time


async def show_all(
    person: Person,
    resources: Sequence[Resource],
    *,
    everywhere: bool,
    selector: str | None,
    form: ObjectFormat,
) -> None:
    """Tables of what there is, newest last.

    Raises:
        CommandError: the namespace does not exist.
    """
    scope = None if everywhere else person.namespace
    found = {
        resource: sorted(await _list(person, resource, scope, selector), key=_created)
        for resource in resources
    }
    objects = [one for items in found.values() for one in items]
    if not objects and not everywhere:
        await person.check_namespace()
    if form is ObjectFormat.JSON:
        print_json(objects)
        return
    if form is not ObjectFormat.TEXT:
        print_objects(objects, form)
        return
    if not objects:
        kinds = " or ".join(RESOURCE_WORDS[resource] for resource in resources)
        where = "any namespace" if everywhere else f"namespace {person.namespace}"
        print(f"no {kinds} in {where}")
        return
    now = person.clock.now()
    first = ("NAMESPACE",) if everywhere else ()
    for resource, items in found.items():
        if items:
            columns, row = _TABLES[resource]
            rows = [
                (*((one["metadata"]["namespace"],) if everywhere else ()), *row(one, now))
                for one in items
            ]
            print_table(table("", (*first, *columns), rows))


async def show_some(person: Person, names: Sequence[str], form: ObjectFormat) -> None:
    """Some objects with all that is known of each: execution/NAME, sandbox/NAME, function/NAME,
    or a name."""
    objects = []
    for name in names:
        resource, manifest = await person.find_one(name)
        objects.append({"apiVersion": API_VERSION, "kind": resource.kind, **manifest})
    if form is not ObjectFormat.TEXT:
        print_objects(objects, form)
        return
    for manifest in objects:
        if manifest["kind"] == FUNCTIONS.kind:
            print_table(table("", ("", ""), facts_of_tool(manifest, None, None), wrapped=("",)))
            continue
        others = []
        if manifest["kind"] == SANDBOXES.kind:
            name = manifest["metadata"]["name"]
            others = [
                one
                for one in await _list(person, EXECUTIONS, person.namespace)
                if sandbox_ref(one) == name
            ]
        rows = facts_of(manifest, sorted(others, key=_created))
        print_table(table("", ("", ""), rows, wrapped=("",)))


async def cancel_executions(person: Person, names: Sequence[str], form: ObjectFormat) -> None:
    """Ask for the end of each; one that is over already stays as it is."""
    report = Report(form)
    for word in names:
        execution = await person.find(EXECUTIONS, word.removeprefix("execution/"))
        name = execution["metadata"]["name"]
        if is_over(execution):
            state = status_of(execution).get("state")
            report.add(execution, f"execution {name} has already ended: {state}")
            continue
        body = {"spec": {"cancel": True}}
        try:
            execution = await person.kube.patch(EXECUTIONS, name, body, person.namespace)
        except KubeNotFound as error:
            raise CommandError(f"Execution {name} was deleted meanwhile") from error
        report.add(execution, f"execution {name} is being cancelled")
    report.end()


async def _list(
    person: Person, resource: Resource, scope: str | None, selector: str | None = None
) -> list[Manifest]:
    items = await person.kube.list(resource, scope, label_selector=selector)
    # Lists leave out what kind their items are.
    return [{"apiVersion": API_VERSION, "kind": resource.kind, **item} for item in items]


def _created(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"]["creationTimestamp"])


def _age(manifest: Mapping[str, Any], now: datetime) -> str:
    created = parse_time(_created(manifest))
    return "" if created is None else age((now - created).total_seconds())


def _sandbox_row(manifest: Manifest, now: datetime) -> tuple[str, ...]:
    metadata, status = manifest["metadata"], status_of(manifest)
    counts = status.get("executions") or {}
    return (
        metadata["name"],
        str(status.get("state", "Created")),
        str(manifest["spec"].get("className", "")),
        str(counts.get("running", 0)),
        str(counts.get("queued", 0)),
        str((status.get("pod") or {}).get("node", "")),
        _age(manifest, now),
    )


def _execution_row(manifest: Manifest, now: datetime) -> tuple[str, ...]:
    metadata, status = manifest["metadata"], status_of(manifest)
    usage = status.get("usage") or {}
    return (
        metadata["name"],
        str(status.get("state", "Queued")),
        str(status.get("reason", "")),
        str(status.get("exitCode", status.get("signal", ""))),
        seconds(status.get("durationMilliseconds")),
        seconds(usage.get("cpuTimeMilliseconds")),
        mebibytes(usage.get("peakMemoryBytes")),
        sandbox_ref(manifest) or "",
        _age(manifest, now),
    )


def _function_row(manifest: Manifest, now: datetime) -> tuple[str, ...]:
    metadata, status = manifest["metadata"], status_of(manifest)
    return (
        metadata["name"],
        str(status.get("state", "")),
        str(status.get("reason", "")),
        str(status.get("version", "")),
        str(manifest["spec"].get("className", "")),
        str(status.get("readySandboxes", "")),
        "yes" if "tool" in manifest["spec"] else "",
        _age(manifest, now),
    )


RESOURCE_WORDS = {SANDBOXES: "Sandboxes", EXECUTIONS: "Executions", FUNCTIONS: "Functions"}
_TABLES: Mapping[Resource, tuple[tuple[str, ...], Callable[[Manifest, datetime], tuple[str, ...]]]]
_TABLES = {
    SANDBOXES: (
        ("SANDBOX", "STATE", "CLASS", "RUNNING", "QUEUED", "NODE", "AGE"),
        _sandbox_row,
    ),
    EXECUTIONS: (
        ("EXECUTION", "STATE", "REASON", "EXIT", "DURATION", "CPU", "MEMORY", "SANDBOX", "AGE"),
        _execution_row,
    ),
    FUNCTIONS: (
        ("FUNCTION", "STATE", "REASON", "VERSION", "CLASS", "SANDBOXES", "TOOL", "AGE"),
        _function_row,
    ),
}
