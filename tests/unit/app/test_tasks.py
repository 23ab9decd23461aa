"""Background tasks: logged when they crash, fatal when they are vital, gone with their owner."""

from __future__ import annotations

import asyncio

import pytest

from soulbox.app.tasks import TaskGroup
from tests.support.fix_clock import settle, virtual_time

pytestmark = pytest.mark.usefixtures("logged")


async def end() -> None:
    """A task that ends at once."""


async def crash() -> None:
    """A task that fails."""
    raise ValueError("crashed")


async def forever() -> None:
    """A task that never ends by itself."""
    await asyncio.Event().wait()


@virtual_time
async def test_crash_is_counted_and_stops_nothing() -> None:
    group = TaskGroup()
    group.spawn("bad", crash())
    good = group.spawn("good", forever())
    await settle()
    assert group.crashes == 1
    assert not group.failed_vital.is_set()
    assert not good.done()
    await group.close()
    assert good.cancelled()


@virtual_time
async def test_vital_task_that_crashes_is_told_with_its_error() -> None:
    group = TaskGroup()
    group.spawn("mirror", crash(), vital=True)
    await settle()
    assert group.failed_vital.is_set()
    assert isinstance(group.vital_error, ValueError)


@virtual_time
async def test_first_error_of_several_vital_tasks_is_kept() -> None:
    async def later() -> None:
        await asyncio.sleep(1)
        raise KeyError("later")

    group = TaskGroup()
    group.spawn("one", crash(), vital=True)
    group.spawn("two", later(), vital=True)
    await asyncio.sleep(2)
    assert isinstance(group.vital_error, ValueError)
    assert group.crashes == 2


@virtual_time
async def test_vital_task_that_ends_without_an_error_is_told_too() -> None:
    group = TaskGroup()
    group.spawn("queue", end(), vital=True)
    await settle()
    assert group.failed_vital.is_set()
    assert group.vital_error is None
    assert group.crashes == 0


@virtual_time
async def test_closing_is_no_failure_of_vital_tasks() -> None:
    group = TaskGroup()
    task = group.spawn("queue", forever(), vital=True)
    await settle()
    await group.close()
    assert task.cancelled()
    assert not group.failed_vital.is_set()
    await group.close()


@virtual_time
async def test_closing_waits_for_tasks_that_clean_up_even_if_they_fail() -> None:
    cleaned = []

    async def clean() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(5)
            cleaned.append(True)
            raise ValueError("while cleaning")

    group = TaskGroup()
    group.spawn("clean", clean())
    await settle()
    await group.close()
    assert cleaned == [True]


@virtual_time
async def test_task_has_its_name() -> None:
    group = TaskGroup()
    task = group.spawn("follow-u1", end())
    assert task.get_name() == "follow-u1"
    await task
