"""Time that tests turn by hand, and an event loop that lives in such time."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# When every task waits and no timer is set, nothing can ever happen again. Threads and
# sockets of the test's own get this long to say otherwise.
_STUCK_SECONDS = 5.0


def at(seconds: float, origin: datetime = NOW) -> datetime:
    """The moment so many seconds after NOW."""
    return origin + timedelta(seconds=seconds)


class FakeClock:
    """Seconds that pass only when told to; monotonic and wall clock in one."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


class _Jump(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Instead of waiting for a timer it has the loop's clock jump to it."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is not None:
            self.loop.jump(timeout)
            return []
        ready = super().select(_STUCK_SECONDS)
        if not ready:
            raise RuntimeError("every task waits, and for nothing that will come")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes no time.

    For code that waits by the loop's clock only: with real sockets a time-out would come
    before the answer.
    """

    def __init__(self) -> None:
        selector = _Jump()
        selector.loop = self
        self._seconds = 1000.0
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self._seconds

    def jump(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._seconds += seconds


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Run an async test in a loop of its own whose time is virtual."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(test(*args, **kwargs))

    return run


async def settle(rounds: int = 50) -> None:
    """Let every task that can go on do so, without letting time pass."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def passed(awaitable: Awaitable[Any]) -> float:
    """How many seconds of the loop's clock an awaitable takes."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    await awaitable
    return loop.time() - started
