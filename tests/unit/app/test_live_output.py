"""Who may read output, and where it comes from in each stage of a run."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from soulbox.app.commands.live import Pump, Rest, Stream, rest_of
from soulbox.app.commands.person import Person
from soulbox.app.commands.target import Target
from soulbox.app.live_output import LiveOutput
from soulbox.app.output_calls import FILE_PATH, KEY_HEADER, OUTPUT_PATH, STATE_HEADER, whole_inline
from soulbox.box.client import OutputPiece
from soulbox.box.transport import PodAddress
from soulbox.kinds.objects import Objects
from soulbox.kube.clock import ServerClock
from soulbox.model.errors import HostileReply, RunnerRefused, RunnerUnavailable, StoreUnavailable
from soulbox.model.states import Kind
from tests.support.builders import make_execution, stored

KEY = "a key"
KEYS = "soulbox.dev/output-keys-sha256"
POD_UID = "5b4f8a0e-0000-4000-8000-000000000001"


def sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


@dataclass
class Runner:
    """Says what the test wants of one stream."""

    content: bytes = b""
    finished: bool = False
    error: Exception | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def read_piece(
        self, pod: PodAddress, uid: str, attempt: int, stream: Stream, offset: int
    ) -> OutputPiece:
        assert (pod.uid, pod.ip, attempt) == (POD_UID, "127.0.0.1", 2)
        self.asked.set()
        if self.error is not None:
            raise self.error
        piece = self.content[offset : offset + 2**20] if stream == "stdout" else b""
        total = len(self.content) if stream == "stdout" else 0
        return OutputPiece(content=piece, stored_bytes=total, finished=self.finished)


class Bench:
    """One Execution, its pod, and the handler behind a real HTTP server."""

    def __init__(self) -> None:
        self.cache = Objects()
        self.runner = Runner()
        self.saved: bytes | None = None
        self.store_error: Exception | None = None
        self.url = ""
        self.session: aiohttp.ClientSession | None = None
        self.version = 1
        self.execution = stored(make_execution("job", "team-a"))
        self.write(annotations={KEYS: f"{sha256('other')},{sha256(KEY)}"})

    def write(self, **changes: Any) -> None:
        """A new version of the Execution in the cache."""
        self.version += 1
        metadata = {**self.execution["metadata"], "resourceVersion": str(self.version)}
        if "annotations" in changes:
            known = metadata.get("annotations") or {}
            metadata["annotations"] = {**known, **changes["annotations"]}
        self.execution = {**self.execution, "metadata": metadata}
        if "status" in changes:
            self.execution["status"] = changes["status"]
        self.cache.put(Kind.EXECUTION, self.execution)

    def dispatch(self, namespace: str = "team-a") -> None:
        metadata = {
            "name": "pod", "namespace": namespace, "uid": POD_UID, "resourceVersion": "9",
            "creationTimestamp": "2026-01-02T03:04:05Z",
        }  # fmt: skip
        self.cache.put(Kind.POD, {"metadata": metadata, "status": {"podIP": "127.0.0.1"}})
        self.write(annotations={"soulbox.dev/dispatched": f"{POD_UID}/2"})

    def end(self, **output: Any) -> None:
        self.write(status={"state": "Completed", "completionTime": "x", "output": output})

    async def read_saved(
        self, uid: str, created_at: datetime, stream: Stream, offset: int, length: int
    ) -> bytes | None:
        if self.store_error is not None:
            raise self.store_error
        return None if self.saved is None else self.saved[offset : offset + length]

    async def get(
        self, query: str = "", *, key: str | None = KEY, name: str = "job", stream: str = "stdout"
    ) -> tuple[int, str, bytes]:
        assert self.session is not None
        what = f"files/{stream}" if stream.isdigit() else f"output/{stream}"
        path = f"/v1/namespaces/team-a/executions/{name}/{what}{query}"
        headers = {} if key is None else {KEY_HEADER: key}
        async with self.session.get(self.url + path, headers=headers) as response:
            return response.status, response.headers.get(STATE_HEADER, ""), await response.read()


@asynccontextmanager
async def serving() -> AsyncIterator[Bench]:
    bench = Bench()
    application = web.Application()
    live = LiveOutput(bench.cache, bench.runner, bench.read_saved)
    for path in (OUTPUT_PATH, FILE_PATH):
        application.router.add_get(path, live.handle, allow_head=False)
    async with (
        TestServer(application, host="127.0.0.1") as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        bench.url, bench.session = f"http://127.0.0.1:{server.port}", session
        yield bench


async def test_only_who_has_a_key_the_execution_names_learns_anything() -> None:
    async with serving() as bench:
        bench.dispatch()
        bench.runner.content = b"secret"
        assert await bench.get() == (200, "Running", b"secret")
        assert (await bench.get(key="other"))[0] == 200
        refusals = [
            await bench.get(key=None),
            await bench.get(key=""),
            await bench.get(key="wrong"),
            await bench.get(key=sha256(KEY)),
            await bench.get(name="nothing"),
        ]
        assert {one[0] for one in refusals} == {404}
        assert len({one[2] for one in refusals}) == 1, "they tell apart what must not be told"


@pytest.mark.parametrize("listed", [None, "", ",", "-", sha256(""), "x" * 5000])
async def test_an_execution_that_names_no_key_of_ours_is_closed(listed: str | None) -> None:
    async with serving() as bench:
        bench.execution["metadata"]["annotations"] = {}
        bench.write(annotations={} if listed is None else {KEYS: listed})
        assert (await bench.get())[0] == 404
        assert (await bench.get(key=None))[0] == 404


async def test_only_the_last_eight_keys_count() -> None:
    async with serving() as bench:
        more = ",".join([sha256(KEY), *(sha256(str(n)) for n in range(8))])
        bench.write(annotations={KEYS: more})
        assert (await bench.get())[0] == 404
        assert (await bench.get(key="0"))[0] == 200


@pytest.mark.parametrize(
    "query", ["?offset=-1", "?offset=x", "?offset=1e9", "?offset=" + "9" * 40, "?wait=21"]
)
async def test_numbers_are_bounded(query: str) -> None:
    async with serving() as bench:
        assert (await bench.get(query))[0] == 400


async def test_other_streams_and_methods_are_not_there() -> None:
    async with serving() as bench:
        assert (await bench.get(stream="stdin"))[0] == 404
        assert bench.session is not None
        async with bench.session.post(
            f"{bench.url}/v1/namespaces/team-a/executions/job/output/stdout"
        ) as response:
            assert response.status == 405


async def test_before_the_code_starts_there_is_nothing_yet() -> None:
    async with serving() as bench:
        assert await bench.get() == (200, "Waiting", b"")
        bench.dispatch()
        bench.runner.error = RunnerRefused(404, "NotFound", "no")
        assert await bench.get() == (200, "Waiting", b"")
        bench.runner.error = HostileReply("nonsense")
        assert await bench.get() == (200, "Waiting", b"")
        bench.runner.error = RunnerUnavailable("away")
        assert (await bench.get())[0] == 503


@pytest.mark.parametrize("mark", ["", "/", "x/2", f"{POD_UID}/2/another", "/2"])
async def test_mark_that_names_no_run_of_ours_asks_no_runner(mark: str) -> None:
    async with serving() as bench:
        bench.dispatch()
        bench.write(annotations={"soulbox.dev/dispatched": mark})
        assert await bench.get() == (200, "Waiting", b"")
        assert not bench.runner.asked.is_set()


async def test_runner_of_another_namespace_is_not_asked() -> None:
    async with serving() as bench:
        bench.dispatch(namespace="team-b")
        assert await bench.get() == (200, "Waiting", b"")
        assert not bench.runner.asked.is_set()


async def test_pieces_are_bounded_and_end_with_the_run() -> None:
    async with serving() as bench:
        bench.dispatch()
        bench.runner.content = bytes(600_000)
        status, state, body = await bench.get()
        assert (status, state, len(body)) == (200, "Running", 262_144)
        bench.runner.finished = True
        status, state, body = await bench.get("?offset=262144")
        assert (state, len(body)) == ("Running", 262_144)
        status, state, body = await bench.get("?offset=524288")
        assert (state, len(body)) == ("Finished", 600_000 - 524_288)
        assert await bench.get("?offset=600000") == (200, "Finished", b"")
        assert await bench.get("?offset=700000") == (200, "Finished", b"")


async def test_waiting_ends_with_the_first_byte() -> None:
    async with serving() as bench:
        bench.dispatch()
        waiting = asyncio.create_task(bench.get("?wait=20"))
        await bench.runner.asked.wait()
        bench.runner.content = b"now"
        assert await waiting == (200, "Running", b"now")


async def test_waiting_begins_before_the_dispatch() -> None:
    async with serving() as bench:
        bench.runner.content = b"now"
        waiting = asyncio.create_task(bench.get("?wait=20"))
        await asyncio.sleep(0.01)
        bench.dispatch()
        assert await waiting == (200, "Running", b"now")


async def test_after_the_release_the_status_gives_what_it_holds_whole() -> None:
    async with serving() as bench:
        bench.dispatch()
        bench.runner.error = RunnerRefused(410, "Released", "gone")
        bench.end(stdout="hällo", stdoutBytes=6, stdoutSha256=sha256("hällo"))
        assert await bench.get() == (200, "Finished", "hällo".encode())
        assert await bench.get("?offset=4") == (200, "Finished", b"lo")
        bench.runner.error = RunnerUnavailable("its pod went")
        assert await bench.get("?offset=6") == (200, "Finished", b"")


async def test_after_the_release_the_rest_comes_from_postgresql() -> None:
    async with serving() as bench:
        bench.end(stdout="a…", stdoutBytes=300_000, stdoutTruncated=True)
        assert await bench.get() == (200, "Saving", b"")
        bench.saved = bytes(300_000)
        status, state, body = await bench.get()
        assert (status, state, len(body)) == (200, "Running", 262_144)
        assert await bench.get("?offset=300000") == (200, "Finished", b"")
        bench.store_error = StoreUnavailable("away")
        assert (await bench.get())[0] == 503


INLINE: dict[str, tuple[dict[str, Any], bytes | None]] = {
    "nothing ran": ({}, b""),
    "whole": ({"stdout": "a\n", "stdoutBytes": 2, "stdoutSha256": sha256("a\n")}, b"a\n"),
    "whole and empty": ({"stdout": "", "stdoutBytes": 0}, b""),
    "cut": ({"stdout": "a", "stdoutBytes": 9, "stdoutTruncated": True}, None),
    "bytes that are no text": (
        {"stdout": "\ufffd", "stdoutBytes": 3, "stdoutSha256": sha256(b"\xff\xfe\xfd")},
        None,
    ),
    "lost with its pod": ({"stdout": "", "stdoutTruncated": True}, None),
    "a count that contradicts": ({"stdout": "a", "stdoutBytes": 2}, None),
}


@pytest.mark.parametrize("name", INLINE)
def test_inline_output_counts_as_whole_only_to_the_byte(name: str) -> None:
    output, want = INLINE[name]
    assert whole_inline(output, "stdout") == want


def test_rest_of_a_status_never_repeats_what_was_shown() -> None:
    whole = {"stdout": "abcdef", "stdoutBytes": 6, "stdoutSha256": sha256("abcdef")}
    assert rest_of(whole, "stdout", 4) == Rest(content=b"ef", missing_bytes=0)
    cut = {"stdout": "ab…yz", "stdoutBytes": 100, "stdoutTruncated": True}
    assert rest_of(cut, "stdout", 0) == Rest(content="ab…yz".encode(), missing_bytes=93)
    assert rest_of(cut, "stdout", 40) == Rest(content=b"", missing_bytes=60)
    assert rest_of(cut, "stdout", 100) == Rest(content=b"", missing_bytes=0)
    lost = {"stdout": "", "stdoutTruncated": True}
    assert rest_of(lost, "stdout", 7) == Rest(content=b"", missing_bytes=0, is_lost=True)
    assert rest_of({}, "stdout", 0) == Rest(content=b"", missing_bytes=0)


async def pumped(
    bench: Bench, *, over: bool = True, url: str = "", shown: int = 0
) -> tuple[Pump, dict[Stream, bytes]]:
    """All that the command's pump shows."""
    got: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}

    async def write(stream: Stream, content: bytes) -> None:
        got[stream] += content

    person = Person(
        kube=None,  # type: ignore[arg-type] # the operator is asked directly
        namespace="team-a",
        server="",
        target=Target(operator_url=(url or bench.url) + "/"),
        clock=ServerClock(),
    )
    pump = Pump(person, "job", KEY, write)
    if over:
        pump.finish(bench.execution)
    pump.shown["stdout"].offset = shown
    await pump.run()
    return pump, got


