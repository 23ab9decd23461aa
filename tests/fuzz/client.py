"""The operator's client of runners, whose connections are in memory: all of a reply is there at
once, then the other end hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp.client_proto import ResponseHandler

from soulbox.box.client import MAX_OUTPUT_BYTES, OUTPUT_CHUNK_BYTES, RunnerClient
from soulbox.box.signing import SigningKey
from soulbox.box.transport import PodAddress, open_session
from soulbox.model.errors import HostileReply, RunnerRefused, RunnerUnavailable
from tests.fuzz.checks import NOW, check_document, check_refusal, check_stats

UID = "5a0d60c5-0000-4000-8000-0000000000e0"
POD = PodAddress("0b0e7f0c-5a5e-4a55-9d5e-3f0a1c2b3d4e", "192.0.2.1", 8478)
KEY = SigningKey.from_seed(bytes(32))


class _Transport(asyncio.Transport):
    """Takes what is sent, and hangs up when told to."""

    def __init__(self) -> None:
        super().__init__()
        self._closing = False

    def write(self, data: Any) -> None:
        pass

    def writelines(self, list_of_data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Canned:
    """In the place of a connector's way to make connections."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply

    async def __call__(self, *_: Any, **__: Any) -> ResponseHandler:
        loop = asyncio.get_running_loop()
        protocol = ResponseHandler(loop)
        protocol.connection_made(_Transport())
        loop.call_soon(self._send, protocol)
        return protocol

    def _send(self, protocol: ResponseHandler) -> None:
        protocol.data_received(self._reply)
        protocol.connection_lost(None)


async def _get(client: RunnerClient) -> None:
    run = await client.get(POD, UID, 1)
    assert (run.uid, run.attempt) == (UID, 1)
    check_document(run)


async def _list(client: RunnerClient) -> None:
    runs = await client.list(POD)
    assert runs.pod_uid == POD.uid
    for run in runs.executions:
        check_document(run)


async def _stats(client: RunnerClient) -> None:
    check_stats(await client.stats(POD))


async def _piece(client: RunnerClient) -> None:
    piece = await client.read_piece(POD, UID, 1, "stdout", 0)
    assert len(piece.content) <= OUTPUT_CHUNK_BYTES
    assert len(piece.content) == min(piece.stored_bytes, OUTPUT_CHUNK_BYTES)
    assert piece.stored_bytes <= MAX_OUTPUT_BYTES


async def _file(client: RunnerClient) -> None:
    size = 0
    async for chunk in client.read_file(POD, UID, 1, "a b/\u20ac", limit_bytes=16_384):
        size += len(chunk)
    assert size <= 16_384


async def _release(client: RunnerClient) -> None:
    await client.release(POD, UID, 1)


async def _healthy(client: RunnerClient) -> None:
    assert await client.healthy(POD) in (True, False)


CALLS: tuple[Callable[[RunnerClient], Awaitable[None]], ...] = (
    _get, _list, _stats, _piece, _file, _release, _healthy,
)  # fmt: skip
_state: dict[str, Any] = {}


def talk(data: bytes) -> None:
    """One call; the first byte says which, the others are the reply."""
    if not _state:
        _state["loop"] = asyncio.new_event_loop()
    _state["loop"].run_until_complete(_talk(data[:1], data[1:]))


async def _talk(which: bytes, reply: bytes) -> None:
    session = _state.get("session")
    if session is None:
        session = _state["session"] = open_session()
    # The connector's own way stays: its settings, its queue, its end of connections.
    session.connector._create_connection = _Canned(reply)
    client = RunnerClient(session, KEY, lambda: NOW)
    call = CALLS[(which[0] if which else 0) % len(CALLS)]
    unexpected: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, told: unexpected.append(str(told)))
    try:
        await call(client)
    except (RunnerUnavailable, RunnerRefused, HostileReply) as error:
        check_refusal(error)
    assert not unexpected, unexpected


def close() -> None:
    """Close what `talk` keeps."""
    if _state:
        _state["loop"].run_until_complete(_state["session"].close())
        _state["loop"].close()
        _state.clear()
