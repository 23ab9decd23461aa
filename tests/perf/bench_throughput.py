"""Executions a second through one operator, and how long each takes under that load.

Twenty sandboxes, the whole cluster and this program on the same cores. The bench's class
gives each sandbox a whole core as its limit, so that no CPU quota is what is measured.
"""

import asyncio
import statistics
import time

from soulbox.kube.resources import EXECUTIONS, SANDBOXES
from tests.perf.cluster import NAMESPACE, execution, has_completed
from tests.perf.figures import Figure, quantile
from tests.perf.operator_process import cpu_times
from tests.perf.trial import Trial

SECTION = "throughput"
BOXES = 20
_WORTH_A_ROW_MILLISECONDS = 0.1


async def measure(trial: Trial) -> None:
    """Idle latency, a closed loop of twenty clients, then all at once."""
    boxes = [f"box-{number}" for number in range(BOXES)]
    trial.report.say(f"    starting {BOXES} sandboxes")
    await trial.sandboxes(boxes)
    trial.report.say(f"    one Execution at a time, then {BOXES}")
    idle = await _closed_loop(trial, "idle", boxes[:1], trial.tries(30))
    await _closed_loop(trial, "warm", boxes, 2)
    await _under_load(trial, boxes, quantile(idle, 0.5))
    trial.report.say("    all at once")
    await _burst(trial, boxes)
    for name in boxes:
        await trial.cluster.remove(SANDBOXES, name)


async def _under_load(trial: Trial, boxes: list[str], idle_seconds: float) -> None:
    """Each sandbox has a client that creates the next Execution when the last is over."""
    each = trial.tries(40)
    before, started = cpu_times(), time.perf_counter()
    seconds = await _closed_loop(trial, "load", boxes, each)
    elapsed = time.perf_counter() - started
    shares = cpu_times().since(before, each * len(boxes))
    count = each * len(boxes)
    p99 = quantile(seconds, 0.99)
    trial.report.add(
        Figure(
            section=SECTION,
            name=f"{BOXES} clients, one Execution each at a time",
            value=count / elapsed,
            unit="per second",
            goal=60,
            at_least=True,
            note=f"n = {count}",
        ),
        Figure(
            section=SECTION, name="latency under load, p50",
            value=1000 * statistics.median(seconds),
            unit="ms",
        ),
        Figure(
            section=SECTION, name="latency under load, p99", value=1000 * p99, unit="ms",
        ),
        Figure(
            section=SECTION,
            name="p99 under load / p50 idle",
            value=p99 / idle_seconds,
            unit="ratio",
            goal=10,
            note=f"idle p50 {1000 * idle_seconds:.0f} ms, same sandboxes",
        ),
        Figure(
            section=SECTION, name="CPU for each of them, all programs", value=sum(shares.values()),
            unit="ms", note="two cores have 2000 ms a second",
        ),
        *(
            Figure(section=SECTION, name=f"of it: {name}", value=milliseconds, unit="ms")
            for name, milliseconds in shares.items()
            if milliseconds >= _WORTH_A_ROW_MILLISECONDS
        ),
    )  # fmt: skip


async def _closed_loop(trial: Trial, prefix: str, boxes: list[str], each: int) -> list[float]:
    """Seconds of every Execution."""
    cluster = trial.cluster
    seconds: list[float] = []
    async with cluster.watch(EXECUTIONS) as watch:

        async def client(box: str) -> None:
            for number in range(each):
                manifest = execution(f"{prefix}-{box}-{number}", box)
                seconds.append(await cluster.timed(watch, EXECUTIONS, manifest, has_completed))

        await asyncio.gather(*(client(box) for box in boxes))
    return seconds


async def _burst(trial: Trial, boxes: list[str]) -> None:
    """Created as fast as twenty connections can; the operator queues them, one at a time in a
    sandbox."""
    cluster, count = trial.cluster, trial.tries(600)
    async with cluster.watch(EXECUTIONS) as watch:
        names = [f"burst-{number}" for number in range(count)]
        ends = [watch.wait(name, has_completed) for name in names]
        started = time.perf_counter()
        waiting = iter(enumerate(names))

        async def create() -> None:
            for number, name in waiting:
                manifest = execution(name, boxes[number % BOXES])
                await cluster.kube.create(EXECUTIONS, manifest, NAMESPACE)

        await asyncio.gather(*(create() for _ in range(BOXES)))
        created = time.perf_counter() - started
        elapsed = max(await asyncio.gather(*ends)) - started
    items = await cluster.kube.list(EXECUTIONS, NAMESPACE)
    states = [
        item["status"]["state"] for item in items if item["metadata"]["name"].startswith("burst-")
    ]
    completed = states.count("Completed")
    if completed != count:
        raise RuntimeError(f"{count - completed} of {count} Executions did not complete")
    trial.report.add(
        Figure(
            section=SECTION,
            name=f"{count} Executions created at once",
            value=count / elapsed,
            unit="per second",
            goal=60,
            at_least=True,
            note=f"creating them took {created:.1f} s of {elapsed:.1f} s",
        )
    )
