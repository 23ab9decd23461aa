"""The judge's process as its parent sees it: started, asked, and read for what ended it.

Its answers are hostile input: a library that was led astray may say anything. What is not a reply
ends the process.
"""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from soulbox.judge import limits
from soulbox.judge.frames import LENGTH_BYTES, BrokenFrame, length, pack
from soulbox.judge.verdicts import Outcome
from soulbox.model.errors import JudgeUnavailable
from soulbox.model.text import printable

# Isolated: no variable of the environment and no folder it is started in changes what it imports.
COMMAND: Final = (sys.executable, "-I", "-m", "soulbox.judge")
# Whatever ends processes from outside, the kernel for want of memory among them.
_FROM_OUTSIDE: Final = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}
_ANSWERS: Final = {Outcome.GOOD, Outcome.BAD, Outcome.REFUSED}


class Cause(StrEnum):
    """What ended a child."""

    # Its timer of CPU time.
    LATE = "Late"
    # Its limit of memory.
    OUTGREW = "Outgrew"
    # An abort, a fault, an answer that is none.
    DIED = "Died"
    # It was replaced for what it had used up: nobody's fault.
    SPENT = "Spent"
    # It did not answer, and used no CPU time either: the machine's fault.
    SILENT = "Silent"
    # Somebody else ended it.
    KILLED = "Killed"
    # Nobody asks for it any more.
    IDLE = "Idle"


class Ended(Exception):
    """The child ended instead of answering.

    Attributes:
        cause: what ended it.
    """

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a child answered; problems are cut and cleaned.

    Attributes:
        spent: it asks to be replaced.
        slow: it took much longer than ordinary asks.
    """

    outcome: Outcome
    problems: tuple[str, ...] = ()
    value: Any = None
    spent: bool = False
    slow: bool = False


class Child:
    """One process. It is asked one thing at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input = process.stdin
        self._output = process.stdout
        # It has answered nothing yet: what ends it now is the fault of what it is asked.
        self.fresh = True

    @classmethod
    async def start(cls, command: tuple[str, ...] = COMMAND) -> "Child":
        """A process that is ready to be asked.

        Raises:
            JudgeUnavailable: it cannot be started here.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, cwd="/",
                # Ctrl-C at a terminal is the operator's, which ends it in its own time.
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise JudgeUnavailable(f"the judge's process cannot be started: {error}") from error
        child = cls(process)
        try:
            async with asyncio.timeout(limits.START_SECONDS):
                await child._frame()
        except (TimeoutError, BrokenFrame, EOFError, ConnectionError) as error:
            await child.end()
            raise JudgeUnavailable(
                f"the judge's process ended as it started (exit code {process.returncode})"
            ) from error
        except BaseException:
            await child.end()
            raise
        return child

    async def ask(self, header: bytes, subject: bytes, document: bytes) -> Reply:
        """Its answer.

        Raises:
            Ended: it is gone.
        """
        try:
            async with asyncio.timeout(limits.WALL_SECONDS):
                self._input.write(pack(header, subject, document))
                await self._input.drain()
                reply = parse_reply(await self._frame())
        except TimeoutError as error:
            await self.end()
            raise Ended(Cause.SILENT) from error
        except (BrokenFrame, ValueError, TypeError, LookupError) as error:
            await self.end()
            raise Ended(Cause.DIED) from error
        except (EOFError, ConnectionError) as error:
            # It has closed the pipe, and ends or has ended.
            code = await self._code()
            await self.end()
            raise Ended(_cause(code)) from error
        except BaseException:
            # What it says next would be taken for the answer to something else.
            await self.end()
            raise
        self.fresh = False
        return reply

    async def end(self) -> None:
        """End it, if it has not ended, and wait until it is gone."""
        self._kill()
        await self._gone()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _code(self) -> int:
        try:
            async with asyncio.timeout(limits.WALL_SECONDS):
                return await self._gone()
        except TimeoutError:
            self._kill()
            return await self._gone()

    async def _gone(self) -> int:
        """Wait until it is gone: its exit code."""
        self._input.close()
        # What it wrote and nobody read would keep the pipe open, and asyncio waits for both.
        with contextlib.suppress(ConnectionError):
            while await self._output.read(limits.REPLY_BYTES):
                pass
        return await self._process.wait()

    async def _frame(self) -> bytes:
        # IncompleteReadError is an EOFError.
        head = await self._output.readexactly(LENGTH_BYTES)
        return await self._output.readexactly(length(head, limits.REPLY_BYTES))


def _cause(code: int) -> Cause:
    if code == -signal.SIGPROF:
        return Cause.LATE
    if code == limits.EXIT_OUTGREW:
        return Cause.OUTGREW
    if code == -signal.SIGXCPU:
        return Cause.SPENT
    return Cause.KILLED if code in _FROM_OUTSIDE else Cause.DIED


def parse_reply(frame: bytes) -> Reply:
    """The answer in a frame.

    Raises:
        ValueError, TypeError, LookupError: it is none.
    """
    said = orjson.loads(frame)
    outcome, problems, spent = Outcome(said["outcome"]), said["problems"], said["spent"]
    if (
        outcome not in _ANSWERS
        or not isinstance(problems, list)
        or len(problems) > limits.PROBLEMS
        or bool(problems) is (outcome is Outcome.GOOD)
    ):
        raise ValueError("no reply of the judge")
    return Reply(
        outcome=outcome,
        problems=tuple(_cleaned(problem) for problem in problems),
        value=said.get("value"),
        spent=spent is True,
        slow=said.get("slow") is True,
    )


def _cleaned(problem: object) -> str:
    if not isinstance(problem, str):
        raise TypeError("a problem that is no text")
    text = printable(problem[: limits.PROBLEM_LETTERS]).replace("\n", " ")
    return text if len(text) <= limits.PROBLEM_LETTERS else text[: limits.PROBLEM_LETTERS] + "…"
