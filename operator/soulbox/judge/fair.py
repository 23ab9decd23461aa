"""Whose turn it is, and who is suspected."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from soulbox.judge import limits
from soulbox.judge.child import Reply
from soulbox.model.errors import JudgeUnavailable

_Value = TypeVar("_Value")


@dataclass(slots=True, kw_only=True, eq=False)
class Ask:
    """Something to be judged, and where its answer goes."""

    owner: str
    header: bytes
    subject: bytes
    document: bytes
    answer: "asyncio.Future[Reply]" = field(default_factory=asyncio.Future)

    def end(self, with_what: Reply | JudgeUnavailable) -> None:
        """Give the answer, or the error, to the caller if it still waits."""
        if self.answer.done():
            return
        if isinstance(with_what, Reply):
            self.answer.set_result(with_what)
        else:
            self.answer.set_exception(with_what)


class FairQueue:
    """Asks that wait: owners take turns, each owner's own in their order."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Ask]] = OrderedDict()
        self._count = 0
        self._served: str | None = None
        self._closed: JudgeUnavailable | None = None
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    def put(self, ask: Ask) -> None:
        """Let it wait; an ask for which there is no room ends with JudgeUnavailable."""
        if self._closed is not None:
            ask.end(self._closed)
            return
        own = self._waiting.get(ask.owner, ())
        if self._count >= limits.WAITING or len(own) >= limits.WAITING_OF_ONE:
            ask.end(JudgeUnavailable("too much waits to be judged", delay_seconds=1.0))
            return
        self._waiting.setdefault(ask.owner, deque()).append(ask)
        self._count += 1
        self._filled.set()

    async def get(self) -> Ask:
        """The next whose turn it is; waits for one."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        if self._served is not None and self._served in self._waiting:
            # Behind those who came while it was served.
            self._waiting.move_to_end(self._served)
        owner, own = next(iter(self._waiting.items()))
        self._served = owner
        ask = own.popleft()
        self._count -= 1
        if not own:
            del self._waiting[owner]
        return ask

    def take(self, owner: str) -> deque[Ask]:
        """All that waits of one owner, which waits here no more."""
        own = self._waiting.pop(owner, deque())
        self._count -= len(own)
        return own

    def fail(self, error: JudgeUnavailable) -> None:
        """All that wait end with that error."""
        for own in self._waiting.values():
            for ask in own:
                ask.end(error)
        self._waiting.clear()
        self._count = 0

    def close(self, error: JudgeUnavailable) -> None:
        """Nobody is served any more: whoever waits or comes ends with that error."""
        self._closed = error
        self.fail(error)


class Recent(Generic[_Value]):
    """What was learned lately: forgotten after a while, the oldest first when there is too much."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, _Value]] = OrderedDict()

    def __len__(self) -> int:
        self._forget()
        return len(self._kept)

    def get(self, key: str) -> _Value | None:
        """What is known; None when it is nothing, or too old."""
        self._forget()
        kept = self._kept.get(key)
        return None if kept is None else kept[1]

    def put(self, key: str, value: _Value) -> None:
        """Remember, from now on."""
        self._kept.pop(key, None)
        self._kept[key] = (self._clock() + limits.REMEMBERED_SECONDS, value)
        if len(self._kept) > limits.REMEMBERED:
            self._kept.popitem(last=False)

    def _forget(self) -> None:
        now = self._clock()
        while self._kept:
            key, (until, _) = next(iter(self._kept.items()))
            if until > now:
                return
            del self._kept[key]
