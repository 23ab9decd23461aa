"""Probes and metrics over HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from hack.cluster.ports import free_port
from soulbox.app.http import Checks, HealthServer
from soulbox.model.errors import ConfigError
from soulbox.telemetry.metrics import Metrics


@asynccontextmanager
async def serving(live: Checks, ready: Checks) -> AsyncIterator[str]:
    address = f"127.0.0.1:{free_port()}"
    server = HealthServer(address, Metrics(), live=live, ready=ready)
    await server.start()
    try:
        yield f"http://{address}"
    finally:
        await server.close()
        await server.close()


CASES = {
    "well": ("", "", 200, 200, "watch: ok\nmirror: ok\n"),
    "PostgreSQL away: degraded, and no reason to restart": (
        "",
        "3 objects wait",
        200,
        503,
        "watch: ok\nmirror: 3 objects wait\n",
    ),
    "a watch is silent: restart": (
        "no watch event for 1300 s",
        "",
        503,
        503,
        "watch: no watch event for 1300 s\nmirror: ok\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_probes_tell_what_is_wrong(name: str) -> None:
    watch, mirror, want_live, want_ready, want_text = CASES[name]
    async with (
        serving(lambda: {"watch": watch}, lambda: {"mirror": mirror}) as url,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"{url}/healthz") as response:
            assert response.status == want_live
        async with session.get(f"{url}/readyz") as response:
            assert response.status == want_ready
            assert await response.text() == want_text


async def test_metrics_are_prometheus_text() -> None:
    async with (
        serving(dict, dict) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/metrics") as response,
    ):
        assert response.status == 200
        assert response.content_type == "text/plain"
        assert "# TYPE soulbox_reconciles_total counter" in await response.text()


async def test_address_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = HealthServer(address, Metrics(), live=dict, ready=dict)
        with pytest.raises(ConfigError) as caught:
            await server.start()
    assert str(caught.value).startswith(f"http_listen: cannot listen on {address}: ")
    assert "SOULBOX_HTTP_LISTEN" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:http", "127.0.0.1:99999", "nowhere.invalid:0"])
async def test_address_that_is_none_is_a_config_error(address: str) -> None:
    server = HealthServer(address, Metrics(), live=dict, ready=dict)
    with pytest.raises(ConfigError, match="http_listen: cannot listen on"):
        await server.start()


async def test_closing_before_the_start_does_nothing() -> None:
    await HealthServer("127.0.0.1:0", Metrics(), live=dict, ready=dict).close()
