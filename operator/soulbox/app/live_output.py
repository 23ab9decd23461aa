"""Output of Executions over HTTP, while they run and after, and their captured files.

GET /v1/namespaces/{namespace}/executions/{name}/output/{stdout|stderr}?offset=N&wait=S
GET /v1/namespaces/{namespace}/executions/{name}/files/{N}?offset=N&wait=S, by the
    place in status.output.files

The Execution itself decides about readers: its annotation OUTPUT_KEYS_ANNOTATION, which needs the
right to write the Execution, holds hashes of keys, and the caller shows a key. So no credential of
the cluster ever comes here, and the operator needs no right to judge one
(docs/decisions/0020-live-output-by-key.md). To everybody else nothing exists: 404.

Where the bytes come from, in this order: the pod's runner until the result is released, the
status if it holds all of them, PostgreSQL.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from aiohttp import web

from soulbox.app.output_calls import (
    KEY_HEADER,
    MAX_KEYS,
    PIECE_BYTES,
    STATE_HEADER,
    is_lost,
    whole_inline,
)
from soulbox.box.client import OutputPiece, Stream
from soulbox.box.transport import PodAddress
from soulbox.kube.cache import ObjectCache
from soulbox.model.errors import HostileReply, RunnerRefused, RunnerUnavailable, SoulBoxError
from soulbox.model.keys import OUTPUT_KEYS_ANNOTATION
from soulbox.model.marks import dispatch_mark
from soulbox.model.states import Kind
from soulbox.model.times import parse_time
from soulbox.reconcile.services import address_of
from soulbox.store.outputs import OutputKey, OutputStore
from soulbox.store.pool import Store

# Requests held open at once, and of them those that have a runner or PostgreSQL answer: what
# these hold in memory is 16 times the runner's own bound of 1 MiB.
_MAX_OPEN: Final = 2048
_MAX_BUSY: Final = 16
# Per namespace, so that neither one tenant's readers nor a slow runner keep others out. Guesses: 64
# programs with both streams; a quarter of the requests being answered.
_MAX_OPEN_OF_NAMESPACE: Final = 128
_MAX_BUSY_OF_NAMESPACE: Final = 4
# Below the minute after which proxies on the way give up.
_MAX_WAIT_SECONDS: Final = 20.0
# How often a runner is asked for news: a person calls what comes within half a second live.
_FIRST_LOOK_SECONDS: Final = 0.05
_LAST_LOOK_SECONDS: Final = 0.4
# With more readers than this each looks more rarely: all together some 160 calls a second, a
# fifth of a core, so that readers never cost the operator its work.
_READERS_AT_FULL_PACE: Final = 64

_LIVE: Final[Mapping[str, Stream]] = {"stdout": "stdout", "stderr": "stderr"}

# (uid, created_at, stream or file/N, offset, length) -> bytes, None while they are not all saved.
ReadSaved = Callable[[str, datetime, str, int, int], Awaitable[bytes | None]]


class Runner(Protocol):
    """The part of the runner's client that is used here."""

    async def read_piece(
        self, pod: PodAddress, uid: str, attempt: int, stream: Stream, offset: int
    ) -> OutputPiece:
        """Stored bytes of a stream from an offset."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What there is now from an offset."""

    content: bytes
    state: str  # Waiting, Running, Finished, Saving (over, and being saved) or Lost


class _Share:
    """What one namespace's readers take."""

    def __init__(self) -> None:
        self.open = 0
        self.busy = asyncio.Semaphore(_MAX_BUSY_OF_NAMESPACE)


