"""The operator with nothing to do: memory, CPU, calls to the API server."""

import asyncio

from tests.perf.audit import OPERATOR, AuditLog
from tests.perf.figures import Figure
from tests.perf.trial import Trial

SECTION = "idle"


async def measure(trial: Trial) -> None:
    """A minute of nothing, after the start has settled."""
    operator, say = trial.operator, trial.report.say
    trial.restart_operator()
    await asyncio.sleep(5)  # what start still does: repair, prices, partitions
    seconds = 15.0 if trial.quick else 60.0
    say(f"    looking for {seconds:.0f} s")
    audit, cpu = AuditLog(), operator.cpu_seconds()
    await asyncio.sleep(seconds)
    share = (operator.cpu_seconds() - cpu) / seconds
    trial.report.add(
        Figure(
            section=SECTION,
            name="operator's memory",
            value=operator.resident_bytes() / 2**20,
            unit="MiB",
            goal=140,
            note="resident; no Sandbox exists",
        ),
        Figure(
            section=SECTION,
            name="operator's CPU",
            value=100 * share,
            unit="% of a core",
            goal=1,
            note=f"over {seconds:.0f} s",
        ),
    )
    if audit.exists:
        writes = [entry.what for entry in audit.entries() if entry.user == OPERATOR]
        others = [what for what in writes if not what.endswith(" leases") and "events" not in what]
        changes = [what for what in others if what.split()[0] not in ("get", "list", "watch")]
        trial.report.add(
            Figure(
                section=SECTION,
                name="API writes but Leases",
                value=len(changes),
                goal=0,
                note=", ".join(sorted(set(changes))) or f"over {seconds:.0f} s; audit log",
            )
        )
