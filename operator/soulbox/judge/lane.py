"""One child and the asks that wait for it.

What ends a child that has answered others before is asked once more in a new one: what others left
behind may have ended it. What ends a new child has itself to blame. Being late needs no second
try: the timer counts one ask alone.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from soulbox.judge import limits
from soulbox.judge.child import Cause, Child, Ended, Reply
from soulbox.judge.fair import Ask, FairQueue
from soulbox.judge.verdicts import Outcome
from soulbox.model.errors import JudgeUnavailable

_BLAMED: Final = {
    Cause.LATE: Outcome.LATE,
    Cause.OUTGREW: Outcome.OUTGREW,
    Cause.DIED: Outcome.DIED,
}


class Lane:
    """Serves its asks one after the other.

    Args:
        command: what starts a child.
        warm: a child is always there; otherwise it starts when it is needed, and ends when it was
            not for a minute.
        judged: told of each reply.
        ended: told what ended a child.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        *,
        warm: bool,
        judged: Callable[[Ask, Reply], None],
        ended: Callable[[Cause], None],
    ) -> None:
        self.waiting = FairQueue()
        self.busy = False
        self._command = command
        self._warm = warm
        self._judged = judged
        self._ended = ended
        self._child: Child | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            if self._warm:
                await self._start_ahead()
            while True:
                ask = await self._next()
                self.busy = True
                await self._serve(ask)
                self.busy = False
                if self._warm:
                    await self._start_ahead()
        finally:
            self.waiting.close(JudgeUnavailable("the operator ends"))
            if self._child is not None:
                await self._child.end()

    async def _next(self) -> Ask:
        while self._child is not None and not self._warm:
            try:
                async with asyncio.timeout(limits.IDLE_SECONDS):
                    return await self.waiting.get()
            except TimeoutError:
                await self._replace(Cause.IDLE)
        return await self.waiting.get()

    async def _serve(self, ask: Ask) -> None:
        if ask.answer.done():  # its caller has gone
            return
        try:
            reply = await self._asked(ask)
            # Before the next has its turn, and also where the caller has gone meanwhile.
            self._judged(ask, reply)
            ask.end(reply)
        except JudgeUnavailable as error:
            ask.end(error)
        except BaseException:
            ask.end(JudgeUnavailable("the operator ends"))
            raise

    async def _asked(self, ask: Ask) -> Reply:
        while True:
            child = await self._started()
            fresh = child.fresh
            try:
                reply = await child.ask(ask.header, ask.subject, ask.document)
            except Ended as ended:
                self._child = None
                self._ended(ended.cause)
                outcome = _BLAMED.get(ended.cause)
                if outcome is Outcome.LATE or (fresh and outcome is not None):
                    return Reply(outcome=outcome)
                if fresh or ended.cause is Cause.SILENT:
                    raise JudgeUnavailable(
                        f"the judge's process gave no answer ({ended.cause})", delay_seconds=1.0
                    ) from ended
            else:
                if reply.spent:
                    await self._replace(Cause.SPENT)
                return reply

    async def _started(self) -> Child:
        if self._child is None:
            try:
                self._child = await Child.start(self._command)
            except JudgeUnavailable as error:
                # Whoever waits would wait for the same: they come again.
                self.waiting.fail(error)
                raise
        return self._child

    async def _start_ahead(self) -> None:
        try:
            await self._started()
        except JudgeUnavailable:
            return  # the next ask tries again, and says so

    async def _replace(self, cause: Cause) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()
            self._ended(cause)
