"""Answers that may take long, waited for beside the workers: whoever makes them slow holds none of
the workers for longer than a moment."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from soulbox.reconcile.services import Spawn

_Answer = TypeVar("_Answer")
# The judge's ordinary answer takes 0.1 ms, and 10 ms of a large document: for that nothing is
# looked at twice.
_PATIENCE_SECONDS: Final = 0.05


@dataclass(slots=True)
class _Question(Generic[_Answer]):
    about: Hashable
    done: asyncio.Event = field(default_factory=asyncio.Event)
    answer: _Answer | None = None
    error: Exception | None = None
    is_owed: bool = False  # the object is to be looked at when the answer is there


class Aside(Generic[_Answer]):
    """One question of each object at a time; for one event loop.

    Args:
        wake: told the uid of an object whose answer is there, and was not waited for.
    """

    def __init__(self, spawn: Spawn, wake: Callable[[str], None]) -> None:
        self._spawn = spawn
        self._wake = wake
        self._questions: dict[str, _Question[_Answer]] = {}

    def __len__(self) -> int:
        return len(self._questions)

    async def answer(
        self, uid: str, about: Hashable, ask: Callable[[], Awaitable[_Answer]]
    ) -> _Answer | None:
        """The answer, None: not yet. It is told once.

        Args:
            about: what the question is about; another one is a new question.

        Raises:
            Exception: what `ask` raised.
        """
        question = self._questions.get(uid)
        if question is None or question.about != about:
            question = self._questions[uid] = _Question(about)
            self._spawn(f"aside-{uid}", self._keep(uid, question, ask))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await question.done.wait()
        if not question.done.is_set():
            question.is_owed = True
            return None
        if self._questions.get(uid) is question:
            del self._questions[uid]
        if question.error is not None:
            raise question.error
        return question.answer

    def forget(self, uid: str) -> None:
        """The object is over, or gone."""
        self._questions.pop(uid, None)

    async def _keep(
        self, uid: str, question: _Question[_Answer], ask: Callable[[], Awaitable[_Answer]]
    ) -> None:
        try:
            question.answer = await ask()
        except Exception as error:  # whatever it is, the pass that hears of it tells it
            question.error = error
        finally:
            question.done.set()
            if question.is_owed:
                self._wake(uid)
