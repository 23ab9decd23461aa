"""A server on loopback in a runner's place, as honest or hostile as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from soulbox.box.transport import PodAddress

POD_UID = "0b0e7f0c-5a5e-4a55-9d5e-3f0a1c2b3d4e"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def document(**changes: Any) -> dict[str, Any]:
    """A run that is running."""
    return {
        "uid": "u-1",
        "attempt": 1,
        "state": "Running",
        "acceptedTime": "2026-03-04T05:06:07Z",
        "startTime": "2026-03-04T05:06:07Z",
    } | changes


def json_reply(
    body: object, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A JSON reply."""
    return web.Response(
        body=json.dumps(body).encode(),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def error_reply(status: int, code: str, **extra: Any) -> web.Response:
    """An error as the contract says."""
    return json_reply({"error": {"code": code, "message": f"is {code}"}, **extra}, status)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[PodAddress]:
    """A real HTTP server that answers every call with `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    try:
        assert server.port is not None
        yield PodAddress(POD_UID, "127.0.0.1", server.port)
    finally:
        await server.close()


@asynccontextmanager
async def raw_serving(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[PodAddress]:
    """A TCP server that need not speak HTTP. It hangs up when `talk` returns."""
    running: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await talk(reader, writer)
            writer.close()
        except (ConnectionError, asyncio.CancelledError):
            writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield PodAddress(POD_UID, "127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
