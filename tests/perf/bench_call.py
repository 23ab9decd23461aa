"""Calls of a Function: the first, which starts a Sandbox, and warm ones, in turn with Executions.

The warm ones have a handler, and schemas at both ends, that are judged.
"""

import asyncio
import random
import statistics

from soulbox.kube.resources import EXECUTIONS, FUNCTIONS, SANDBOXES
from tests.perf.cluster import NAMESPACE, call, execution, function, has_completed, is_published
from tests.perf.figures import Figure, spread
from tests.perf.trial import Trial

SECTION = "call"
BOX, FUNCTION = "bench", "twice"


async def measure(trial: Trial) -> None:
    """In turn, with random gaps."""
    cluster, tries = trial.cluster, trial.tries(50)
    await trial.sandboxes([BOX])
    async with cluster.watch(FUNCTIONS) as functions:
        await cluster.timed(functions, FUNCTIONS, function(FUNCTION), is_published)
    warm, baseline = [], []
    async with cluster.watch(EXECUTIONS) as watch:
        first = await cluster.timed(watch, EXECUTIONS, call("first", FUNCTION), has_completed)
        for number in range(tries + 1):
            seconds = await cluster.timed(
                watch, EXECUTIONS, call(f"call-{number}", FUNCTION), has_completed
            )
            manifest = execution(f"run-{number}", BOX)
            other = await cluster.timed(watch, EXECUTIONS, manifest, has_completed)
            if number:  # the first of each warms caches
                warm.append(seconds)
                baseline.append(other)
            await asyncio.sleep(random.uniform(0, 0.2))
    trial.report.add(
        Figure(
            section=SECTION,
            name="first call of a Function, create to end",
            value=1000 * first,
            unit="ms",
            note="a Sandbox's start and a call",
        ),
        *spread(SECTION, "warm call, create to end", warm),
        *spread(SECTION, "Execution in a Sandbox, create to end", baseline),
        Figure(
            section=SECTION,
            name="warm call / Execution",
            value=statistics.median(warm) / statistics.median(baseline),
            unit="ratio",
            goal=1.3,
            note="medians; both schemas judged",
        ),
    )
    await cluster.remove(SANDBOXES, BOX)
    found = await cluster.kube.get(FUNCTIONS, FUNCTION, NAMESPACE)
    await cluster.kube.delete(FUNCTIONS, FUNCTION, NAMESPACE, uid=found["metadata"]["uid"])
