"""What a process does before it leads: signals, probes, live output."""

from __future__ import annotations

import asyncio
import os
import signal
from unittest.mock import sentinel

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from soulbox.app.standby import Probes, ends_at_signals

pytestmark = pytest.mark.usefixtures("logged")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_the_block_after_its_clean_up(number: signal.Signals) -> None:
    cleaned = False
    async with ends_at_signals():
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), number)  # a second one does not break into it
            await asyncio.sleep(0.01)
            cleaned = True
    assert cleaned
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_cancellation_by_somebody_else_passes() -> None:
    async def block() -> None:
        async with ends_at_signals():
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_error_in_the_block_passes_and_the_handlers_go() -> None:
    with pytest.raises(ValueError, match="in the block"):
        async with ends_at_signals():
            raise ValueError("in the block")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_standby_is_well_and_has_no_output() -> None:
    probes = Probes()
    assert probes.live() == {}
    assert probes.ready() == {"standby": ""}
    answer = await probes.handle_output(make_mocked_request("GET", "/"))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_leader_puts_its_own_answers_in() -> None:
    async def output(_: web.Request) -> web.Response:
        return sentinel.answer  # type: ignore[no-any-return]

    probes = Probes()
    probes.live_checks = lambda: {"watch": ""}
    probes.ready_checks = lambda: {"lease": "not renewed"}
    probes.output = output
    assert probes.live() == {"watch": ""}
    assert probes.ready() == {"lease": "not renewed"}
    assert await probes.handle_output(make_mocked_request("GET", "/")) is sentinel.answer
