"""Sandbox create to Ready against a bare pod of the same spec, and the operator's share of it.

Pods become Ready at the kubelet's one-second look, so the gaps between tries are 1 + U(0,1) s:
a fixed gap would lock onto its phase.
"""

import asyncio
import random
import statistics

from soulbox.kube.resources import PODS, SANDBOXES
from tests.perf.audit import NODES, OPERATOR, AuditLog, Entry
from tests.perf.cluster import NAMESPACE, bare_pod, is_ready, sandbox
from tests.perf.figures import Figure, quantile, spread
from tests.perf.trial import Trial

SECTION = "sandbox"


async def measure(trial: Trial) -> None:
    """In turn, with random gaps."""
    cluster, tries = trial.cluster, trial.tries(30)
    await trial.sandboxes(["model"])
    found = await cluster.kube.get(SANDBOXES, "model", NAMESPACE)
    model = await cluster.kube.get(PODS, found["status"]["pod"]["name"], NAMESPACE)
    audit = AuditLog()
    ours, baseline, pods = [], [], {}
    async with cluster.watch(SANDBOXES) as watch, cluster.watch(PODS) as pod_watch:
        for number in range(tries):
            name, bare = f"cold-{number}", f"bare-{number}"
            ours.append(await cluster.timed(watch, SANDBOXES, sandbox(name), is_ready))
            found = await cluster.kube.get(SANDBOXES, name, NAMESPACE)
            pods[name] = str(found["status"]["pod"]["name"])
            await cluster.remove(SANDBOXES, name)
            await asyncio.sleep(1 + random.random())
            baseline.append(await cluster.timed(pod_watch, PODS, bare_pod(bare, model), is_ready))
            await cluster.remove(PODS, bare)
            await asyncio.sleep(1 + random.random())
            if number % 10 == 9:
                trial.report.say(f"    {number + 1} of {tries}")
    trial.report.add(
        *spread(SECTION, "Sandbox, create to Ready", ours),
        *spread(SECTION, "bare pod, create to Ready", baseline),
        Figure(
            section=SECTION,
            name="Sandbox / bare pod",
            value=statistics.median(ours) / statistics.median(baseline),
            unit="ratio",
            goal=1.10,
            note="medians",
        ),
    )
    await cluster.remove(SANDBOXES, "model")
    if audit.exists:
        _add_shares(trial, audit, pods)


def _add_shares(trial: Trial, audit: AuditLog, pods: dict[str, str]) -> None:
    """The operator's own share, by the API server's clock."""
    entries = [entry for entry in audit.entries() if entry.namespace == NAMESPACE]
    shares = [
        share
        for name, pod in pods.items()
        if (share := own_seconds(entries, name, pod)) is not None
    ]
    before, after = ([1000 * share[part] for share in shares] for part in (0, 1))
    both = [1000 * sum(share) for share in shares]
    trial.report.add(
        Figure(
            section=SECTION,
            name="operator's own share, median",
            value=statistics.median(both),
            unit="ms",
            goal=25,
            note=f"p90 {quantile(both, 0.9):.1f}; audit log, n = {len(shares)}",
        ),
        Figure(
            section=SECTION,
            name="of it: Sandbox received to pod created",
            value=statistics.median(before),
            unit="ms",
        ),
        Figure(
            section=SECTION,
            name="of it: kubelet's Ready to Sandbox's Ready",
            value=statistics.median(after),
            unit="ms",
        ),
    )


def own_seconds(entries: list[Entry], name: str, pod: str) -> tuple[float, float] | None:
    """Seconds from the Sandbox's POST received to its pod's POST answered, and from the end
    of the kubelet's last status patch before to the end of the Sandbox's last; None when the
    log does not have them all."""
    created = next((e for e in entries if (e.what, e.name) == ("create sandboxes", name)), None)
    pod_created = next(
        (e for e in entries if (e.user, e.what, e.name) == (OPERATOR, "create pods", pod)), None
    )
    ready = [
        e
        for e in entries
        if (e.user, e.what, e.name) == (OPERATOR, "patch sandboxes/status", name) and e.code < 300
    ]
    if created is None or pod_created is None or not ready:
        return None
    # Its Starting, if any, came before; its end comes with the deletion, which writes no status.
    last = ready[-1]
    reported = [
        e.done
        for e in entries
        if e.user.startswith(NODES)
        and (e.what, e.name) == ("patch pods/status", pod)
        and e.done < last.received
    ]
    if not reported:
        return None
    return (
        (pod_created.done - created.received).total_seconds(),
        (last.done - max(reported)).total_seconds(),
    )
