"""`make bench`: Executions against kubectl exec, Sandboxes against bare pods.

Needs a cluster that is up with its operator (`make up`). Every figure stands beside a
baseline measured in turn with it, on the same machine and cluster. Pods become Ready at
the kubelet's one-second look, so the gaps between tries are 1 + U(0,1) s: a fixed gap
would lock onto its phase.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from soulbox.kube.auth import Credentials
from soulbox.kube.client import KubeClient, Manifest
from soulbox.kube.clock import ServerClock
from soulbox.kube.resources import EXECUTIONS, NAMESPACES, PODS, SANDBOXES, Resource

NAMESPACE = "soulbox-bench"
CODE = "print(42)"


class Cluster:
    """The API server, with a way to wait for what a watch brings."""

    def __init__(self) -> None:
        self.credentials = Credentials(None)
        self.kube = KubeClient(self.credentials, ServerClock())

    async def timed(
        self, resource: Resource, manifest: Manifest, done: Callable[[Manifest], bool]
    ) -> float:
        """Seconds from sending the create to seeing, on a watch, what `done` accepts."""
        name = manifest["metadata"]["name"]
        listed = await self.kube.get(NAMESPACES, NAMESPACE)
        url = self.credentials.server + resource.path(NAMESPACE)
        params = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            # Any version of now: events from here on are seen.
            "resourceVersion": listed["metadata"]["resourceVersion"],
        }
        async with self.credentials.session().get(url, params=params) as response:
            response.raise_for_status()
            started = time.perf_counter()
            await self.kube.create(resource, manifest, NAMESPACE)
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise RuntimeError(event["object"])
                if done(event["object"]):
                    return time.perf_counter() - started
        raise RuntimeError(f"the watch ended before {name} was done")

    async def remove(self, resource: Resource, name: str) -> None:
        """Delete, without waiting for the end."""
        found = await self.kube.get(resource, name, NAMESPACE)
        await self.kube.delete(
            resource, name, NAMESPACE, uid=found["metadata"]["uid"], grace_seconds=0
        )


def condition(manifest: Manifest, kind: str) -> str:
    """The status of a condition, "" if there is none."""
    found = (manifest.get("status") or {}).get("conditions") or ()
    return next((c["status"] for c in found if c["type"] == kind), "")


def is_ready(manifest: Manifest) -> bool:
    """Ready=True."""
    return condition(manifest, "Ready") == "True"


def has_completed(manifest: Manifest) -> bool:
    """The Execution is over, whatever its end."""
    return "completionTime" in (manifest.get("status") or {})


def soulbox(kind: str, name: str, spec: dict[str, Any]) -> Manifest:
    """One of our objects."""
    return {
        "apiVersion": "soulbox.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def bare_pod(name: str, of: Manifest) -> Manifest:
    """The same pod as a sandbox's, without an operator."""
    spec = {k: v for k, v in of["spec"].items() if k not in ("nodeName", "activeDeadlineSeconds")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


async def executions(cluster: Cluster, tries: int) -> dict[str, list[float]]:
    """Execution create to its end, and kubectl exec of the same, in turn."""
    sandbox = "bench"
    await cluster.timed(SANDBOXES, soulbox("Sandbox", sandbox, {}), is_ready)
    found = await cluster.kube.get(SANDBOXES, sandbox, NAMESPACE)
    pod = found["status"]["pod"]["name"]
    exec_command = ["kubectl", "-n", NAMESPACE, "exec", pod, "--", "python3", "-c", CODE]
    ours, baseline = [], []
    for number in range(tries + 1):
        name = f"run-{number}"
        spec = {"sandboxRef": {"name": sandbox}, "code": CODE}
        seconds = await cluster.timed(EXECUTIONS, soulbox("Execution", name, spec), has_completed)
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *exec_command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        output, _ = await process.communicate()
        if output != b"42\n":
            raise RuntimeError(f"kubectl exec printed {output!r}")
        if number:  # the first of each warms caches
            ours.append(seconds)
            baseline.append(time.perf_counter() - started)
        await asyncio.sleep(random.uniform(0, 0.2))
    return {"execution": ours, "kubectl exec": baseline}


async def sandboxes(cluster: Cluster, tries: int) -> dict[str, list[float]]:
    """Sandbox create to Ready, and a bare pod of the same spec, in turn."""
    found = await cluster.kube.get(SANDBOXES, "bench", NAMESPACE)
    model = await cluster.kube.get(PODS, found["status"]["pod"]["name"], NAMESPACE)
    ours, baseline = [], []
    for number in range(tries):
        name = f"cold-{number}"
        ours.append(await cluster.timed(SANDBOXES, soulbox("Sandbox", name, {}), is_ready))
        await cluster.remove(SANDBOXES, name)
        await asyncio.sleep(1 + random.random())
        pod = f"bare-{number}"
        baseline.append(await cluster.timed(PODS, bare_pod(pod, model), is_ready))
        await cluster.remove(PODS, pod)
        await asyncio.sleep(1 + random.random())
    return {"sandbox": ours, "bare pod": baseline}


async def burst(cluster: Cluster, count: int, boxes: int) -> float:
    """Executions a second, `count` of them created at once over `boxes` sandboxes."""
    names = [f"burst-box-{number}" for number in range(boxes)]
    small = {"resources": {"cpu": "100m", "memory": "64Mi"}}
    await asyncio.gather(
        *(cluster.timed(SANDBOXES, soulbox("Sandbox", name, small), is_ready) for name in names)
    )
    started = time.perf_counter()

    async def one(number: int) -> None:
        spec = {"sandboxRef": {"name": names[number % boxes]}, "code": CODE}
        manifest = soulbox("Execution", f"burst-{number}", spec)
        await cluster.kube.create(EXECUTIONS, manifest, NAMESPACE)

    await asyncio.gather(*(one(number) for number in range(count)))
    while True:
        items = await cluster.kube.list(EXECUTIONS, NAMESPACE)
        bursts = [item for item in items if item["metadata"]["name"].startswith("burst-")]
        if all(has_completed(item) for item in bursts):
            ends = sum(item["status"]["state"] == "Completed" for item in bursts)
            if ends != count:
                raise RuntimeError(f"{count - ends} of {count} did not complete")
            return count / (time.perf_counter() - started)
        await asyncio.sleep(0.2)


def operator_memory_bytes() -> int | None:
    """Resident memory of the operator when it is a process of this machine."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if command[-2:-1] != [b"run"] or not any(c.endswith(b"/soulbox") for c in command):
                continue
            pages = int((process / "statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def milliseconds(seconds: list[float], share: float) -> float:
    """A quantile, in milliseconds."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(name: str, measured: dict[str, list[float]]) -> dict[str, Any]:
    """Print a table of ours against the baseline; the same as data."""
    (_, first), (_, second) = measured.items()
    ratio = statistics.median(first) / statistics.median(second)
    for label, seconds in measured.items():
        print(
            f"  {label:14} p50 {milliseconds(seconds, 0.5):7.1f} ms   "
            f"p90 {milliseconds(seconds, 0.9):7.1f} ms   n {len(seconds)}"
        )
    print(f"  {name}: ratio of medians {ratio:.2f}\n")
    data: dict[str, Any] = {
        label: {
            "p50_ms": round(milliseconds(seconds, 0.5), 1),
            "p90_ms": round(milliseconds(seconds, 0.9), 1),
            "n": len(seconds),
        }
        for label, seconds in measured.items()
    }
    return {**data, "ratio": round(ratio, 3)}


async def measure(tries: int) -> dict[str, Any]:
    """All of it, in a namespace of its own."""
    cluster = Cluster()
    result: dict[str, Any] = {}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await cluster.kube.create(NAMESPACES, manifest)
    memory = operator_memory_bytes()
    try:
        print(f"Execution create to end, {CODE}, running sandbox, against kubectl exec:")
        result["execution"] = report("Execution / kubectl exec", await executions(cluster, tries))
        print("Sandbox create to Ready, against a bare pod of the same spec:")
        result["sandbox"] = report(
            "Sandbox / bare pod", await sandboxes(cluster, max(3, tries // 3))
        )
        rate = await burst(cluster, 200, 8)
        print(f"200 Executions at once over 8 sandboxes: {rate:.0f} a second\n")
        result["executions_per_second"] = round(rate, 1)
    finally:
        found = await cluster.kube.get(NAMESPACES, NAMESPACE)
        await cluster.kube.delete(NAMESPACES, NAMESPACE, uid=found["metadata"]["uid"])
        await cluster.credentials.close()
    if memory is not None:
        result["operator_idle_bytes"] = memory
        after = operator_memory_bytes()
        idle, busy = memory / 2**20, (after or 0) / 2**20
        print(f"operator resident: idle {idle:.0f} MiB, after {busy:.0f} MiB")
    return result


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=30)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if shutil.which("kubectl") is None or not os.environ.get("KUBECONFIG"):
        sys.exit("bench needs a cluster: `make up`, then `. .local/env`")
    figures: Awaitable[dict[str, Any]] = measure(arguments.tries)
    result = asyncio.run(asyncio.wait_for(figures, 900))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