async def test_pump_shows_every_byte_once_across_all_places() -> None:
    async with serving() as bench:
        bench.dispatch()
        want = bytes(range(256)) * 4000
        bench.runner.content, bench.runner.finished = want, True
        pump, got = await pumped(bench, over=False)
        assert got == {"stdout": want, "stderr": b""}
        assert all(shown.complete for shown in pump.shown.values())


async def test_pump_gives_up_on_a_key_that_does_not_fit_once_the_execution_is_over() -> None:
    async with serving() as bench:
        bench.execution["metadata"]["annotations"] = {}
        bench.write()
        bench.end()
        pump, got = await pumped(bench)
        assert got == {"stdout": b"", "stderr": b""}
        assert not any(shown.complete for shown in pump.shown.values())
        assert "404" in pump.shown["stdout"].problem


@pytest.mark.parametrize(
    "output",
    [
        {},  # its code never started
        {"stdout": "x", "stdoutBytes": 1, "stderr": "", "stderrBytes": 0},
        {"stdout": "", "stdoutTruncated": True, "stderr": "", "stderrTruncated": True},
    ],
    ids=["none", "whole in the status", "lost"],
)
async def test_pump_asks_once_for_what_the_status_has_or_nobody(output: dict[str, Any]) -> None:
    """An operator that is away is not waited for."""
    async with serving() as bench:
        bench.execution["status"] = {"completionTime": "x", "output": output}
        pump, got = await pumped(bench, url="http://127.0.0.1:1")
        assert got == {"stdout": b"", "stderr": b""}
        assert "cannot be reached" in pump.shown["stdout"].problem


