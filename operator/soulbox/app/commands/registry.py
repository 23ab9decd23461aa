"""What `soulbox tools list`, `show` and `export` do: Functions as the API server has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.person import Manifest, Person, status_of
from soulbox.app.commands.show import (
    age,
    print_json,
    print_objects,
    print_table,
    seconds,
    table,
)
from soulbox.app.commands.tables import RowFormat, format_rows
from soulbox.app.commands.terminal import one_line, tell
from soulbox.kube.resources import CONTROLLER_REVISIONS, EXECUTIONS, FUNCTIONS
from soulbox.model.errors import CommandError, KubeNotFound, SoulBoxError
from soulbox.model.keys import API_VERSION
from soulbox.model.states import FunctionState
from soulbox.model.times import parse_time
from soulbox.pure.tool_formats import mcp_name

_LAST_CALLS: Final = 10
# Of the figures of calls.
_DAYS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tools are meant; None is any.

    Attributes:
        names: none means all.
        tags: a tool has all of them.
    """

    everywhere: bool = False
    selector: str | None = None
    names: tuple[str, ...] = ()
    category: str | None = None
    tags: tuple[str, ...] = ()


async def find_tools(person: Person, wanted: Wanted) -> list[Manifest]:
    """Functions that are tools, by namespace and name.

    Raises:
        CommandError: the namespace does not exist, or none is named so.
    """
    scope = None if wanted.everywhere else person.namespace
    found = await person.kube.list(FUNCTIONS, scope, label_selector=wanted.selector)
    tools = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one
        for one in found
        if "tool" in one["spec"] and _fits(one["spec"]["tool"], wanted)
    }
    for name in wanted.names:
        if not any(known == name for _, known in tools):
            await person.find(FUNCTIONS, name)  # says what there is instead
            raise CommandError(f"Function {name} is no such tool: it has no spec.tool that fits")
    if not tools and scope is not None:
        await person.check_namespace()
    return [
        {"apiVersion": API_VERSION, "kind": FUNCTIONS.kind, **tools[key]}
        for key in sorted(tools)
        if not wanted.names or key[1] in wanted.names
    ]


def _fits(tool: Mapping[str, Any], wanted: Wanted) -> bool:
    has_category = wanted.category in (None, tool.get("category"))
    return has_category and set(wanted.tags) <= set(tool.get("tags") or ())


async def list_tools(person: Person, wanted: Wanted, form: ObjectFormat) -> None:
    """A table of them."""
    tools = await find_tools(person, wanted)
    if form is ObjectFormat.JSON:
        print_json(tools)
        return
    if form is not ObjectFormat.TEXT:
        print_objects(tools, form)
        return
    if not tools:
        where = "any namespace" if wanted.everywhere else f"namespace {person.namespace}"
        print(f"no tools in {where}")
        return
    now = person.clock.now()
    columns = ("TOOL", "VERSION", "STATE", "CATEGORY", "TAGS", "TITLE", "AGE")
    print_table(table("", columns, [_row(one, now) for one in tools]))


def _row(function: Manifest, now: datetime) -> tuple[str, ...]:
    metadata, status, tool = function["metadata"], status_of(function), function["spec"]["tool"]
    state = str(status.get("state", ""))
    return (
        mcp_name(metadata["namespace"], metadata["name"]),
        str(status.get("version", "")),
        f"{state}, deprecated" if "deprecated" in function["spec"] else state,
        str(tool.get("category", "")),
        ",".join(tool.get("tags") or ()),
        str(tool.get("title", "")),
        _age(metadata["creationTimestamp"], now),
    )


def _age(moment: str, now: datetime) -> str:
    then = parse_time(moment)
    return "" if then is None else age((now - then).total_seconds())


async def published_spec(
    person: Person, function: Manifest, version: str | None = None
) -> Mapping[str, Any] | None:
    """The spec of a version, of the current one where none is named; None: nothing is published.

    Raises:
        CommandError: there is no such version (any more).
    """
    status, name = status_of(function), function["metadata"]["name"]
    versions = {one["version"]: one["revision"] for one in status.get("versions") or ()}
    if version is None:
        is_seen = status.get("observedGeneration") == function["metadata"].get("generation")
        if is_seen and status.get("state") in (FunctionState.READY, FunctionState.SUSPENDED):
            spec: Mapping[str, Any] = function["spec"]
            return spec
        version = status.get("version")
        if version is None:
            return None
    gone = CommandError(
        f"Function {name} has no version {version}; there are"
        f" {', '.join(versions) or 'none that can be called'}"
    )
    if version not in versions:
        raise gone
    try:
        revision = await person.kube.get(
            CONTROLLER_REVISIONS, versions[version], function["metadata"]["namespace"]
        )
    except KubeNotFound as error:
        raise gone from error
    # What a version does not hold is the Function's.
    return {
        **{field: value for field, value in function["spec"].items() if field == "deprecated"},
        **revision["data"]["spec"],
    }


