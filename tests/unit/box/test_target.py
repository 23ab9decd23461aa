"""The port that pods may not reach."""

from __future__ import annotations

import asyncio

import pytest

from soulbox.box.target import ForbiddenTarget
from soulbox.model.errors import RunnerUnavailable


async def test_target_answers_at_the_address_that_pods_are_called_from() -> None:
    async with ForbiddenTarget() as target:
        told = await asyncio.gather(*(target.towards("127.0.0.1") for _ in range(3)))
        assert len(set(told)) == 1, "one port, however many ask at once"
        address, port = told[0]
        assert address == "127.0.0.1"
        reader, writer = await asyncio.open_connection(address, port)
        assert await reader.read() == b"", "it says nothing, and closes"
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address, port)


async def test_pod_that_cannot_be_reached_gives_no_target() -> None:
    async with ForbiddenTarget() as target:
        with pytest.raises(RunnerUnavailable, match="no port to try"):
            await target.towards("255.255.255.255")
