"""The judge's figures: `make bench-judge`, or `python -m tests.perf.bench_judge [--hostile]`.

What an ordinary ask takes, from the caller's side, with the pipe; and of each hostile document how
it was refused, after how long, and how late the operator's event loop was meanwhile. Real child
processes; nothing is asserted. Other work on the machine is measured too: let it rest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from soulbox.judge.judge import Judge
from soulbox.judge.verdicts import Type, Verdict
from tests.perf.figures import Figure, Report, quantile
from tests.unit.judge.conftest import running
from tests.unit.judge.hostile import HOSTILE

TRIES = 2_000
# How often the loop is looked at; its lateness is what a tick came later than that.
TICK_SECONDS = 0.002
SCHEMA = {
    "type": "object",
    "required": ["url"],
    "additionalProperties": False,
    "properties": {
        "url": {"type": "string", "format": "uri"},
        "width": {"type": "integer", "minimum": 1, "maximum": 4096},
    },
}
INPUT = {"url": "https://example.com/a.png", "width": 320}
LARGE = {"type": "array", "items": {"type": "object", "required": ["n"]}}
ITEMS = [{"n": number, "s": "x" * 20} for number in range(6_000)]


class Lag:
    """How late the event loop was, at worst, since the last look.

    Without the time in which it could have run and the machine's other work had the processor,
    which the kernel counts.
    """

    def __init__(self) -> None:
        self._worst = 0.0
        self._task = asyncio.create_task(self._watch())

    def take(self) -> float:
        """The worst in seconds; begins anew."""
        worst, self._worst = self._worst, 0.0
        return worst

    def close(self) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            began, queued = time.perf_counter(), _queued_seconds()
            await asyncio.sleep(TICK_SECONDS)
            late = time.perf_counter() - began - TICK_SECONDS
            self._worst = max(self._worst, late - (_queued_seconds() - queued))


def _queued_seconds() -> float:
    """How long this thread has waited for a processor in its life."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


async def ordinary(judge: Judge, report: Report) -> None:
    """Asks as honest tenants make them."""

    async def validate(document: Any, schema: Any) -> Verdict:
        return await judge.validate(document, schema, owner="a", name="input", field="inputSchema")

    async def evaluate() -> Verdict:
        return await judge.evaluate_cel(
            "input.width > 100 && input.url.startsWith('https:')",
            {"input": INPUT}, owner="a", field="when",
            variables={"input": Type.ANY}, result=Type.BOOL,
        )  # fmt: skip

    async def publish() -> Verdict:
        return await judge.check_schema(SCHEMA, owner="a", field="inputSchema", object_at_top=True)

    asks: dict[str, tuple[Callable[[], Awaitable[Verdict]], bool, float | None]] = {
        "an input that matches": (lambda: validate(INPUT, SCHEMA), True, 1.0),
        "an input that does not": (lambda: validate({"width": 9000}, SCHEMA), False, 1.0),
        "an input of 240 KiB": (lambda: validate(ITEMS, LARGE), True, None),
        "a schema, to be published": (publish, True, None),
        "a CEL expression": (evaluate, True, 1.0),
    }
    for name, (ask, good, goal) in asks.items():
        taken = []
        for _ in range(TRIES if goal else TRIES // 10):
            began = time.perf_counter()
            verdict = await ask()
            taken.append((time.perf_counter() - began) * 1000)
            assert verdict.good is good, verdict
        report.add(
            Figure(section="judge", name=name, value=quantile(taken, 0.5), unit="ms", goal=goal,
                   note=f"p99 {quantile(taken, 0.99):.2f} ms"),
        )  # fmt: skip


async def resources(judge: Judge, report: Report) -> None:
    """What the child takes: its start, its memory."""
    (pid,) = _children()
    status = _status(pid)
    for name, key in (("memory", "VmRSS"), ("address space at most", "VmPeak")):
        value = int(status[key].split()[0]) / 1024
        report.add(Figure(section="judge", name=f"child: {name}", value=value, unit="MiB"))
    began = time.perf_counter()
    async with running(Judge()) as another:
        await another.check_cel("1", owner="a", field="when", variables={})
        taken = (time.perf_counter() - began) * 1000
    report.add(Figure(section="judge", name="child: start to first answer", value=taken, unit="ms"))


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)


def _children() -> list[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in map(int, listed) if b"soulbox.judge" in _command(pid)]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def hostile(judge: Judge) -> None:
    """A row of a table for each attempt."""
    lag = Lag()
    print("\n| hostile | verdict | after | loop late by at most | said |\n|---|---|---|---|---|")
    worst = 0.0
    for name, case in HOSTILE.items():
        await asyncio.sleep(0.05)
        lag.take()
        began = time.perf_counter()
        verdict = await case.ask(judge, name)
        taken = (time.perf_counter() - began) * 1000
        await asyncio.sleep(2 * TICK_SECONDS)
        late = lag.take() * 1000
        worst = max(worst, late)
        said = verdict.problems[0].replace("|", "\\|") if verdict.problems else ""
        print(f"| {name} | {verdict.outcome} | {taken:.1f} ms | {late:.1f} ms | {said[:120]} |")
    lag.close()
    print(f"\nThe loop was late by {worst:.1f} ms at most. {judge.statistics()}")


async def measure(*, with_hostile: bool) -> None:
    """All of it."""
    report = Report(lambda _: None)
    async with running(Judge()) as judge:
        await ordinary(judge, report)
        await resources(judge, report)
        print(report.table())
        if with_hostile:
            await hostile(judge)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--hostile", action="store_true", help="also the table of hostile ones")
    asyncio.run(measure(with_hostile=parser.parse_args().hostile))
