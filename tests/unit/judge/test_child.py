"""The process: what it may not do, and what happens when it ends or misbehaves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from soulbox.judge import limits
from soulbox.judge.child import COMMAND
from soulbox.judge.judge import Judge
from soulbox.judge.verdicts import Outcome
from soulbox.model.errors import JudgeUnavailable
from tests.unit.judge.conftest import running

pytestmark = pytest.mark.slow

READY = "import os, struct\nos.write(1, struct.pack('>I', 14) + b'{\"ready\":true}')\n"
# Reads one ask, of three frames.
READ = (
    "for _ in range(3):\n"
    "    length, = struct.unpack('>I', os.read(0, 4))\n"
    "    left = length\n"
    "    while left: left -= len(os.read(0, left))\n"
)


def answering(answer: bytes) -> tuple[str, ...]:
    """A child that was led astray: it answers that to every ask."""
    head = len(answer).to_bytes(4, "big")
    text = repr(answer) if len(answer) < 10_000 else f"b'x' * {len(answer)}"
    loop = textwrap.indent(READ + f"os.write(1, {head!r} + {text})\n", "    ")
    return (sys.executable, "-I", "-c", f"{READY}while True:\n{loop}")


def ending(how: str) -> tuple[str, ...]:
    """A child that ends at every ask."""
    return (sys.executable, "-I", "-c", f"{READY}{READ}{how}")


def children(command: bytes = b"soulbox.judge") -> set[int]:
    """This process's children with that in their command line."""
    found = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in listed.read_text().split():
            if command in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(int(pid))
    return found


def probes() -> set[int]:
    """Its children that are made to answer."""
    return children(b'{"ready":true}')


async def ask(judge: Judge, owner: str = "a") -> Outcome:
    """An ordinary ask."""
    verdict = await judge.validate({}, {}, owner=owner, name="input", field="inputSchema")
    return verdict.outcome


def test_process_can_open_nothing_and_knows_nothing() -> None:
    probe = textwrap.dedent("""
        import os, signal, socket, resource
        from soulbox.judge.serve import confine
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF})
        confine()
        print(signal.getsignal(signal.SIGPROF) is signal.SIG_DFL)
        print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        for attempt in (lambda: open("/etc/passwd"), socket.socket, os.pipe):
            try:
                attempt()
            except OSError as error:
                print(error.errno)
        for limit in (resource.RLIMIT_AS, resource.RLIMIT_CORE):
            print(resource.getrlimit(limit)[1])
        try:
            bytearray(300 << 20)
        except MemoryError:
            print("memory")
    """)
    done = subprocess.run(
        [sys.executable, "-I", "-c", probe], env={}, cwd="/", capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[:2] == ["True", "set()"], "the timer's signal ends it, whatever its parent did"
    assert lines[2:5] == ["24", "24", "24"], "EMFILE: no descriptor is left"
    assert lines[5:] == [str(limits.MEMORY_BYTES), "0", "memory"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", 0),
        (b"\0\0\0\x09abc", limits.EXIT_BROKEN),  # half a frame
        (b"\xff" * 64, limits.EXIT_BROKEN),  # a frame of gigabytes
        (b"\0\0\0\x02{}", limits.EXIT_BROKEN),  # a header without its parts
    ],
)
def test_process_ends_with_its_input(sent: bytes, code: int) -> None:
    done = subprocess.run(
        list(COMMAND), env={}, cwd="/", input=sent, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout[4:]) == (code, b'{"ready":true}')


