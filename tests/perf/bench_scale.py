"""A thousand Sandboxes with their pods, stored in the real API server: memory, and a restart."""

import asyncio
import os
import time
from collections import Counter
from contextlib import suppress

from soulbox.kube.resources import SANDBOXES
from tests.perf.audit import AuditLog
from tests.perf.cluster import NAMESPACE, is_ready, sandbox
from tests.perf.fake_node import SCALE_CLASS, FakeNode
from tests.perf.figures import Figure
from tests.perf.trial import Trial

SECTION = "scale"
# Once a minute the operator gives back what a burst left free.
_REST_SECONDS = 65.0
_KIND = ("soulbox_reconciles_total", 'kind="Sandbox",result="ok"')


async def measure(trial: Trial) -> None:
    """Idle memory of a fresh operator, then the Sandboxes, then a restart with all of them."""
    node = FakeNode(trial.cluster)
    await node.prepare()
    count = 100 if trial.quick else int(os.environ.get("SOULBOX_BENCH_SANDBOXES", "1000"))
    running = asyncio.create_task(node.run())
    try:
        await _measure(trial, count, node, running)
        await trial.cluster.empty()  # the node must still be there to end its pods
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    await node.remove()


async def _measure(trial: Trial, count: int, node: FakeNode, running: "asyncio.Task[None]") -> None:
    operator, report = trial.operator, trial.report
    trial.restart_operator()
    await node.usable()
    await asyncio.sleep(5)
    idle = operator.resident_bytes()
    audit, started = AuditLog(), time.perf_counter()
    await _create(trial, count, running)
    created = time.perf_counter() - started
    await asyncio.sleep(10 if trial.quick else _REST_SECONDS)
    grown = operator.resident_bytes()
    writes = audit.operator_writes()
    report.add(
        Figure(
            section=SECTION,
            name=f"{count} Sandboxes created at once to all Ready",
            value=created,
            unit="s",
            note=f"{count / created:.0f} a second; fake node, real API server and scheduler",
        ),
        Figure(
            section=SECTION,
            name="API writes a Sandbox, Events apart",
            value=sum(_but_events(writes).values()) / count,
            unit="API writes",
            note="audit log; a start over a second costs one more",
        ),
        Figure(
            section=SECTION,
            name="memory a Sandbox with its pod, grown",
            value=(grown - idle) / count / 1024,
            unit="KiB",
            goal=20 * 1000 / 1024,
            note=f"resident: {idle / 2**20:.0f} MiB idle, {grown / 2**20:.0f} MiB with {count}",
        ),
    )
    await _restart(trial, count, idle)


async def _create(trial: Trial, count: int, running: "asyncio.Task[None]") -> None:
    cluster = trial.cluster
    async with cluster.watch(SANDBOXES) as watch:
        room = asyncio.Semaphore(50)
        done = 0

        async def one(number: int) -> None:
            nonlocal done
            name = f"many-{number:05}"
            seen = watch.wait(name, is_ready)
            async with room:
                await cluster.kube.create(SANDBOXES, sandbox(name, SCALE_CLASS), NAMESPACE)
            await seen
            done += 1
            if done % 250 == 0:
                trial.report.say(f"    {done} of {count} Ready")

        async def all_of_them() -> None:
            await asyncio.gather(*(one(number) for number in range(count)))

        everything = asyncio.create_task(all_of_them())
        await asyncio.wait({everything, running}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            everything.cancel()
            await running  # raises
        await everything


async def _restart(trial: Trial, count: int, idle: int) -> None:
    operator, report = trial.operator, trial.report
    audit = AuditLog()
    ended = await asyncio.to_thread(operator.terminate)
    started = time.perf_counter()
    await asyncio.to_thread(operator.start)
    while True:
        metrics = await asyncio.to_thread(operator.metrics)
        passes = metrics.get(_KIND, 0)
        if passes >= count and not metrics[("soulbox_queue_ready", "")]:
            break
        if time.perf_counter() - started > 60:
            raise RuntimeError(f"only {passes:.0f} passes a minute after the restart")
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - started
    await asyncio.sleep(10 if trial.quick else _REST_SECONDS)
    again = operator.resident_bytes()
    writes = audit.operator_writes()
    changes = _but_events(writes)
    report.add(
        Figure(
            section=SECTION,
            name=f"restart: SIGTERM to {count} reconciled",
            value=ended + seconds,
            unit="s",
            goal=2,
            note=f"{ended:.2f} s to end, {seconds:.2f} s to begin",
        ),
        Figure(
            section=SECTION,
            name="API writes of a restart",
            value=sum(changes.values()),
            unit="API writes",
            goal=0,
            note=", ".join(f"{what} {n}" for what, n in changes.items()) or "audit log",
        ),
        Figure(
            section=SECTION,
            name="memory a Sandbox with its pod, after a restart",
            value=(again - idle) / count / 1024,
            unit="KiB",
            goal=20 * 1000 / 1024,
            note=f"resident: {again / 2**20:.0f} MiB with {count}",
        ),
    )


def _but_events(writes: Counter[str]) -> dict[str, int]:
    """What is neither an Event nor the operator's Lease."""
    return {what: n for what, n in writes.items() if not what.endswith((" leases", " events"))}
