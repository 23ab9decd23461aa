"""Calls to a runner that keeps the contract, and to one that does not."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from soulbox.box import client as client_module
from soulbox.box import transport
from soulbox.box.client import RunnerClient
from soulbox.box.signing import Call, SigningKey
from soulbox.box.transport import PodAddress, open_session
from soulbox.model.errors import HostileReply, NotLeader, RunnerRefused, RunnerUnavailable
from soulbox.model.runs import StartRun
from soulbox.model.states import RunState
from tests.unit.box.hostile import (
    NOW,
    POD_UID,
    document,
    error_reply,
    json_reply,
    raw_serving,
    serving,
)

KEY = SigningKey.from_seed(bytes(32))
UID = "u-1"
REQUEST = StartRun(
    command=("python3",),
    extension=".py",
    code="print(42)",
    timeout_seconds=5,
    output_limit_bytes=1024,
    max_processes=8,
    max_open_files=8,
    max_file_size_bytes=1024,
)


class Unauthorized(list[str]):
    """Codes of the 401 replies that were counted."""


@pytest.fixture
def counted() -> Unauthorized:
    return Unauthorized()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as opened:
        yield opened


@pytest.fixture
def client(session: aiohttp.ClientSession, counted: Unauthorized) -> RunnerClient:
    return RunnerClient(session, KEY, lambda: NOW, counted.append)


async def _is_signed(request: web.Request) -> bool:
    path, _, query = request.raw_path.partition("?")
    call = Call(
        method=request.method,
        path=path,
        query=query,
        body=await request.read(),
        pod_uid=POD_UID,
    )
    text = call.signed_text(int(request.headers["Soulbox-Time"]), request.headers["Soulbox-Nonce"])
    signature = base64.b64decode(request.headers["Soulbox-Signature"])
    try:
        Ed25519PublicKey.from_public_bytes(KEY.public_bytes).verify(signature, text)
    except InvalidSignature:
        return False
    return request.headers["Soulbox-Key-Id"] == KEY.key_id


CALLS: dict[str, tuple[Callable[[RunnerClient, PodAddress], Awaitable[Any]], str, str]] = {
    "start": (
        lambda client, pod: client.start(pod, UID, 1, REQUEST, 1.5),
        "PUT",
        "/v1/executions/u-1/1?wait=1500ms",
    ),
    "get": (lambda client, pod: client.get(pod, UID, 1), "GET", "/v1/executions/u-1/1"),
    "get that waits": (
        lambda client, pod: client.get(pod, UID, 1, 600),
        "GET",
        "/v1/executions/u-1/1?wait=60000ms",
    ),
    "cancel": (lambda client, pod: client.cancel(pod, UID, 1), "DELETE", "/v1/executions/u-1/1"),
    "release": (
        lambda client, pod: client.release(pod, UID, 1),
        "POST",
        "/v1/executions/u-1/1/release",
    ),
    "list": (lambda client, pod: client.list(pod), "GET", "/v1/executions"),
    "stats": (lambda client, pod: client.stats(pod), "GET", "/v1/stats"),
    "shutdown": (lambda client, pod: client.shutdown(pod), "POST", "/v1/shutdown"),
}


def _honest(request: web.Request) -> web.Response:
    if request.path == "/v1/executions":
        return json_reply(
            {
                "executions": [document()],
                "runnerVersion": "v1",
                "podUid": POD_UID,
                "time": "2026-03-04T05:06:07Z",
            }
        )
    if request.path == "/v1/stats":
        return json_reply({"time": "2026-03-04T05:06:07Z", "processes": 2})
    if request.method == "POST":
        return web.Response(status=202 if request.path == "/v1/shutdown" else 204)
    return json_reply(document(), 201 if request.method == "PUT" else 200)


@pytest.mark.parametrize(("call", "want_method", "want_target"), CALLS.values(), ids=CALLS.keys())
async def test_call_is_signed_and_goes_where_the_contract_says(
    call: Callable[[RunnerClient, PodAddress], Awaitable[Any]],
    want_method: str,
    want_target: str,
    client: RunnerClient,
) -> None:
    seen: list[tuple[str, str, bool]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, await _is_signed(request)))
        return _honest(request)

    async with serving(handler) as pod:
        await call(client, pod)

    assert seen == [(want_method, want_target, True)]


@pytest.mark.parametrize("name", CALLS)
async def test_one_who_may_not_act_calls_nobody(name: str, session: aiohttp.ClientSession) -> None:
    def guard() -> None:
        raise NotLeader("the Lease is not held")

    async def handler(_: web.Request) -> web.Response:
        raise AssertionError("it was called")

    client = RunnerClient(session, KEY, lambda: NOW, guard=guard)
    async with serving(handler) as pod:
        with pytest.raises(RunnerUnavailable, match="not called: the Lease is not held"):
            await CALLS[name][0](client, pod)


async def test_reply_of_start_is_the_document(client: RunnerClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return _honest(request)

    async with serving(handler) as pod:
        run = await client.start(pod, UID, 1, REQUEST)
    assert (run.uid, run.attempt, run.state) == (UID, 1, RunState.RUNNING)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "Invalid"),
        (401, "UnknownKey"),
        (401, "Unauthorized"),
        (404, "NotFound"),
        (409, "Conflict"),
        (410, "Released"),
        (429, "Busy"),
        (429, "TableFull"),
    ],
)
async def test_refusal_keeps_status_and_code(
    status: int, code: str, client: RunnerClient, counted: Unauthorized
) -> None:
    calls = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return error_reply(status, code)

    async with serving(handler) as pod:
        with pytest.raises(RunnerRefused, match=f"is {code}") as caught:
            await client.start(pod, UID, 1, REQUEST)

    assert (caught.value.status, caught.value.code, calls) == (status, code, 1)
    assert counted == ([code] if status == 401 else [])


async def test_draining_runner_is_unavailable(client: RunnerClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return error_reply(503, "Draining")

    async with serving(handler) as pod:
        with pytest.raises(RunnerUnavailable, match="Draining"):
            await client.start(pod, UID, 1, REQUEST)


async def test_clock_skew_is_corrected_once_and_remembered(
    client: RunnerClient, counted: Unauthorized
) -> None:
    """Operator and pod an hour apart: one more round trip for the first call only."""
    runner_milliseconds = int((NOW + timedelta(hours=1)).timestamp() * 1000)
    times: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        times.append(int(request.headers["Soulbox-Time"]))
        if abs(times[-1] - runner_milliseconds) > 30_000:
            return error_reply(401, "ClockSkew", timeMilliseconds=runner_milliseconds)
        return _honest(request)

    async with serving(handler) as pod:
        await client.get(pod, UID, 1)
        await client.get(pod, UID, 1)

    assert times == [int(NOW.timestamp() * 1000), runner_milliseconds, runner_milliseconds]
    assert counted == ["ClockSkew"]


@pytest.mark.parametrize("extra", [{}, {"timeMilliseconds": 4_102_444_800_000}])
async def test_clock_that_cannot_be_right_is_not_followed(
    extra: dict[str, int], client: RunnerClient, counted: Unauthorized
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return error_reply(401, "ClockSkew", **extra)

    async with serving(handler) as pod:
        with pytest.raises(RunnerRefused, match="ClockSkew"):
            await client.get(pod, UID, 1)
    assert counted == ["ClockSkew"]


async def test_replay_is_signed_again_once_with_another_nonce(
    client: RunnerClient, counted: Unauthorized
) -> None:
    nonces: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        nonces.append(request.headers["Soulbox-Nonce"])
        return error_reply(401, "Replay")

    async with serving(handler) as pod:
        with pytest.raises(RunnerRefused, match="Replay"):
            await client.get(pod, UID, 1)
    assert len(nonces) == len(set(nonces)) == 2
    assert counted == ["Replay", "Replay"]


@pytest.mark.parametrize(
    "changes", [{"uid": "u-2"}, {"attempt": 2}], ids=["another uid", "another attempt"]
)
async def test_reply_about_another_run_is_hostile(
    changes: dict[str, Any], client: RunnerClient
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return json_reply(document(**changes))

    async with serving(handler) as pod:
        for call in (client.get, client.cancel):
            with pytest.raises(HostileReply, match="a different run"):
                await call(pod, UID, 1)
        with pytest.raises(HostileReply, match="a different run"):
            await client.start(pod, UID, 1, REQUEST)


async def test_list_of_another_pod_is_hostile(client: RunnerClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return _honest(request)

    async with serving(handler) as pod:
        with pytest.raises(HostileReply, match="another pod"):
            await client.list(PodAddress("another", pod.ip, pod.port))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"<html>", b"\x00" * 100, b"[" * 50_000], ids=lambda body: repr(body[:6])
)
@pytest.mark.parametrize("status", [200, 404, 500])
async def test_reply_that_is_not_the_contracts_is_hostile(
    body: bytes, status: int, client: RunnerClient
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body, status=status)

    async with serving(handler) as pod:
        with pytest.raises(HostileReply):
            await client.get(pod, UID, 1)


async def test_times_far_from_now_are_hostile(client: RunnerClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return json_reply(document(startTime="2031-03-04T05:06:07Z"))

    async with serving(handler) as pod:
        with pytest.raises(HostileReply, match="far from now"):
            await client.get(pod, UID, 1)


async def test_announced_huge_reply_is_not_read(client: RunnerClient) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n{")
        await writer.drain()
        await asyncio.Event().wait()

    async with raw_serving(talk) as pod:
        with pytest.raises(HostileReply, match="over 1048576 bytes"):
            await asyncio.wait_for(client.get(pod, UID, 1), 5)


async def test_endless_reply_is_cut_at_its_bound(client: RunnerClient) -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)
            sent += 65_536

    async with serving(handler) as pod:
        with pytest.raises(HostileReply, match="over 1048576 bytes"):
            await asyncio.wait_for(client.get(pod, UID, 1), 5)
    # What the socket's buffers hold comes on top; 16 MiB would mean that nobody stopped.
    assert sent < 16 * 1_048_576


async def test_packed_reply_is_not_unpacked(client: RunnerClient) -> None:
    bomb = gzip.compress(b" " * 50_000_000)

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with serving(handler) as pod:
        with pytest.raises(HostileReply, match="JSON"):
            await client.get(pod, UID, 1)


async def test_redirect_is_not_followed(client: RunnerClient) -> None:
    calls = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.Response(status=307, headers={"Location": "/healthz"})

    async with serving(handler) as pod:
        with pytest.raises(HostileReply, match="redirect"):
            await client.get(pod, UID, 1)
    assert calls == 1


async def test_cookies_are_not_kept(client: RunnerClient) -> None:
    cookies: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return json_reply(document(), headers={"Set-Cookie": "id=1; Path=/"})

    async with serving(handler) as pod:
        await client.get(pod, UID, 1)
        await client.get(pod, UID, 1)
    assert cookies == [None, None]


async def test_proxy_of_the_environment_is_not_used(
    client: RunnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def handler(request: web.Request) -> web.Response:
        return _honest(request)

    async with serving(handler) as pod:
        await client.get(pod, UID, 1)


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 abc\r\n\r\n",
    ],
    ids=["another protocol", "endless header", "no status"],
)
async def test_what_is_not_http_is_hostile(reply: bytes, client: RunnerClient) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        await asyncio.Event().wait()

    async with raw_serving(talk) as pod:
        with pytest.raises(HostileReply, match="not HTTP"):
            await asyncio.wait_for(client.get(pod, UID, 1), 5)


async def test_runner_that_hangs_up_is_unavailable(client: RunnerClient) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()

    async with raw_serving(talk) as pod:
        with pytest.raises(RunnerUnavailable, match="no connection to the runner"):
            await client.get(pod, UID, 1)


async def test_nobody_listening_is_unavailable(client: RunnerClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return _honest(request)

    async with serving(handler) as pod:
        pass
    with pytest.raises(RunnerUnavailable):
        await client.get(pod, UID, 1)
    assert not await client.healthy(pod)


async def test_silent_and_dripping_runners_are_given_up(
    client: RunnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "REPLY_SECONDS", 0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    for talk in (silent, dripping):
        async with raw_serving(talk) as pod:
            with pytest.raises(RunnerUnavailable, match="did not answer in time"):
                await asyncio.wait_for(client.get(pod, UID, 1), 5)


async def test_cancellation_passes_through(client: RunnerClient) -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await asyncio.Event().wait()

    async with raw_serving(silent) as pod:
        call = asyncio.create_task(client.get(pod, UID, 1))
        await asyncio.wait_for(asked.wait(), 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


class Output:
    """A runner that stores `content` and gives at most `chunk` bytes a call."""

    def __init__(self, content: bytes, chunk: int = 1_048_576, **headers: str) -> None:
        self.content = content
        self.chunk = chunk
        self.headers = headers
        self.offsets: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        offset = int(request.query["offset"])
        self.offsets.append(offset)
        stored = self.headers.get("stored", str(len(self.content)))
        return web.Response(
            body=self.content[offset : offset + self.chunk],
            headers={"Soulbox-Stored-Bytes": stored},
        )


async def _read(client: RunnerClient, output: Output, offset: int = 0, **limits: int) -> bytes:
    async with serving(output.answer) as pod:
        stream = client.read_output(pod, UID, 1, "stdout", offset, **limits)
        return b"".join([part async for part in stream])


@pytest.mark.parametrize("offset", [0, 1, 999_999, 2_500_000])
async def test_output_is_read_from_its_offset_to_its_end(offset: int, client: RunnerClient) -> None:
    content = bytes(range(250)) * 10_000
    output = Output(content)
    assert await _read(client, output, offset) == content[offset:]
    assert len(output.offsets) == max(1, -(-(2_500_000 - offset) // 1_048_576))


async def test_output_that_is_empty_is_one_call(client: RunnerClient) -> None:
    output = Output(b"")
    assert await _read(client, output) == b""
    assert output.offsets == [0]


@pytest.mark.parametrize(
    ("output", "limits"),
    [
        (Output(b"x" * 100, stored="1000"), {}),
        (Output(b"x" * 100, stored="50"), {}),
        (Output(b"x" * 100, stored="-1"), {}),
        (Output(b"x" * 100, stored="9" * 40), {}),
        (Output(b"x" * 100, stored="12a"), {}),
        (Output(b"x" * 101), {"limit_bytes": 100}),
        (Output(b"x" * 100, chunk=1), {}),
        (Output(b"x" * 2_000_000, chunk=2_000_000), {}),
    ],
    ids=[
        "less than promised",
        "more than promised",
        "negative",
        "absurd",
        "no digits",
        "over the run's limit",
        "byte by byte",
        "chunk too large",
    ],
)
async def test_output_that_contradicts_itself_is_hostile(
    output: Output, limits: dict[str, int], client: RunnerClient
) -> None:
    with pytest.raises(HostileReply):
        await _read(client, output, **limits)


async def test_healthy_means_200(client: RunnerClient) -> None:
    status = 200

    async def handler(request: web.Request) -> web.Response:
        assert request.path == "/healthz"
        assert "Soulbox-Signature" not in request.headers
        return web.Response(status=status, text="ok")

    async with serving(handler) as pod:
        assert await client.healthy(pod)
        status = 503
        assert not await client.healthy(pod)


async def test_offsets_of_clocks_are_bounded(
    client: RunnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_MAX_OFFSETS", 2)
    runner_milliseconds = int((NOW + timedelta(hours=1)).timestamp() * 1000)
    calls = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        if int(request.headers["Soulbox-Time"]) != runner_milliseconds:
            return error_reply(401, "ClockSkew", timeMilliseconds=runner_milliseconds)
        return json_reply({"time": "2026-03-04T05:06:07Z"})

    async with serving(handler) as pod:
        for uid in ("a", "b", "c", "a"):
            await client.stats(PodAddress(uid, pod.ip, pod.port))
    assert calls == 8  # "a" was forgotten and learnt again


def test_ipv6_address_is_put_in_brackets() -> None:
    call = Call(method="GET", path="/healthz", query="a=%2F", pod_uid="p")
    url = transport.url_of(PodAddress("p", "fd00::1", 8478), call)
    assert str(url) == "http://[fd00::1]:8478/healthz?a=%2F"