def test_operator_s_process_imports_neither_library() -> None:
    probe = (
        "import sys, soulbox.judge.judge\n"
        "print([name for name in ('jsonschema_rs', 'cel_expr_python') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


NONSENSE = {
    "no JSON": b"{",
    "no object": b"[]",
    "no outcome": b'{"problems":[],"spent":false}',
    "an outcome that is the parent's to find": b'{"outcome":"Late","problems":["x"],"spent":false}',
    "good with problems": b'{"outcome":"Good","problems":["x"],"spent":false}',
    "bad without": b'{"outcome":"Bad","problems":[],"spent":false}',
    "problems that are no text": b'{"outcome":"Bad","problems":[1],"spent":false}',
    "hundreds of problems": b'{"outcome":"Bad","problems":'
    + b"["
    + b'"x",' * 99
    + b'"x"],"spent":0}',
    "a frame over its bound": b"x" * (limits.REPLY_BYTES + 1),
    # So much that the pipe is full and reading it pauses, as the child is ended.
    "a frame of a megabyte": b"x" * (1 << 20),
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_ends_the_child_and_blames_what_was_asked(name: str) -> None:
    async with running(Judge(command=answering(NONSENSE[name]))) as judge:
        verdict = await judge.validate({}, {}, owner="a", name="input", field="inputSchema")
        assert verdict.outcome is Outcome.DIED
        assert verdict.message.startswith("inputSchema ended the judge at input: ")
        assert judge.statistics().ended == {"Died": 1}


async def test_words_of_a_child_that_was_led_astray_are_cleaned_and_cut() -> None:
    answer = b'{"outcome":"Bad","problems":["\\u001b[2J' + b"x" * 5_000 + b'"],"spent":false}'
    async with running(Judge(command=answering(answer))) as judge:
        verdict = await judge.validate({}, {}, owner="a", name="input", field="inputSchema")
        assert verdict.outcome is Outcome.BAD
        assert verdict.problems[0].startswith("\\x1b[2Jxxx")
        assert len(verdict.problems[0]) == limits.PROBLEM_LETTERS + 1


ENDS = {
    "its own timer": ("os.kill(os.getpid(), 27)", Outcome.LATE),
    "want of memory": (f"os._exit({limits.EXIT_OUTGREW})", Outcome.OUTGREW),
    "an abort": ("os.abort()", Outcome.DIED),
    "a fault": ("os.kill(os.getpid(), 11)", Outcome.DIED),
    "an exit": ("os._exit(0)", Outcome.DIED),
}


@pytest.mark.parametrize("name", ENDS)
async def test_what_ends_a_new_child_has_itself_to_blame(name: str) -> None:
    how, want = ENDS[name]
    async with running(Judge(command=ending(how))) as judge:
        assert await ask(judge) is want
        assert judge.statistics().ended == {want: 1}


async def test_what_ends_a_child_that_others_used_is_asked_again_in_a_new_one() -> None:
    # It answers once, and is out of memory at the second ask.
    frame = b'{"outcome":"Good","problems":[],"spent":false}'
    answer = f"os.write(1, struct.pack('>I', {len(frame)}) + {frame!r})\n"
    command = ending(f"{answer}{READ}os._exit({limits.EXIT_OUTGREW})")
    async with running(Judge(command=command)) as judge:
        assert [await ask(judge) for _ in range(3)] == [Outcome.GOOD] * 3
        assert judge.statistics().ended == {"Outgrew": 2}
        assert judge.statistics().suspected == 0


async def test_ended_from_outside_is_nobody_s_fault() -> None:
    judged: Counter[tuple[str, str]] = Counter()
    judge = Judge(
        command=ending("os.kill(os.getpid(), 9)"),
        on_judged=lambda kind, outcome, _: judged.update([(kind, outcome)]),
    )
    async with running(judge):
        with pytest.raises(JudgeUnavailable, match="gave no answer"):
            await ask(judge)
        assert judge.statistics().suspected == 0
    assert judged == {("validate", "Unavailable"): 1}


async def test_killed_while_idle_the_next_ask_is_judged_by_another() -> None:
    async with running(Judge()) as judge:
        assert await ask(judge) is Outcome.GOOD
        (first,) = children()
        os.kill(first, signal.SIGKILL)
        assert await ask(judge) is Outcome.GOOD
        assert first not in children()
        assert judge.statistics().ended == {"Killed": 1}
    assert children() == set()


async def test_silent_without_using_cpu_is_the_machine_s_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "WALL_SECONDS", 0.2)
    ended: list[str] = []
    judge = Judge(command=ending("import time; time.sleep(600)"), on_ended=ended.append)
    async with running(judge):
        with pytest.raises(JudgeUnavailable, match="Silent"):
            await ask(judge)
    assert ended == ["Silent"]


async def test_child_that_cannot_start_fails_all_that_wait() -> None:
    for command in (("/nowhere/python",), (sys.executable, "-c", "raise SystemExit(1)")):
        async with running(Judge(command=command)) as judge:
            with pytest.raises(JudgeUnavailable, match="the judge's process"):
                await ask(judge)


async def test_child_that_asks_for_it_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = b'{"outcome":"Good","problems":[],"spent":true}'
    async with running(Judge(command=answering(answer))) as judge:
        assert [await ask(judge) for _ in range(3)] == [Outcome.GOOD] * 3
        assert judge.statistics().ended == {"Spent": 3}


async def test_slow_owner_is_judged_apart_from_then_on() -> None:
    answer = b'{"outcome":"Good","problems":[],"spent":false,"slow":true}'
    async with running(Judge(command=answering(answer))) as judge:
        assert [await ask(judge) for _ in range(2)] == [Outcome.GOOD] * 2
        # Its owner and its schema.
        assert judge.statistics().suspected == 2
        assert len(probes()) == 2
        # What was only slow is asked again, not remembered.
        assert judge.statistics().ended == {}


async def test_what_waits_of_a_suspect_goes_to_the_other_child() -> None:
    # It answers with its own process id.
    body = 'b\'{"outcome":"Good","problems":[],"spent":0,"slow":true,"value":%d}\' % os.getpid()'
    loop = f"while True:\n{textwrap.indent(READ, '    ')}    said = {body}\n"
    loop += "    os.write(1, struct.pack('>I', len(said)) + said)\n"
    command = (sys.executable, "-I", "-c", READY + loop)

    async with running(Judge(command=command)) as judge:

        async def answered_by(number: int) -> int:
            verdict = await judge.evaluate_cel(
                str(number), {}, owner="a", field="when", variables={}
            )
            return int(verdict.value)

        first, *others = await asyncio.gather(*(answered_by(number) for number in range(4)))
        assert len(set(others)) == 1
        assert first not in others


async def test_child_for_suspects_ends_when_nobody_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(Judge()) as judge:
        judge._suspects.put("owner known", True)
        monkeypatch.setattr(limits, "IDLE_SECONDS", 0.0)
        assert await ask(judge, "known") is Outcome.GOOD
        assert await ask(judge) is Outcome.GOOD
        while "Idle" not in judge.statistics().ended:
            assert await ask(judge) is Outcome.GOOD
        assert len(children()) == 1


async def test_ended_judge_answers_nobody() -> None:
    async with running(Judge()) as judge:
        assert await ask(judge) is Outcome.GOOD
    with pytest.raises(JudgeUnavailable, match="the operator ends"):
        await ask(judge)
    assert children() == set()
