"""`soulbox tools …`: the registry of tools, which are Functions."""

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soulbox.app.commands import options
from soulbox.app.commands.complete import complete_functions
from soulbox.app.commands.options import ObjectFormat
from soulbox.app.commands.options_db import Config
from soulbox.app.commands.settings import load_settings
from soulbox.app.commands.tables import RowFormat, format_rows
from soulbox.app.commands.target import Target
from soulbox.app.commands.terminal import clean, tell

if TYPE_CHECKING:
    from soulbox.app.commands.replaying import Replay
    from soulbox.store.pool import Store

app = typer.Typer(no_args_is_help=True, help="The registry of tools.")

_Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In every namespace.")]
_Selector = Annotated[
    str | None,
    typer.Option("--selector", "-l", help="Only Functions with these labels, such as a=b,c=d."),
]
_Category = Annotated[str | None, typer.Option(help="Only tools of this category.")]
_Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only tools with this tag; can be repeated: all of them."),
]
_Rows = Annotated[RowFormat, typer.Option("--output", "-o", help="table, json or csv.")]


class ToolFormat(StrEnum):
    """Whose tools are exported."""

    MCP = "mcp"
    OPENAI = "openai"


@app.command("list")
@options.on_cluster
def list_tools(
    all_namespaces: _Everywhere = False,
    selector: _Selector = None,
    category: _Category = None,
    tag: _Tags = None,
    *,
    output: options.ObjectOutput = ObjectFormat.TEXT,
    target: Target,
) -> None:
    """List the tools of a namespace, as the cluster has them."""
    from soulbox.app.commands import registry  # noqa: PLC0415
    from soulbox.app.commands.person import as_person  # noqa: PLC0415

    wanted = registry.Wanted(
        everywhere=all_namespaces, selector=selector, category=category, tags=tuple(tag or ())
    )
    as_person(target, lambda p: registry.list_tools(p, wanted, output))


@app.command()
def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(help='As in a web search: resize -mail, "an image", thu*. Default: all.'),
    ] = None,
    category: _Category = None,
    tag: _Tags = None,
    tool_type: Annotated[
        str | None, typer.Option("--type", help="Only tools of this type.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only tools of this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    output: _Rows = RowFormat.TABLE,
    config: Config = None,
) -> None:
    """Search the tools of all namespaces in PostgreSQL, the best first.

    Finds what the login of the DSN may see, by name, title, tags and description."""
    import asyncio  # noqa: PLC0415

    from soulbox.app.commands.query import read  # noqa: PLC0415
    from soulbox.store.tool_registry import ToolFilter, ToolRegistry  # noqa: PLC0415 - psycopg

    wanted = ToolFilter(
        query=" ".join(words) if words else None,
        tags=tuple(tag) if tag else None,
        category=category,
        type=tool_type,
        tenant=tenant,
    )
    settings = load_settings(config)
    page, note = asyncio.run(
        read(settings, lambda tx: ToolRegistry(tx).search(wanted, limit=limit))
    )
    rows = page.rows
    if output is RowFormat.TABLE:
        shown = ("tool_id", "title", "tags", "state", "deprecated", "headline")
        rows = [{name: row[name] for name in shown} for row in rows]
    typer.echo(format_rows(rows, output), nl=False)
    if note:
        typer.echo(note, err=True)
    if page.next_cursor is not None:
        tell(f"there are more than {limit}: ask for more with --limit, or for fewer by other words")


@app.command()
@options.on_cluster
def show(
    function: Annotated[
        str,
        typer.Argument(
            help="Name of the Function; @VERSION shows another version than the current one.",
            metavar="NAME[@VERSION]",
            autocompletion=complete_functions,
        ),
    ],
    dsn_file: options.DsnFile = None,
    *,
    output: options.ObjectOutput = ObjectFormat.TEXT,
    target: Target,
) -> None:
    """Show a Function: what it is told to do, its schemas, versions and last calls.

    With a DSN (SOULBOX_DSN or SOULBOX_DSN_FILE) also the figures of its calls.
    """
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.app.commands.registry import show_tool  # noqa: PLC0415

    name, version = options.function_of(function)
    dsn = options.find_dsn(dsn_file)
    as_person(target, lambda p: show_tool(p, name, version, output, dsn))


@app.command()
@options.on_cluster
def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Functions, or single versions of them; default: all tools.",
            metavar="[NAME[@VERSION]]...",
            autocompletion=complete_functions,
        ),
    ] = None,
    form: Annotated[
        ToolFormat, typer.Option("--format", help="MCP's tools/list, or OpenAI's function tools.")
    ] = ToolFormat.MCP,
    pinned: Annotated[
        bool,
        typer.Option(
            "--pinned",
            help="Put the version into each name: acme.resize.1_2_0, acme__resize__1_2_0.",
        ),
    ] = False,
    all_namespaces: _Everywhere = False,
    selector: _Selector = None,
    category: _Category = None,
    tag: _Tags = None,
    *,
    target: Target,
) -> None:
    """Print the definitions of tools as JSON, for an agent; always in the same order.

    NAME@VERSION is a version as it was published, with the version in its name."""
    import orjson  # noqa: PLC0415

    from soulbox.app.commands import registry  # noqa: PLC0415
    from soulbox.app.commands.person import as_person  # noqa: PLC0415
    from soulbox.pure.tool_formats import to_mcp, to_openai  # noqa: PLC0415

    versions: dict[str, list[str | None]] = {}
    for word in dict.fromkeys(names or ()):
        function, version = options.function_of(word)
        versions.setdefault(function, []).append(version)
    wanted = registry.Wanted(
        everywhere=all_namespaces,
        selector=selector,
        names=tuple(versions),
        category=category,
        tags=tuple(tag or ()),
    )
    found = as_person(
        target, lambda p: registry.tool_definitions(p, wanted, versions, pinned=pinned)
    )
    made = [(to_mcp if form is ToolFormat.MCP else to_openai)(*one) for one in found]
    document = {"tools": made} if form is ToolFormat.MCP else made
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    typer.echo(clean(text) if sys.stdout.isatty() else text)


