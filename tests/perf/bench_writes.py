"""API writes of one life of each kind, counted by the audit log, against the design's budget."""

import asyncio
import statistics
from collections import Counter

from soulbox.kube.resources import EXECUTIONS, SANDBOXES
from tests.perf.audit import AuditLog
from tests.perf.cluster import NAMESPACE, execution, has_completed, is_gone, is_ready, sandbox
from tests.perf.figures import Figure
from tests.perf.trial import Trial

SECTION = "writes"
# docs/architecture.md: finalizer, pod, status; dispatch, status; pod, its finalizer, object's.
BUDGET = {"Sandbox, create to Running": 3, "Execution under a second": 2, "Sandbox, deletion": 3}


async def measure(trial: Trial) -> None:
    """A few lives, one after the other; the median of each part."""
    audit, cluster, tries = AuditLog(), trial.cluster, trial.tries(10)
    if not audit.exists:
        trial.report.say("    this cluster keeps no audit log for us: not measured")
        return
    parts: dict[str, list[Counter[str]]] = {name: [] for name in BUDGET}
    events = 0
    async with cluster.watch(SANDBOXES) as boxes, cluster.watch(EXECUTIONS) as runs:
        for number in range(tries):
            name, run = f"life-{number}", f"life-run-{number}"
            audit = AuditLog()
            await cluster.timed(boxes, SANDBOXES, sandbox(name), is_ready)
            found = await cluster.kube.get(SANDBOXES, name, NAMESPACE)
            pod = str(found["status"]["pod"]["name"])
            start = await _settled(audit, name, pod)
            await cluster.timed(runs, EXECUTIONS, execution(run, name), has_completed)
            parts["Execution under a second"].append(await _settled(audit, run))
            gone = boxes.wait(name, is_gone)
            await cluster.remove(SANDBOXES, name)
            await gone
            all_of_it = await _settled(audit, name, pod)
            parts["Sandbox, create to Running"].append(start)
            parts["Sandbox, deletion"].append(all_of_it - start)
            events += sum("events" in what for what in audit.operator_writes().elements())
    for name, goal in BUDGET.items():
        counts = [found.total() for found in parts[name]]
        typical = parts[name][counts.index(sorted(counts)[len(counts) // 2])]
        trial.report.add(
            Figure(
                section=SECTION,
                name=name,
                value=statistics.median(counts),
                unit="API writes",
                goal=goal,
                note=", ".join(f"{what} {n}" if n > 1 else what for what, n in typical.items()),
            )
        )
    trial.report.add(
        Figure(
            section=SECTION,
            name="Events of such a life",
            value=events / tries,
            unit="API writes",
            note="one when a Sandbox is Ready, one at an Execution's end",
        )
    )


async def _settled(audit: AuditLog, *names: str) -> Counter[str]:
    """The writes to these objects once none has come for half a second."""
    known, quiet = audit.operator_writes(*names), 0
    while quiet < 5:
        await asyncio.sleep(0.1)
        found = audit.operator_writes(*names)
        quiet = quiet + 1 if found == known else 0
        known = found
    return known
