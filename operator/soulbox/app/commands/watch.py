"""`soulbox watch`: changes as they commit."""

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from soulbox.app.commands.options_db import Config
from soulbox.schema.settings import load_settings

if TYPE_CHECKING:
    from soulbox.store.live import Change, Feed


def watch(
    sandbox: Annotated[UUID | None, typer.Option(help="Only of this Sandbox (its UID).")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    kind: Annotated[str | None, typer.Option(help="sandbox, execution or metric.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Go on after the change that was printed with this cursor.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many changes.")] = None,
    config: Config = None,
) -> None:
    """Print changes of sandboxes, executions and metrics as they commit, each once, in order.

    Goes on by itself when PostgreSQL comes back. The last word of each line is a cursor:
    give it to --since to go on after that line, also from another machine."""
    from soulbox.store.live import ChangeFilter, Feed  # noqa: PLC0415 - psycopg: 0.2 s

    settings = load_settings(config)
    feed = Feed(
        settings.database_url.get_secret_value(),
        ChangeFilter(kind=kind, sandbox_uid=sandbox, user_name=user, tenant=tenant),
        since=since,
        on_away=lambda error: print(f"soulbox: {error}; waiting for it", file=sys.stderr),
        connect_timeout_seconds=settings.connect_timeout_seconds,
    )
    try:
        asyncio.run(_print(feed, as_json=as_json, count=count))
    except BrokenPipeError:
        # Whoever read has enough; and nothing more is to be flushed into the pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)


async def _print(feed: "Feed", *, as_json: bool, count: int | None) -> None:
    printed = 0
    async for change in feed.changes():
        print(_json(change) if as_json else _line(change), flush=True)
        printed += 1
        if printed == count:
            return


def _json(change: "Change") -> str:
    return json.dumps(
        {
            "at": change.at.isoformat(),
            "kind": change.kind,
            "op": change.op,
            "uid": str(change.uid),
            "sandbox_uid": None if change.sandbox_uid is None else str(change.sandbox_uid),
            "tenant": change.tenant,
            "user_name": change.user_name,
            **change.payload,
            "cursor": change.cursor,
        }
    )


def _line(change: "Change") -> str:
    payload = change.payload
    if change.kind == "metric":
        what = f"{change.uid} cpu={payload['cpu_cores']} memory={payload['memory_bytes']}"
    else:
        what = f"{payload['namespace']}/{payload['name']} {payload['state']}"
        what += f" ({payload['reason']})" if payload.get("reason") else ""
    return f"{change.at:%H:%M:%S.%f} {change.op:6} {change.kind:9} {what} {change.cursor}"
