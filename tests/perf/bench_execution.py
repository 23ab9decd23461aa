"""One Execution at a time in an idle sandbox, against kubectl exec of the same program."""

import asyncio
import random
import statistics
import subprocess
import time

from soulbox.kube.resources import EXECUTIONS, SANDBOXES
from tests.perf.cluster import CODE, NAMESPACE, execution, has_completed
from tests.perf.figures import Figure, spread
from tests.perf.trial import Trial

SECTION = "execution"
BOX = "bench"


async def measure(trial: Trial) -> None:
    """In turn, with random gaps."""
    cluster, tries = trial.cluster, trial.tries(50)
    await trial.sandboxes([BOX])
    found = await cluster.kube.get(SANDBOXES, BOX, NAMESPACE)
    pod = found["status"]["pod"]["name"]
    ours, baseline = [], []
    async with cluster.watch(EXECUTIONS) as watch:
        for number in range(tries + 1):
            manifest = execution(f"run-{number}", BOX)
            seconds = await cluster.timed(watch, EXECUTIONS, manifest, has_completed)
            other = await kubectl_exec(pod)
            if number:  # the first of each warms caches
                ours.append(seconds)
                baseline.append(other)
            await asyncio.sleep(random.uniform(0, 0.2))
    trial.report.add(
        *spread(SECTION, "Execution, create to end", ours),
        *spread(SECTION, "kubectl exec", baseline),
        Figure(
            section=SECTION,
            name="Execution / kubectl exec",
            value=statistics.median(ours) / statistics.median(baseline),
            unit="ratio",
            goal=0.25,
            note="medians",
        ),
    )
    await cluster.remove(SANDBOXES, BOX)


async def kubectl_exec(pod: str) -> float:
    """Seconds that kubectl exec of the same program takes.

    Raises:
        RuntimeError: it printed something else.
    """
    command = ("kubectl", "-n", NAMESPACE, "exec", pod, "--", "python3", "-c", CODE)
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    seconds = time.perf_counter() - started
    if output != b"42\n":
        raise RuntimeError(f"kubectl exec printed {output!r}")
    return seconds
