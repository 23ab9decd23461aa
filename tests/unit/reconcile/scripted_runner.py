"""A runner that answers what a test scripts, in place of the client's calls.

What the client makes of real replies is tested where it is (tests/unit/box, tests/runner);
here its answers are given: documents and its three errors.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from soulbox.box.client import PodAddress, Stream
from soulbox.model.errors import RunnerRefused, RunnerUnavailable
from soulbox.model.runs import RunDocument, RunList, StartRun
from tests.support.fix_clock import NOW

Answer = RunDocument | RunList | Exception | None


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
        self.outputs: dict[Stream, list[bytes]] = {}
        self._seconds = seconds

    def script(self, what: str, *answers: Answer) -> None:
        """What comes next for start, get, list, cancel or release."""
        self.answers[what].extend(answers)

    def said(self, what: str) -> list[Call]:
        """Calls of one kind."""
        return [call for call in self.calls if call.what == what]

    async def _answer(self, call: Call) -> Answer:
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
        answer = await self._answer(Call("start", uid, attempt, wait_seconds, request))
        assert isinstance(answer, RunDocument)
        return answer

    async def get(
        self, pod: PodAddress, uid: str, attempt: int, wait_seconds: float = 0
    ) -> RunDocument:
        answer = await self._answer(Call("get", uid, attempt, wait_seconds))
        assert isinstance(answer, RunDocument)
        return answer

    async def list(self, pod: PodAddress) -> RunList:
        answer = await self._answer(Call("list", pod.uid))
        assert isinstance(answer, RunList)
        return answer

    async def cancel(self, pod: PodAddress, uid: str, attempt: int) -> None:
        await self._answer(Call("cancel", uid, attempt))

    async def release(self, pod: PodAddress, uid: str, attempt: int) -> None:
        await self._answer(Call("release", uid, attempt))

    async def read_output(
        self, pod: PodAddress, uid: str, attempt: int, stream: Stream, offset: int = 0
    ) -> AsyncIterator[bytes]:
        self.calls.append(Call(f"read {stream}", uid, attempt))
        for chunk in self.outputs.get(stream, []):
            yield chunk


def refused(code: str, status: int = 409) -> RunnerRefused:
    """The runner says no."""
    return RunnerRefused(status, code, f"is {code}")


def run_list(*runs: RunDocument, version: str = "0.1.0", now: datetime = NOW) -> RunList:
    """What a runner holds."""
    return RunList(executions=runs, runner_version=version, pod_uid="p", time=now)