class LiveOutput:
    """Answers the calls above from what the operator knows."""

    def __init__(self, cache: ObjectCache, runner: Runner, read_saved: ReadSaved) -> None:
        self._cache = cache
        self._runner = runner
        self._read_saved = read_saved
        self._shares: dict[str, _Share] = {}  # of namespaces with readers
        self._open = 0
        self._busy = asyncio.Semaphore(_MAX_BUSY)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one call of OUTPUT_PATH or FILE_PATH: 200 with bytes, perhaps none, and their
        state in a header; 400, 404, 429, or 503 when a runner or PostgreSQL cannot answer now."""
        try:
            offset = _number(request, "offset", 2**40)
            wait = float(_number(request, "wait", int(_MAX_WAIT_SECONDS)))
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        execution = self._find(request)
        if execution is None:
            return web.Response(status=404, text="no such Execution, or not with this key\n")
        place = request.match_info.get("place")
        stream = request.match_info["stream"] if place is None else f"file/{int(place)}"
        namespace = request.match_info["namespace"]
        share = self._shares.get(namespace) or _Share()
        if self._open >= _MAX_OPEN or share.open >= _MAX_OPEN_OF_NAMESPACE:
            return web.Response(status=429, headers={"Retry-After": "1"}, text="too many readers\n")
        self._shares[namespace] = share
        self._open += 1
        share.open += 1
        try:
            uid = str(execution["metadata"]["uid"])
            found = await self._follow(request, share, uid, stream, offset, wait)
        except SoulBoxError as error:
            return web.Response(status=503, headers={"Retry-After": "1"}, text=f"{error}\n"[:512])
        finally:
            self._open -= 1
            share.open -= 1
            if not share.open:
                del self._shares[namespace]
        return web.Response(
            body=found.content,
            content_type="application/octet-stream",
            headers={STATE_HEADER: found.state, "Cache-Control": "no-store"},
        )

    def _find(self, request: web.Request) -> Mapping[str, Any] | None:
        where = request.match_info
        execution = self._cache.by_name(Kind.EXECUTION, where["namespace"], where["name"])
        given = hashlib.sha256(request.headers.get(KEY_HEADER, "").encode()).hexdigest()
        # Without an Execution the same work is done: the time taken tells nothing.
        metadata = {} if execution is None else execution["metadata"]
        listed = str((metadata.get("annotations") or {}).get(OUTPUT_KEYS_ANNOTATION, "-"))
        keys = [key.strip() for key in listed.split(",")][-MAX_KEYS:]
        fits = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
        return execution if any(fits) and KEY_HEADER in request.headers else None

    async def _follow(
        self,
        request: web.Request,
        share: _Share,
        uid: str,
        stream: str,
        offset: int,
        wait: float,
    ) -> _Found:
        """What there is from the offset, as soon as there is something, the stream has ended,
        the time has passed or the reader has left."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + wait, _FIRST_LOOK_SECONDS
        while True:
            async with share.busy, self._busy:
                found = await self._look(uid, stream, offset)
            left = deadline - loop.time()
            if found.content or found.state in ("Finished", "Lost") or left <= 0:
                return found
            crowd = max(1.0, self._open / _READERS_AT_FULL_PACE)
            await asyncio.sleep(min(pause * crowd, left))
            # Not by cancelling the handler: a read of the database that is broken off costs a
            # connection of the pool.
            if request.transport is None or request.transport.is_closing():
                return found
            pause = min(_LAST_LOOK_SECONDS, pause * 1.5)

    async def _look(self, uid: str, stream: str, offset: int) -> _Found:
        execution = self._cache.get(Kind.EXECUTION, uid)
        if execution is None:
            return _Found(content=b"", state="Lost")
        status = execution.get("status") or {}
        over = "completionTime" in status
        address, attempt = self._place(execution)
        # Files are there when the run is over, and then saved at once.
        live = _LIVE.get(stream)
        if address is not None and live is not None:
            try:
                piece = await self._runner.read_piece(address, uid, attempt, live, offset)
            except RunnerUnavailable:
                if not over:
                    raise
            except (RunnerRefused, HostileReply):
                # Not begun yet, or released already.
                if not over:
                    return _Found(content=b"", state="Waiting")
            else:
                content = piece.content[:PIECE_BYTES]
                ended = piece.finished and offset + len(content) >= piece.stored_bytes
                return _Found(content=content, state="Finished" if ended else "Running")
        if not over:
            return _Found(content=b"", state="Waiting")
        return await self._after(execution, status.get("output") or {}, stream, offset)

    def _place(self, execution: Mapping[str, Any]) -> tuple[PodAddress | None, int]:
        """The runner that the code was handed to, None when there is none (any more)."""
        pod_uid, attempt = dispatch_mark(execution["metadata"])
        pod = self._cache.get(Kind.POD, pod_uid) if attempt else None
        if pod is None:
            return None, 0
        if pod["metadata"]["namespace"] != execution["metadata"]["namespace"]:
            return None, 0  # a tenant may write the mark: no other tenant's runner is asked
        return address_of(pod), attempt

    async def _after(
        self, execution: Mapping[str, Any], output: Mapping[str, Any], stream: str, offset: int
    ) -> _Found:
        """Once its runner has let go of it."""
        is_file = stream.startswith("file/")
        if is_file and int(stream.removeprefix("file/")) >= len(output.get("files") or ()):
            return _Found(content=b"", state="Lost")
        whole = None if is_file else whole_inline(output, stream)
        if whole is not None:
            content = whole[offset : offset + PIECE_BYTES]
            ended = offset + len(content) >= len(whole)
            return _Found(content=content, state="Finished" if ended else "Running")
        if not is_file and is_lost(output, stream):
            return _Found(content=b"", state="Lost")
        metadata = execution["metadata"]
        created_at = parse_time(metadata["creationTimestamp"])
        assert created_at is not None, "the API server sets creationTimestamp"
        saved = await self._read_saved(metadata["uid"], created_at, stream, offset, PIECE_BYTES)
        if saved is None:
            return _Found(content=b"", state="Saving")
        return _Found(content=saved, state="Running" if saved else "Finished")


def saved_output(store: Store) -> ReadSaved:
    """Reads from PostgreSQL, a part at a time."""

    async def read(
        uid: str, created_at: datetime, stream: str, offset: int, length: int
    ) -> bytes | None:
        key = OutputKey(uid=UUID(uid), created_at=created_at, stream=stream)
        async with store.transaction() as tx:
            return await OutputStore(tx).part(key, offset, length)

    return read


def _number(request: web.Request, name: str, most: int) -> int:
    text = request.query.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) <= most):
        raise ValueError(f"{name} must be a number from 0 to {most}")
    return int(text)