async def show_tool(
    person: Person, name: str, version: str | None, form: ObjectFormat, dsn: str | None
) -> None:
    """All that is known of a Function in one of its versions."""
    function = await person.find(FUNCTIONS, name)
    function = {"apiVersion": API_VERSION, "kind": FUNCTIONS.kind, **function}
    spec = await published_spec(person, function, version)
    if form is not ObjectFormat.TEXT:
        shown = function if spec is None else {**function, "spec": spec}
        print_objects([shown], form)
        return
    calls = await person.kube.list(
        EXECUTIONS, person.namespace, field_selector=f"spec.functionRef.name={name}"
    )
    calls.sort(key=lambda one: str(one["metadata"]["creationTimestamp"]))
    facts = facts_of_tool(function, spec, version)
    facts += [("Call", _call(one)) for one in calls[-_LAST_CALLS:]]
    print_table(table("", ("", ""), facts, wrapped=("",)))
    if dsn is not None:
        await _show_figures(dsn, function["metadata"]["uid"])


def facts_of_tool(
    function: Manifest, spec: Mapping[str, Any] | None, version: str | None
) -> list[tuple[str, str]]:
    """Label and value; what is not there is left out.

    Args:
        spec: of the version, None where nothing is published.
    """
    metadata, status = function["metadata"], status_of(function)
    known: Mapping[str, Any] = function["spec"] if spec is None else spec
    tool = known.get("tool") or {}
    current = status.get("version")
    facts: list[tuple[str, Any]] = [
        ("Function", f"{metadata['namespace']}/{metadata['name']}"),
        ("Tool", mcp_name(metadata["namespace"], metadata["name"]) if tool else None),
        ("Id", status.get("toolID") if version in (None, current) else None),
        ("State", " ".join(str(status[k]) for k in ("state", "reason") if status.get(k))),
        ("Message", one_line(str(status.get("message", "")))),
        ("Version", version or current),
        ("Deprecated", function["spec"].get("deprecated")),
        ("Title", tool.get("title")),
        ("Description", known.get("description")),
        ("Category", tool.get("category")),
        ("Tags", ", ".join(tool.get("tags") or ())),
        ("Type", tool.get("type")),
        ("Annotations", _json(tool.get("annotations"))),
        ("Class", known.get("className")),
        ("Sandboxes", status.get("readySandboxes")),
        ("Handler", known.get("handler")),
        ("Input", _json(known.get("inputSchema"))),
        ("Result", _json(known.get("outputSchema"))),
    ]
    facts += [
        ("Published", f"{one['version']}  {one.get('publishedTime', '')}".rstrip())
        for one in status.get("versions") or ()
    ]
    return [(label, str(value)) for label, value in facts if value not in (None, "")]


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _call(execution: Manifest) -> str:
    metadata, status = execution["metadata"], status_of(execution)
    parts = (
        metadata["name"],
        status.get("functionVersion", ""),
        "/".join(str(status[field]) for field in ("state", "reason") if status.get(field)),
        seconds(status.get("durationMilliseconds")),
        metadata["creationTimestamp"],
    )
    return "  ".join(part for part in parts if part)


async def _show_figures(dsn: str, uid: str) -> None:
    from soulbox.store.pool import open_store  # noqa: PLC0415 - psycopg: 0.2 s
    from soulbox.store.tool_registry import ToolRegistry  # noqa: PLC0415

    try:
        store = await open_store(dsn, max_size=1)
        try:
            async with store.transaction() as tx:
                rows = await ToolRegistry(tx).stats(_DAYS, "version", function_uid=UUID(uid))
        finally:
            await store.close()
    except SoulBoxError as error:  # what the cluster knows is shown all the same
        tell(f"no figures of its calls: {error}")
        return
    if rows:
        print(f"\nCalls of the last {_DAYS} days:")
        print(format_rows(rows, RowFormat.TABLE), end="")


async def tool_definitions(
    person: Person, wanted: Wanted, versions: Mapping[str, Sequence[str | None]], *, pinned: bool
) -> Sequence[tuple[str, str, Mapping[str, Any], str | None]]:
    """Namespace, name, spec and named version of the tools that can be called, sorted; stderr names
    the others.

    Args:
        versions: of these Functions; None, and of all others, is the current one.
        pinned: the current one is named too.
    """
    found = []
    for function in await find_tools(person, wanted):
        namespace, name = function["metadata"]["namespace"], function["metadata"]["name"]
        for version in versions.get(name, (None,)):
            spec = await published_spec(person, function, version)
            if spec is None or "tool" not in spec:
                words = "it has no version" if version is None else f"version {version} is none"
                tell(f"{namespace}/{name} is left out: {words} that can be called as a tool")
            elif function["spec"].get("suspend"):
                tell(f"{namespace}/{name} is left out: it is suspended")
            else:
                named = status_of(function).get("version") if pinned else None
                found.append((namespace, name, spec, version or named))
    return found
