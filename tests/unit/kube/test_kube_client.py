"""Calls to the API server over real sockets, answered as no real one would on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from soulbox.kube.auth import Credentials
from soulbox.kube.client import LIST_CHUNK, KubeClient
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import (
    CRDS,
    EXECUTIONS,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    SANDBOXES,
    Resource,
)
from soulbox.model.errors import (
    KubeConflict,
    KubeExists,
    KubeNotFound,
    KubeRefused,
    KubeUnavailable,
    Retryable,
    SoulBoxError,
    Terminal,
)
from tests.unit.kube.scripted import (
    Answer,
    Asked,
    Scripted,
    cut,
    reply,
    reset,
    serving,
    status,
    write_kubeconfig,
)


class Api:
    """A client and the server it speaks to."""

    def __init__(self, kube: KubeClient, server: Scripted, clock: ServerClock) -> None:
        self.kube = kube
        self.server = server
        self.clock = clock
        self.observed: list[tuple[str, str, int]] = []

    def observe(self, verb: str, kind: str, code: int, _seconds: float) -> None:
        self.observed.append((verb, kind, code))


@asynccontextmanager
async def connected(folder: Path, *, timeout_seconds: float = 5.0) -> AsyncIterator[Api]:
    async with serving() as server:
        credentials = Credentials(write_kubeconfig(folder, server.url, token="t1"))
        clock = ServerClock()
        api = Api(None, server, clock)  # type: ignore[arg-type]
        api.kube = KubeClient(
            credentials, clock, timeout_seconds=timeout_seconds, observer=api.observe
        )
        try:
            yield api
        finally:
            await credentials.close()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with connected(tmp_path) as connection:
        yield connection


PATHS: dict[str, tuple[Resource, str | None, str | None]] = {
    "/api/v1/pods": (PODS, None, None),
    "/api/v1/namespaces/ns/pods": (PODS, "ns", None),
    "/api/v1/namespaces/ns/pods/p": (PODS, "ns", "p"),
    "/api/v1/namespaces/kube-system": (NAMESPACES, None, "kube-system"),
    "/apis/soulbox.dev/v1alpha1/namespaces/ns/executions/e": (EXECUTIONS, "ns", "e"),
    "/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies/n": (NETWORK_POLICIES, "ns", "n"),
    # A cluster-scoped resource has no namespace, whatever is given.
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/c": (CRDS, "ns", "c"),
}


@pytest.mark.parametrize("want_path", PATHS)
def test_path_of_a_resource(want_path: str) -> None:
    resource, namespace, name = PATHS[want_path]
    assert resource.path(namespace, name) == want_path


async def test_get_returns_the_object_and_is_observed(api: Api) -> None:
    api.server.script(reply(200, {"metadata": {"name": "p"}}))
    assert await api.kube.get(PODS, "p", "ns") == {"metadata": {"name": "p"}}
    (asked,) = api.server.asked
    assert (asked.method, asked.path) == ("GET", "/api/v1/namespaces/ns/pods/p")
    assert asked.authorization == "Bearer t1"
    assert api.observed == [("get", "Pod", 200)]


async def test_create_names_the_field_manager(api: Api) -> None:
    api.server.script(reply(201, {"metadata": {"name": "p"}}))
    await api.kube.create(PODS, {"metadata": {"name": "p"}}, "ns")
    assert api.server.asked == [
        Asked(
            method="POST",
            path="/api/v1/namespaces/ns/pods",
            query={"fieldManager": "soulbox-operator"},
            content_type="application/json",
            authorization="Bearer t1",
            body={"metadata": {"name": "p"}},
        )
    ]


async def test_patch_is_a_merge_patch(api: Api) -> None:
    api.server.script(reply(200))
    body = {"metadata": {"resourceVersion": "7"}, "status": {"state": "Running", "gone": None}}
    await api.kube.patch(SANDBOXES, "box", body, "ns", subresource="status")
    (asked,) = api.server.asked
    assert asked.method == "PATCH"
    assert asked.path.endswith("/namespaces/ns/sandboxes/box/status")
    assert asked.content_type == "application/merge-patch+json"
    assert asked.body == body
    await api.kube.patch(SANDBOXES, "box", body, "ns")
    assert api.server.asked[-1].path.endswith("/sandboxes/box")


async def test_delete_is_of_that_uid(api: Api) -> None:
    api.server.script(reply(200))
    await api.kube.delete(PODS, "p", "ns", uid="u1", grace_seconds=0)
    await api.kube.delete(PODS, "p", "ns", uid="u1")
    assert [asked.body for asked in api.server.asked] == [
        {
            "preconditions": {"uid": "u1"},
            "propagationPolicy": "Background",
            "gracePeriodSeconds": 0,
        },
        {"preconditions": {"uid": "u1"}, "propagationPolicy": "Background"},
    ]


@pytest.mark.parametrize(
    "answer",
    [status(404, "NotFound"), status(409, "Conflict")],
    ids=["gone already", "another under the same name"],
)
async def test_delete_of_what_is_not_there_is_success(api: Api, answer: Answer) -> None:
    api.server.script(answer)
    await api.kube.delete(PODS, "p", "ns", uid="u1")


async def test_list_comes_in_pages_of_one_version(api: Api) -> None:
    api.server.script(
        reply(200, {"metadata": {"continue": "abc"}, "items": [{"n": 1}, {"n": 2}]}),
        reply(200, {"metadata": {}, "items": [{"n": 3}]}),
    )
    found = await api.kube.list(PODS, "ns", label_selector="a=b")
    assert found == [{"n": 1}, {"n": 2}, {"n": 3}]
    first, second = api.server.asked
    assert first.query == {"limit": str(LIST_CHUNK), "labelSelector": "a=b"}
    assert second.query == {"limit": str(LIST_CHUNK), "labelSelector": "a=b", "continue": "abc"}


async def test_empty_list_may_have_no_items_at_all(api: Api) -> None:
    api.server.script(reply(200, {"items": None}))
    assert await api.kube.list(PODS) == []


async def test_expired_continue_token_asks_for_the_list_again(api: Api) -> None:
    api.server.script(
        reply(200, {"metadata": {"continue": "abc"}, "items": []}), status(410, "Expired")
    )
    with pytest.raises(KubeUnavailable) as caught:
        await api.kube.list(PODS)
    assert caught.value.status == 410


ERRORS: dict[str, tuple[Answer, type[SoulBoxError], str]] = {
    "not found": (status(404, "NotFound", 'pods "p" not found'), KubeNotFound, "not found"),
    "name taken": (status(409, "AlreadyExists"), KubeExists, "words"),
    "changed meanwhile": (status(409, "Conflict"), KubeConflict, "words"),
    "bad request": (status(400, "BadRequest"), KubeRefused, "400 BadRequest"),
    "not allowed": (status(403, "Forbidden"), KubeRefused, "403 Forbidden"),
    "too large": (status(413, "RequestEntityTooLarge"), KubeRefused, "413"),
    "invalid": (status(422, "Invalid", "spec: no"), KubeRefused, "spec: no"),
    "redirect, never followed": (reply(302, Location="http://127.0.0.1:1/"), KubeRefused, "302"),
    "too many requests": (status(429, "TooManyRequests"), KubeUnavailable, "words"),
    "request time-out": (status(408, "Timeout"), KubeUnavailable, "words"),
    "internal error": (status(500, "InternalError"), KubeUnavailable, "words"),
    "gateway time-out": (status(504, "Timeout"), KubeUnavailable, "words"),
    "error without a body": (reply(503, b""), KubeUnavailable, "HTTP 503"),
    "error that is no JSON": (reply(502, b"<html>"), KubeUnavailable, "HTTP 502"),
    "error that is no object": (reply(500, [1]), KubeUnavailable, "HTTP 500"),
    "success that is no JSON": (reply(200, b"<html>"), KubeUnavailable, "is not JSON"),
    "success without a body": (reply(200, b""), KubeUnavailable, "is not JSON"),
    "success that is no object": (reply(200, [1]), KubeUnavailable, "is not JSON"),
    "connection broken before a word": (reset, KubeUnavailable, "did not answer"),
    "connection broken in the body": (cut, KubeUnavailable, "did not answer"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_answer_becomes_a_typed_error(api: Api, name: str) -> None:
    answer, want_error, want_words = ERRORS[name]
    api.server.script(answer)
    with pytest.raises(want_error) as caught:
        await api.kube.get(PODS, "p", "ns")
    assert want_words in str(caught.value)
    assert isinstance(caught.value, Retryable | Terminal)
    assert len(api.observed) >= 1


RETRY_AFTER = {"7": 7.0, "0": 0.0, "soon": None, "Fri, 02 Jan 2026 03:04:05 GMT": None, "-1": None}


@pytest.mark.parametrize("header", RETRY_AFTER)
async def test_retry_after_is_kept(api: Api, header: str) -> None:
    api.server.script(status(429, "TooManyRequests", Retry_After=header))
    with pytest.raises(KubeUnavailable) as caught:
        await api.kube.get(PODS, "p", "ns")
    assert caught.value.delay_seconds == RETRY_AFTER[header]
    assert caught.value.status == 429


@pytest.mark.parametrize(
    "words",
    ["etcdserver: request is too large", "rpc error: trying to send message larger than max"],
)
async def test_object_too_large_for_etcd_is_refused_and_not_tried_for_ever(
    api: Api, words: str
) -> None:
    api.server.script(status(500, "", words))
    with pytest.raises(KubeRefused) as caught:
        await api.kube.patch(EXECUTIONS, "e", {}, "ns", subresource="status")
    assert caught.value.status == 500


CAUSES: dict[str, tuple[Any, frozenset[str]]] = {
    "a cause": (
        {"details": {"causes": [{"reason": "NamespaceTerminating"}]}},
        frozenset({"NamespaceTerminating"}),
    ),
    "no details": ({}, frozenset()),
    "details of another shape": ({"details": "no"}, frozenset()),
    "causes of another shape": ({"details": {"causes": {"reason": "x"}}}, frozenset()),
    "a cause of another shape": ({"details": {"causes": ["x"]}}, frozenset()),
}


@pytest.mark.parametrize("name", CAUSES)
async def test_causes_of_a_refusal_are_kept(api: Api, name: str) -> None:
    body, want_causes = CAUSES[name]
    api.server.script(reply(403, {"reason": "Forbidden", "message": "no"} | body))
    with pytest.raises(KubeRefused) as caught:
        await api.kube.create(PODS, {}, "ns")
    assert caught.value.causes == want_causes
    assert (caught.value.status, caught.value.reason, caught.value.message) == (
        403,
        "Forbidden",
        "no",
    )


async def test_message_of_a_refusal_is_bounded(api: Api) -> None:
    api.server.script(status(422, "Invalid", "x" * 100_000))
    with pytest.raises(KubeRefused) as caught:
        await api.kube.create(PODS, {}, "ns")
    assert len(caught.value.message) == 4096


@pytest.mark.slow
async def test_answer_that_does_not_come_is_unavailable(tmp_path: Path) -> None:
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    async with connected(tmp_path, timeout_seconds=0.05) as api:
        api.server.script(hang)
        with pytest.raises(KubeUnavailable, match=r"did not answer get .*TimeoutError"):
            await api.kube.get(PODS, "p", "ns")
        assert api.observed == [("get", "Pod", 0)]
        released.set()


async def test_nobody_listening_is_unavailable(tmp_path: Path) -> None:
    credentials = Credentials(write_kubeconfig(tmp_path, "http://127.0.0.1:1", token="t"))
    try:
        with pytest.raises(KubeUnavailable, match="did not answer"):
            await KubeClient(credentials, ServerClock()).get(PODS, "p", "ns")
    finally:
        await credentials.close()


async def test_every_answer_sets_the_clock(api: Api) -> None:
    api.server.script(
        reply(200, Date="Fri, 02 Jan 2026 03:04:05 GMT"),
        status(503, "x", Date="Fri, 02 Jan 2032 03:04:05 GMT"),
    )
    await api.kube.get(PODS, "p", "ns")
    assert api.clock.now().year == 2026
    with pytest.raises(KubeUnavailable):
        await api.kube.get(PODS, "p", "ns")
    assert api.clock.now().year == 2032


async def test_client_works_without_an_observer(tmp_path: Path) -> None:
    async with serving() as server:
        credentials = Credentials(write_kubeconfig(tmp_path, server.url, token="t1"))
        server.script(reply(200, {"a": 1}))
        try:
            assert await KubeClient(credentials, ServerClock()).get(PODS, "p") == {"a": 1}
        finally:
            await credentials.close()


def _event(kind: str, version: str, **more: Any) -> bytes:
    metadata = {"name": "run", "uid": "u", "resourceVersion": version}
    return json.dumps({"type": kind, "object": {"metadata": metadata, **more}}).encode() + b"\n"


async def test_watch_gives_each_version_until_the_object_is_deleted(api: Api) -> None:
    large = "x" * 300_000  # longer than what a line reader would take
    events = _event("ADDED", "2") + b"\n" + _event("MODIFIED", "3", text=large)
    api.server.script(reply(200, events + _event("DELETED", "4") + b"{never read"))
    found = [one async for one in api.kube.watch(EXECUTIONS, "run", "team-a", "1")]
    assert [one["metadata"]["resourceVersion"] for one in found] == ["2", "3", "4"]
    assert found[1]["text"] == large
    (asked,) = api.server.asked
    assert asked.query["fieldSelector"] == "metadata.name=run"
    assert (asked.query["watch"], asked.query["resourceVersion"]) == ("true", "1")


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        (reply(200, b'{"type": "ERROR", "object": {"code": 410}}\n'), KubeUnavailable),
        (status(410, "Expired"), KubeUnavailable),
        (status(403, "Forbidden"), KubeRefused),
        (cut, KubeUnavailable),
        (reset, KubeUnavailable),
    ],
)
async def test_watch_that_breaks_says_how(
    api: Api, answer: Answer, want: type[SoulBoxError]
) -> None:
    api.server.script(answer)
    with pytest.raises(want):
        _ = [one async for one in api.kube.watch(EXECUTIONS, "run", "team-a", "1")]


async def test_watch_whose_events_never_end_is_given_up(api: Api) -> None:
    api.server.script(reply(200, b"x" * 5_000_000))
    with pytest.raises(KubeUnavailable, match="longer than any object"):
        _ = [one async for one in api.kube.watch(EXECUTIONS, "run", "team-a", "1")]


async def test_proxied_answer_comes_as_it_is_and_bounded(api: Api) -> None:
    arguments: dict[str, Any] = {
        "params": {"offset": "3"}, "headers": {"X-Key": "k"}, "timeout_seconds": 5.0,
    }  # fmt: skip
    api.server.script(reply(503, b"words", X_State="s"), reply(200, b"x" * 11))
    code, headers, body = await api.kube.proxy_get(
        "op:http", "sys", "/v1/x", limit_bytes=10, **arguments
    )
    assert (code, headers["X-State"], body) == (503, "s", b"words")
    with pytest.raises(KubeUnavailable, match="longer"):
        await api.kube.proxy_get("op:http", "sys", "/v1/x", limit_bytes=10, **arguments)
    asked = api.server.asked[0]
    assert asked.path == "/api/v1/namespaces/sys/services/op:http/proxy/v1/x"
    assert (asked.query, asked.method) == ({"offset": "3"}, "GET")
