"""Background tasks with a name, an owner, and a log line when they crash."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from soulbox.model.errors import SoulBoxError
from soulbox.telemetry.logs import get_logger

_log = get_logger(__name__)


class TaskGroup:
    """Tasks that end with their owner. A crashed task is logged and counted; one started as
    vital ends the operator, because without it nothing would be right."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed_vital = asyncio.Event()
        # What the first vital task to fail failed with; None while none has.
        self.vital_error: BaseException | None = None
        self.crashes = 0

    def spawn(
        self, name: str, coroutine: Coroutine[Any, Any, None], *, vital: bool = False
    ) -> "asyncio.Task[None]":
        """Start a task. `vital`: its early end, with or without an error, ends the operator."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, vital=vital))
        return task

    def _ended(self, task: "asyncio.Task[None]", *, vital: bool) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.crashes += 1
            _log.error(
                "background task crashed",
                task=task.get_name(),
                error=str(error)[:512],
                # For an error raised on purpose the place in our code says nothing.
                exc_info=None if isinstance(error, SoulBoxError) else error,
            )
        if vital:
            self.vital_error = self.vital_error or error
            self.failed_vital.set()

    async def close(self) -> None:
        """Cancel all and wait for them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
