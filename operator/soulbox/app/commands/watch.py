"""`soulbox watch`: changes as they commit."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from soulbox.app.commands.options import Format
from soulbox.app.commands.options_db import Config
from soulbox.app.commands.query import read
from soulbox.app.commands.settings import load_settings
from soulbox.app.commands.terminal import clean, tell
from soulbox.model.errors import InvalidRequest

if TYPE_CHECKING:
    from soulbox.schema.settings import Settings
    from soulbox.store.live import Change


class Kind(StrEnum):
    """What changes."""

    SANDBOX = "sandbox"
    EXECUTION = "execution"
    FUNCTION = "function"
    METRIC = "metric"


def watch(
    sandbox: Annotated[
        str | None, typer.Option(help="Only of this Sandbox: its UID, or NAMESPACE/NAME.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    kind: Annotated[
        Kind | None, typer.Option(help="Only of this kind; default: all of them.")
    ] = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Also show samples of CPU and memory.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Continue after the change that was printed with this cursor."),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after this many changes.")] = None,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="text, or json: one object a line.")
    ] = Format.TEXT,
    config: Config = None,
) -> None:
    """Print changes of Sandboxes and Executions as they commit, each once, in order.

    Continues by itself when PostgreSQL comes back. The last word of each line is a cursor: give it
    to --since to continue after that line, even on another machine."""
    settings = load_settings(config)
    shown = frozenset((kind,)) if kind else frozenset(Kind) - (set() if metrics else {Kind.METRIC})
    show = _json if output is Format.JSON else _line
    try:
        asyncio.run(
            _follow(settings, kind, (sandbox, user, tenant), since, _Printer(shown, show, count))
        )
    except InvalidRequest as error:
        if error.field != "cursor":
            raise
        raise type(error)("--since", *error.words) from error
    except BrokenPipeError:
        # The reader has had enough; nothing more must be flushed into the pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)


@dataclass(slots=True)
class _Printer:
    """Prints changes of some kinds, so many."""

    kinds: frozenset[Kind]
    show: "Callable[[Change], str]"
    left: int | None

    def is_done_with(self, change: "Change") -> bool:
        """Print it if it is wanted; whether that was the last one."""
        if change.kind not in self.kinds:
            return False
        print(self.show(change), flush=True)
        if self.left is not None:
            self.left -= 1
        return self.left == 0


async def _follow(
    settings: "Settings",
    kind: Kind | None,
    of: tuple[str | None, str | None, str | None],
    since: str | None,
    printer: _Printer,
) -> None:
    from soulbox.store.live import ChangeFilter, Feed  # noqa: PLC0415 - psycopg: 0.2 s

    sandbox, user, tenant = of
    uid = None if sandbox is None else await _sandbox_uid(settings, sandbox)
    feed = Feed(
        settings.database_url.get_secret_value(),
        ChangeFilter(kind=kind, sandbox_uid=uid, user_name=user, tenant=tenant),
        since=since,
        on_away=lambda error: tell(f"{error}; waiting for it"),
        connect_timeout_seconds=settings.connect_timeout_seconds,
    )
    async for change in feed.changes():
        if printer.is_done_with(change):
            return


async def _sandbox_uid(settings: "Settings", text: str) -> UUID:
    """Raises InvalidRequest: it is no UID and no name of one that is recorded."""
    from soulbox.store.reports import find_object  # noqa: PLC0415 - psycopg: 0.2 s

    uid, _ = await read(settings, lambda tx: find_object(tx, "--sandbox", ("sandbox",), text))
    return uid


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
    at = change.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return clean(f"{at} {change.op:6} {change.kind:9} {what} {change.cursor}")
