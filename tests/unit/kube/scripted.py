"""A server on loopback in the API server's place that answers what a test scripts."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    authorization: str | None
    body: Any
    impersonation: list[tuple[str, str]] = field(default_factory=list, compare=False)
    url: str = field(default="", compare=False)  # as it stood in the request


def reply(status: int, body: Any = None, **headers: str) -> Answer:
    """JSON (or raw bytes) with a status; header names have underscores for dashes."""
    raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()

    async def answer(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=raw, headers=named)

    return answer


def status(code: int, reason: str, message: str = "words", **headers: str) -> Answer:
    """The API server's Status object."""
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message}
    return reply(code, body, **headers)


async def reset(request: web.Request) -> web.StreamResponse:
    """The connection breaks before a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    """The connection breaks in the middle of the body."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"kind":')
    assert request.transport is not None
    request.transport.abort()
    return response


class Scripted:
    """Answers one after the other, and what was asked. The last answer stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: deque[Answer] = deque()
        self.url = ""
        self._news = asyncio.Event()

    async def wait_for(self, count: int) -> None:
        """Until so many requests came."""
        async with asyncio.timeout(10):
            while len(self.asked) < count:
                self._news.clear()
                await self._news.wait()

    def script(self, *answers: Answer) -> None:
        """What comes next."""
        self.answers.extend(answers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request, give the next answer."""
        raw = await request.read()
        self.asked.append(
            Asked(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                content_type=request.content_type,
                authorization=request.headers.get("Authorization"),
                body=json.loads(raw) if raw else None,
                impersonation=[
                    one for one in request.headers.items() if one[0].startswith("Impersonate-")
                ],
                url=request.raw_path,
            )
        )
        self._news.set()
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@asynccontextmanager
async def serving() -> AsyncIterator[Scripted]:
    """Such a server within the block."""
    scripted = Scripted()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", scripted.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        scripted.url = f"http://127.0.0.1:{server.port}"
        yield scripted


def write_kubeconfig(folder: Path, server: str, **user: Any) -> str:
    """A kubeconfig with that user's credentials; its path."""
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return str(path)