async def test_pump_needs_nobodys_word_when_every_byte_was_shown() -> None:
    """PostgreSQL may take its time to say that all is saved."""
    async with serving() as bench:
        output = {"stdout": "…", "stdoutBytes": 6, "stdoutTruncated": True, "stderrBytes": 0}
        bench.end(**output)
        bench.saved = b"abcdef"
        pump, got = await pumped(bench)
        assert got == {"stdout": b"abcdef", "stderr": b""}
        bench.saved = None
        again, got = await pumped(bench, shown=6)
        assert got == {"stdout": b"", "stderr": b""}
        assert all(one.complete for one in (*pump.shown.values(), *again.shown.values()))


async def test_output_that_went_with_its_pod_is_lost_not_being_saved() -> None:
    async with serving() as bench:
        lost = {"stdout": "", "stdoutTruncated": True, "stderr": "", "stderrTruncated": True}
        bench.end(**lost)
        pump, _ = await pumped(bench)
        assert not any(shown.complete or shown.problem for shown in pump.shown.values())


async def test_captured_file_is_read_from_what_was_saved() -> None:
    async with serving() as bench:
        bench.dispatch()
        bench.runner.content = b"a stream of the same run"
        assert await bench.get(stream="0") == (200, "Waiting", b"")
        bench.end(files=[{"path": "a", "size": 3}])
        assert await bench.get(stream="0") == (200, "Saving", b"")
        bench.saved = b"abc"
        assert await bench.get("?offset=1", stream="0") == (200, "Running", b"bc")
        assert await bench.get("?offset=3", stream="0") == (200, "Finished", b"")
        assert await bench.get(stream="1") == (200, "Lost", b"")
        assert (await bench.get(stream="0", key="wrong"))[0] == 404
        assert (await bench.get(stream="1000"))[0] == 404


async def test_readers_of_one_namespace_leave_room_for_others() -> None:
    async with serving() as bench:
        other = stored(make_execution("job", "team-b"))
        other["metadata"]["annotations"] = {KEYS: sha256(KEY)}
        bench.cache.put(Kind.EXECUTION, other)
        bench.write(status={})
        waiting = [asyncio.create_task(bench.get("?wait=20")) for _ in range(128)]
        try:
            while True:
                status, _, _ = await bench.get()
                if status == 429:
                    break
                await asyncio.sleep(0)
            assert bench.session is not None
            path = "/v1/namespaces/team-b/executions/job/output/stdout"
            async with bench.session.get(bench.url + path, headers={KEY_HEADER: KEY}) as answer:
                assert answer.status == 200
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        # Their sockets are closed: their places are free long before the 20 s are over.
        async with asyncio.timeout(15):
            while (await bench.get())[0] == 429:  # noqa: ASYNC110 - another process tells
                await asyncio.sleep(0.05)
