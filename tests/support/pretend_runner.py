"""A runner that keeps its word, in place of the client's calls: it knows runs, starts one
once, and a question that may wait is answered when the test ends the run.

What the client makes of real replies is tested where it is (tests/unit/box, tests/runner).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import replace

from soulbox.box.client import Stream
from soulbox.box.transport import PodAddress
from soulbox.model.errors import RunnerRefused
from soulbox.model.runs import RunDocument, RunList, StartRun
from soulbox.model.states import PolicyFinding, RunnerFeature, RunState
from tests.support.fix_clock import NOW
from tests.support.seen import make_finished, make_run


class PretendRunner:
    """One runner for every pod."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.requests: dict[str, StartRun] = {}
        self.runs: dict[str, RunDocument] = {}
        # Uids in the order in which their code really began.
        self.begun: list[str] = []
        self.outputs: dict[Stream, list[bytes]] = {}
        self.files: dict[str, bytes] = {}
        # What the next calls of a kind fail with, one after the other.
        self.faults: defaultdict[str, deque[Exception]] = defaultdict(deque)
        # What a started run becomes at once; a run without an end stays running.
        self.outcome: RunDocument = make_finished()
        self.features = frozenset(RunnerFeature)
        # What its next looks at the network policy find, the last one again and again; None: its
        # class does not ask for them.
        self.findings: deque[PolicyFinding] | None = None
        self._ended: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def said(self, what: str) -> list[str]:
        """Uids of one kind of call."""
        return [uid for kind, uid in self.calls if kind == what]

    def never_ends(self) -> None:
        """Runs started from now on go on until `end`."""
        self.outcome = make_run()

    def end(self, uid: str, run: RunDocument) -> None:
        """The run ends so; who waits for it hears."""
        self.runs[uid] = replace(run, uid=uid)
        self._ended[uid].set()

    def _note(self, what: str, uid: str) -> None:
        self.calls.append((what, uid))
        if self.faults[what]:
            raise self.faults[what].popleft()

    def _find(self, uid: str) -> RunDocument:
        if uid not in self.runs:
            raise RunnerRefused(404, "NotFound", "never heard of")
        return self.runs[uid]

    async def start(
        self, pod: PodAddress, uid: str, attempt: int, request: StartRun, wait_seconds: float = 0
    ) -> RunDocument:
        self._note("start", uid)
        self.requests[uid] = request
        if uid not in self.runs:
            self.begun.append(uid)
        return self.runs.setdefault(uid, replace(self.outcome, uid=uid, attempt=attempt))

    async def get(
        self, pod: PodAddress, uid: str, attempt: int, wait_seconds: float = 0
    ) -> RunDocument:
        self._note("get", uid)
        if self._find(uid).state is not RunState.FINISHED and wait_seconds > 0:
            await self._ended[uid].wait()
        return self._find(uid)

    async def list(self, pod: PodAddress) -> RunList:
        self._note("list", pod.uid)
        bare = [replace(run, stdout=None, stderr=None) for run in self.runs.values()]
        return RunList(
            executions=tuple(bare),
            runner_version="0.1.0",
            pod_uid=pod.uid,
            time=NOW,
            policy_unseen=self.findings is not None,
            features=self.features,
        )

    async def look_at_policy(
        self, pod: PodAddress, target: tuple[str, int]
    ) -> tuple[PolicyFinding, str]:
        self._note("look", pod.uid)
        assert self.findings is not None
        finding = self.findings.popleft() if len(self.findings) > 1 else self.findings[0]
        if finding is PolicyFinding.SEEN:
            self.findings = None
        return finding, ""

    async def cancel(self, pod: PodAddress, uid: str, attempt: int) -> RunDocument:
        self._note("cancel", uid)
        return self._find(uid)

    async def release(self, pod: PodAddress, uid: str, attempt: int) -> None:
        self._note("release", uid)
        self._find(uid)
        del self.runs[uid]

    async def read_output(
        self, pod: PodAddress, uid: str, attempt: int, stream: Stream, offset: int = 0
    ) -> AsyncIterator[bytes]:
        self._note(f"read {stream}", uid)
        for chunk in self.outputs.get(stream, []):
            yield chunk

    async def read_file(
        self, pod: PodAddress, uid: str, attempt: int, path: str, *, limit_bytes: int = 0
    ) -> AsyncIterator[bytes]:
        self._note(f"read file {path}", uid)
        yield self.files[path]
