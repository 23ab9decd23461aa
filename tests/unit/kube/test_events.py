"""Events: built as the API server takes them, each once, never in anybody's way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from soulbox.kube import events as events_module
from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.events import EventRecorder
from soulbox.model.states import Kind
from soulbox.pure.actions import PostEvent
from tests.unit.kube.scripted import Scripted, reply, reset, serving, status, write_kubeconfig

BOX = {
    "metadata": {"name": "box", "namespace": "ns", "uid": "u1", "resourceVersion": "7"},
}
READY = PostEvent(type="Normal", reason="Ready", message="It runs.", action="Reconcile")


class Recording:
    """A recorder and the server it posts to."""

    def __init__(self, server: Scripted, credentials: Credentials) -> None:
        self.server = server
        self.errors: list[Exception] = []
        clock = ServerClock(lambda: 0.0, lambda: 1767323045.123)
        self.recorder = EventRecorder(
            KubeClient(credentials, ServerClock()), clock, "pod-1", on_error=self.errors.append
        )

    async def posted(self, count: int) -> list[Any]:
        """Bodies, once so many requests came."""
        await self.server.wait_for(count)
        return [asked.body for asked in self.server.asked]


@pytest.fixture
async def recording(tmp_path: Path) -> AsyncIterator[Recording]:
    async with serving() as server:
        credentials = Credentials(write_kubeconfig(tmp_path, server.url, token="t"))
        yield Recording(server, credentials)
        await credentials.close()


@asynccontextmanager
async def sending(recording: Recording) -> AsyncIterator[None]:
    task = asyncio.create_task(recording.recorder.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_event_is_what_the_api_server_takes(recording: Recording) -> None:
    recording.server.script(reply(201))
    recording.recorder.post(BOX, Kind.SANDBOX, READY)
    async with sending(recording):
        (body,) = await recording.posted(1)
    assert recording.server.asked[0].path == "/apis/events.k8s.io/v1/namespaces/ns/events"
    name = body["metadata"].pop("name")
    assert re.fullmatch(r"box\.[0-9a-f]{16}", name)
    assert body == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "ns"},
        "eventTime": "2026-01-02T03:04:05.123000Z",
        "reportingController": "soulbox.dev/operator",
        "reportingInstance": "pod-1",
        "action": "Reconcile",
        "reason": "Ready",
        "regarding": {
            "apiVersion": "soulbox.dev/v1alpha1",
            "kind": "Sandbox",
            "namespace": "ns",
            "name": "box",
            "uid": "u1",
            "resourceVersion": "7",
        },
        "note": "It runs.",
        "type": "Normal",
    }


async def test_same_words_about_the_same_object_are_posted_once(recording: Recording) -> None:
    recording.server.script(reply(201))
    other = {"metadata": BOX["metadata"] | {"uid": "u2"}}
    newer = {"metadata": BOX["metadata"] | {"resourceVersion": "8"}}
    for manifest in (BOX, BOX, newer, other):
        recording.recorder.post(manifest, Kind.SANDBOX, READY)
    louder = PostEvent(type="Normal", reason="Ready", message="It still runs.", action="Reconcile")
    recording.recorder.post(BOX, Kind.SANDBOX, louder)
    async with sending(recording):
        bodies = await recording.posted(3)
    assert [(body["regarding"]["uid"], body["note"]) for body in bodies] == [
        ("u1", "It runs."),
        ("u2", "It runs."),
        ("u1", "It still runs."),
    ]


async def test_long_names_and_words_are_cut_to_what_is_taken(recording: Recording) -> None:
    recording.server.script(reply(201))
    manifest = {"metadata": BOX["metadata"] | {"name": "a" * 199 + "." + "b" * 53}}
    event = PostEvent(type="Warning", reason="R" * 500, message="é" * 900, action="Run")
    recording.recorder.post(manifest, Kind.EXECUTION, event)
    async with sending(recording):
        (body,) = await recording.posted(1)
    assert len(body["metadata"]["name"]) <= 253
    assert ".." not in body["metadata"]["name"]
    assert len(body["note"].encode()) <= 1000
    assert len(body["reason"]) == 128


async def test_what_terminals_obey_is_written_out_in_an_event(recording: Recording) -> None:
    recording.server.script(reply(201))
    message = "a\ud800b\x1b[31m\x07\x00\u202e"
    event = PostEvent(type="Normal", reason="R", message=message, action="Run")
    recording.recorder.post(BOX, Kind.SANDBOX, event)
    async with sending(recording):
        (body,) = await recording.posted(1)
    assert body["note"] == r"a\ud800b\x1b[31m\x07\x00\u202e"


ANSWERS = {
    "there already": (status(409, "AlreadyExists"), 0),
    "its namespace is going": (
        reply(
            403,
            {
                "reason": "Forbidden",
                "message": "being terminated",
                "details": {"causes": [{"reason": "NamespaceTerminating"}]},
            },
        ),
        0,
    ),
    "not allowed": (status(403, "Forbidden"), 1),
    "server error": (status(500, "InternalError"), 1),
    "connection broken": (reset, 1),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_event_that_is_not_taken_stops_no_other(recording: Recording, name: str) -> None:
    answer, want_errors = ANSWERS[name]
    recording.server.script(answer, reply(201))
    recording.recorder.post(BOX, Kind.SANDBOX, READY)
    louder = PostEvent(type="Normal", reason="Ready", message="second", action="Reconcile")
    async with sending(recording):
        await recording.posted(1)
        recording.recorder.post(BOX, Kind.SANDBOX, louder)
        bodies = await recording.posted(2)
    assert bodies[-1]["note"] == "second"
    assert len(recording.errors) == want_errors


@pytest.mark.slow
async def test_overflow_is_dropped_and_counted(recording: Recording) -> None:
    for number in range(events_module._CAPACITY + 3):
        event = PostEvent(type="Normal", reason="R", message=str(number), action="Run")
        recording.recorder.post(BOX, Kind.SANDBOX, event)
    assert recording.recorder.statistics().dropped == 3


async def test_crowd_of_normal_ones_comes_later_and_a_warning_at_once(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_BURST", 2)
    monkeypatch.setattr(events_module, "_PER_SECOND", 0.001)
    recording.recorder._allowance = 2.0
    recording.server.script(reply(201))
    for number in range(5):
        event = PostEvent(type="Normal", reason="Completed", message=str(number), action="Run")
        recording.recorder.post(BOX, Kind.EXECUTION, event)
    recording.recorder.post(
        BOX,
        Kind.EXECUTION,
        PostEvent(type="Warning", reason="OOMKilled", message="memory", action="Run"),
    )
    async with sending(recording):
        bodies = await recording.posted(3)
    assert [body["note"] for body in bodies] == ["0", "1", "memory"]
    assert recording.recorder.statistics().dropped == 0


async def test_late_ones_are_sent_as_the_rate_allows(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_BURST", 1)
    monkeypatch.setattr(events_module, "_PER_SECOND", 1000.0)
    recording.server.script(reply(201))
    for number in range(5):
        event = PostEvent(type="Normal", reason="Completed", message=str(number), action="Run")
        recording.recorder.post(BOX, Kind.EXECUTION, event)
    async with sending(recording):
        bodies = await recording.posted(5)
    assert [body["note"] for body in bodies] == ["0", "1", "2", "3", "4"]


async def test_too_many_late_ones_are_dropped_and_counted(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_PER_SECOND", 0.001)
    monkeypatch.setattr(events_module, "_MAX_LATE", 2)
    recording.recorder._allowance = 0.0
    recording.recorder._counted_at = asyncio.get_running_loop().time()
    recording.server.script(reply(201))
    for number in range(5):
        event = PostEvent(type="Normal", reason="Completed", message=str(number), action="Run")
        recording.recorder.post(BOX, Kind.EXECUTION, event)
    louder = PostEvent(type="Warning", reason="Lost", message="last", action="Run")
    recording.recorder.post(BOX, Kind.EXECUTION, louder)
    async with sending(recording):
        (body,) = await recording.posted(1)
    assert body["note"] == "last"
    assert recording.recorder.statistics().dropped == 3
