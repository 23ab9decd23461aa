"""Following runs: one task for each run that is not over, long-polling its runner.

The task is the only one that speaks to the runner about a run's progress; what it hears
is kept as the newest document and the Execution's key is queued. Losing the task loses
nothing: it is started again by the next pass, and asking is idempotent.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from soulbox.box.client import RunnerClient
from soulbox.box.transport import PodAddress
from soulbox.kinds.execution.decide.output import FILE_CONTENT_BYTES
from soulbox.kinds.execution.decide.seen import RunProblem
from soulbox.model.backoff import Backoff
from soulbox.model.errors import HostileReply, RunnerRefused, RunnerUnavailable
from soulbox.model.runs import RunDocument, StartRun
from soulbox.model.states import ExecutionReason, Kind, RunState
from soulbox.reconcile.health import RunnerHealth
from soulbox.reconcile.services import Spawn
from soulbox.schema.results import with_result

# How long the start call waits for the end: most runs are over by then, and it is when a
# run that is not becomes worth a status write.
_START_WAIT_SECONDS = 1.0
# A runner may be a moment behind its container's start, or its node slow.
_FIRST_RETRY_SECONDS = 0.02
_LAST_RETRY_SECONDS = 2.0
# An answer that says "still running" this early was not waited for as asked. One is normal
# (the first question asks for no wait); a runner that goes on so would keep us spinning.
_EARLY_SECONDS = 0.25
# A reply that breaks the contract may be a cut connection once; thrice it is the sandbox.
_MAX_HOSTILE_REPLIES = 3


@dataclass(slots=True)
class _Following:
    task: "asyncio.Task[None]"
    may_start: bool
    address: PodAddress
    attempt: int


class RunFollower:
    """Newest run documents by Execution uid, and the tasks that keep them new."""

    def __init__(
        self,
        runner: RunnerClient,
        *,
        wake: Callable[[Kind, str], None],
        spawn: Spawn,
        poll_seconds: float,
        health: RunnerHealth | None = None,
    ) -> None:
        """Args:
        health: told how each call went; None: nobody is.
        """
        self._health = health
        self._runner = runner
        self._wake = wake
        self._spawn = spawn
        self._poll_seconds = poll_seconds
        self._newest: dict[str, RunDocument | RunProblem] = {}
        self._following: dict[str, _Following] = {}
        # When each runner last told of its run, or was first asked, by the loop's clock.
        self._told_at: dict[str, float] = {}
        # When each first did, by the same clock: what a runner says later moves it no more.
        self._first_told_at: dict[str, float] = {}

    def newest(self, uid: str) -> RunDocument | RunProblem | None:
        """What was last heard of a run, None before the first word."""
        return self._newest.get(uid)

    def awaits(self, uid: str) -> bool:
        """Whether a task asks about the run and has not heard anything yet."""
        known = self._following.get(uid)
        return known is not None and not known.task.done() and uid not in self._newest

    def silent_seconds(self, uid: str) -> float | None:
        """How long the runner has told nothing of the run; None: it was not asked yet."""
        told_at = self._told_at.get(uid)
        return None if told_at is None else asyncio.get_running_loop().time() - told_at

    def followed_seconds(self, uid: str) -> float | None:
        """How long ago the runner first told of the run; None: it has not. Measured here, and
        not by times that a runner may make up."""
        told_at = self._first_told_at.get(uid)
        return None if told_at is None else asyncio.get_running_loop().time() - told_at

    def is_starting(self, uid: str) -> bool:
        """Whether a task is under way that may start the run: it has what it needs."""
        known = self._following.get(uid)
        return known is not None and known.may_start and not known.task.done()

    def follow(self, uid: str, address: PodAddress, attempt: int, request: StartRun | None) -> None:
        """Keep following; with `request` start the run if its runner does not know it.

        Following without leave to start replaces following with it: from then on nothing
        starts the run.
        """
        known = self._following.get(uid)
        may_start = request is not None
        if known is not None:
            if known.task.done() or (known.may_start and not may_start):
                known.task.cancel()
            else:
                return
        newest = self._newest.get(uid)
        if isinstance(newest, RunProblem):
            return
        if newest is not None and newest.state is RunState.FINISHED:
            return
        self._told_at.setdefault(uid, asyncio.get_running_loop().time())
        task = self._spawn(f"follow-{uid}", self._follow(uid, address, attempt, request))
        self._following[uid] = _Following(task, may_start, address, attempt)

    def never_start(self, uid: str) -> None:
        """Its Execution ends without a word of the runner: from now on nothing starts the run,
        however long its runner takes to answer."""
        known = self._following.get(uid)
        if known is not None and known.may_start and not known.task.done():
            self.follow(uid, known.address, known.attempt, None)

    def forget(self, uid: str) -> None:
        """The run is released or its pod is gone: drop what is known of it."""
        self._newest.pop(uid, None)
        self._told_at.pop(uid, None)
        self._first_told_at.pop(uid, None)
        known = self._following.pop(uid, None)
        if known is not None:
            known.task.cancel()

    @property
    def active(self) -> int:
        """Tasks that are under way."""
        return sum(not following.task.done() for following in self._following.values())

    def _heard(self, uid: str, news: RunDocument | RunProblem) -> None:
        self._newest[uid] = news
        self._told_at[uid] = asyncio.get_running_loop().time()
        self._first_told_at.setdefault(uid, self._told_at[uid])
        self._wake(Kind.EXECUTION, uid)

    async def _follow(
        self, uid: str, address: PodAddress, attempt: int, request: StartRun | None
    ) -> None:
        loop = asyncio.get_running_loop()
        retry = Backoff(first_seconds=_FIRST_RETRY_SECONDS, most_seconds=_LAST_RETRY_SECONDS)
        hostile, early = 0, False
        while True:
            asked_at = loop.time()
            try:
                document = await self._ask(uid, address, attempt, request)
                if document.state is RunState.FINISHED:
                    document = with_result(document)
                    if document.files:
                        document = await self._with_contents(address, document)
                self._heard(uid, document)
                if document.state is RunState.FINISHED:
                    return
                # Known to the runner: from here on only listen.
                request, hostile = None, 0
                retry.reset()
                was_early, early = early, loop.time() - asked_at < _EARLY_SECONDS
                if early and was_early:
                    await asyncio.sleep(_EARLY_SECONDS)
                continue
            except RunnerRefused as error:
                if error.code == "Conflict":  # known, though we would build it anew now
                    request = None
                elif error.code not in ("Busy", "TableFull"):
                    self._heard(uid, _problem(error))
                    return
                else:  # it has no room (yet), and says so
                    self._told_at[uid] = loop.time()
            except HostileReply as error:
                hostile += 1
                if hostile >= _MAX_HOSTILE_REPLIES:
                    self._heard(uid, RunProblem(reason=ExecutionReason.LOST, message=str(error)))
                    return
            except RunnerUnavailable:
                pass
            await asyncio.sleep(retry.next_seconds())

    async def _with_contents(self, address: PodAddress, run: RunDocument) -> RunDocument:
        """The document with the contents of its small files, for the status. What cannot be
        read, or is not what its hash says, is left out: the record gets it by itself."""
        left, files = FILE_CONTENT_BYTES, []
        for file in run.files:
            if file.truncated or file.size_bytes > left:
                files.append(file)
                continue
            content = bytearray()
            try:
                async for chunk in self._runner.read_file(
                    address, run.uid, run.attempt, file.path, limit_bytes=FILE_CONTENT_BYTES
                ):
                    content += chunk
            except (RunnerUnavailable, RunnerRefused, HostileReply):
                files.append(file)
                continue
            if hashlib.sha256(content).hexdigest() == file.sha256:
                left -= len(content)
                files.append(replace(file, content=bytes(content)))
            else:
                files.append(file)
        return replace(run, files=tuple(files))

    async def _ask(
        self, uid: str, address: PodAddress, attempt: int, request: StartRun | None
    ) -> RunDocument:
        """One call; the runner's health is told how it went."""
        try:
            document = await self._call(uid, address, attempt, request)
        except RunnerUnavailable as error:
            if self._health is not None and error.reached:
                self._health.failed(address.uid)
            raise
        except RunnerRefused:  # one that says no is at work
            if self._health is not None:
                self._health.answered(address.uid)
            raise
        if self._health is not None:
            self._health.answered(address.uid)
        return document

    async def _call(
        self, uid: str, address: PodAddress, attempt: int, request: StartRun | None
    ) -> RunDocument:
        if request is not None:
            return await self._runner.start(
                address, uid, attempt, request, wait_seconds=_START_WAIT_SECONDS
            )
        wait = self._poll_seconds if uid in self._newest else 0.0
        return await self._runner.get(address, uid, attempt, wait_seconds=wait)


def _problem(error: RunnerRefused) -> RunProblem:
    if error.code == "NotFound":
        return RunProblem(
            reason=ExecutionReason.LOST,
            message="Its runner does not know the run; the code was not started.",
            never_started=True,
        )
    if error.code == "Released":
        return RunProblem(
            reason=ExecutionReason.LOST,
            message="Its runner has let go of the run's result already.",
        )
    return RunProblem(
        reason=ExecutionReason.START_FAILED,
        message=f"Its runner refused the run ({error.code}): {error.message[:512]}",
    )
