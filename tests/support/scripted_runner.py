"""A runner that answers what a test scripts, in place of the client's calls.

What the client makes of real replies is tested where it is (tests/unit/box, tests/runner);
here its answers are given: documents and its three errors.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass

from soulbox.box.transport import PodAddress
from soulbox.model.errors import RunnerRefused, RunnerUnavailable
from soulbox.model.runs import RunDocument, StartRun

Answer = RunDocument | Exception


@dataclass(frozen=True)
class Call:
    """One call, at a time of the loop's clock."""

    what: str
    uid: str
    attempt: int = 1
    wait_seconds: float = 0.0
    request: StartRun | None = None
    at: float = 0.0


class ScriptedRunner:
    """Answers by kind of call, one after the other; the last one stays. An answer takes
    `seconds` of the loop's clock."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.calls: list[Call] = []
        self.answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._seconds = seconds

    def script(self, what: str, *answers: Answer) -> None:
        """What comes next for start or get."""
        self.answers[what].extend(answers)

    def said(self, what: str) -> list[Call]:
        """Calls of one kind."""
        return [call for call in self.calls if call.what == what]

    async def _answer(self, call: Call) -> RunDocument:
        now = asyncio.get_running_loop().time()
        self.calls.append(Call(**{**call.__dict__, "at": now}))
        await asyncio.sleep(self._seconds)
        script = self.answers[call.what]
        if not script:
            raise RunnerUnavailable(f"nothing scripted for {call.what}")
        answer = script.popleft() if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def start(
        self,
        pod: PodAddress,
        uid: str,
        attempt: int,
        request: StartRun,
        wait_seconds: float = 0,
    ) -> RunDocument:
        return await self._answer(Call("start", uid, attempt, wait_seconds, request))

    async def get(
        self, pod: PodAddress, uid: str, attempt: int, wait_seconds: float = 0
    ) -> RunDocument:
        return await self._answer(Call("get", uid, attempt, wait_seconds))


def refused(code: str, status: int = 409) -> RunnerRefused:
    """The runner says no."""
    return RunnerRefused(status, code, f"is {code}")