@app.command()
@options.on_cluster
def replay(
    function: Annotated[
        str,
        typer.Argument(
            help="The Function; its namespace may stand before it.",
            metavar="[NAMESPACE/]NAME",
            autocompletion=complete_functions,
        ),
    ],
    against: Annotated[
        Path,
        typer.Option(
            "--against",
            help="Manifest of the Function with its new inputSchema, or a schema alone.",
        ),
    ],
    days: Annotated[
        int, typer.Option(min=1, max=3660, help="Calls of how many days are judged.")
    ] = 30,
    config: Config = None,
    *,
    output: _Rows = RowFormat.TABLE,
    target: Target,
) -> None:
    """Judge the inputs of past calls by another inputSchema, before it is published.

    Prints the calls that it would refuse and ends with 1 where there are any. Inputs come from
    PostgreSQL; those that were refused when they came are not judged again.
    """
    from soulbox.app.commands.db import with_store  # noqa: PLC0415
    from soulbox.app.commands.replaying import read_schema  # noqa: PLC0415
    from soulbox.app.commands.replaying import replay as judge  # noqa: PLC0415

    namespace, _, name = function.rpartition("/")
    if not name or "@" in name:
        raise typer.BadParameter(f"{function}: write NAME, or NAMESPACE/NAME, without a version")
    schema = read_schema(against, name)
    namespace = namespace or _namespace_of(target)
    since = datetime.now(UTC) - timedelta(days=days)

    async def work(store: "Store") -> "Replay":
        return await judge(store, namespace, name, schema, since)

    done = with_store(load_settings(config), work)
    if done.rows or output is not RowFormat.TABLE:
        typer.echo(format_rows(done.rows, output), nl=False)
    then = f"; {done.refused_then} more were refused when they came" if done.refused_then else ""
    tell(f"{len(done.rows)} of {done.judged} calls of {days} days would be refused{then}")
    if done.rows:
        raise typer.Exit(1)


def _namespace_of(target: Target) -> str:
    if target.namespace is not None:
        return target.namespace
    from soulbox.app.commands.person import Person, as_person  # noqa: PLC0415

    async def namespace(person: Person) -> str:
        return person.namespace

    return as_person(target, namespace)
