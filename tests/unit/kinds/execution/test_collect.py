"""A runner has so long to send what it promised, and no longer; PostgreSQL's time is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from soulbox.kinds.execution.collect import _Patience
from soulbox.model.errors import HostileReply
from tests.support.fix_clock import virtual_time


async def trickle(count: int, seconds: float) -> AsyncIterator[bytes]:
    """One byte each so many seconds."""
    for _ in range(count):
        await asyncio.sleep(seconds)
        yield b"x"


@virtual_time
async def test_runner_that_sends_a_byte_now_and_then_is_given_up() -> None:
    with pytest.raises(HostileReply, match="did not come within 60 s"):
        assert [chunk async for chunk in _Patience(60.0).with_(trickle(100, 9.0))]
    assert len([chunk async for chunk in _Patience(60.0).with_(trickle(6, 9.0))]) == 6


@virtual_time
async def test_several_streams_share_the_time() -> None:
    patience = _Patience(60.0)
    assert [chunk async for chunk in patience.with_(trickle(5, 9.0))] == [b"x"] * 5
    with pytest.raises(HostileReply):
        assert [chunk async for chunk in patience.with_(trickle(5, 9.0))]


@virtual_time
async def test_time_that_the_reader_takes_does_not_count() -> None:
    got = bytearray()
    async for chunk in _Patience(60.0).with_(trickle(5, 9.0)):
        await asyncio.sleep(300)
        got += chunk
    assert got == b"xxxxx"
