"""`make bench`: the operator against a bare pod, kubectl exec, its own budgets and goals.

Needs a cluster that is up without an operator (`hack/up --no-operator`): the bench starts its
own, as it is installed. Each ratio has its baseline in the same run, in turn with it. Goals
stand beside the figures as information; no figure fails anything.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.perf import (
    bench_call,
    bench_execution,
    bench_idle,
    bench_sandbox,
    bench_scale,
    bench_throughput,
    bench_writes,
)
from tests.perf.cluster import Cluster
from tests.perf.figures import Report
from tests.perf.operator_process import make_operator
from tests.perf.trial import Trial

SECTIONS: dict[str, tuple[Callable[[Trial], Awaitable[None]], str]] = {
    "idle": (bench_idle.measure, "the operator with nothing to do"),
    "execution": (bench_execution.measure, "Execution against kubectl exec"),
    "call": (bench_call.measure, "calls of a Function against Executions in a Sandbox"),
    "sandbox": (bench_sandbox.measure, "Sandbox create to Ready against a bare pod"),
    "writes": (bench_writes.measure, "API writes of each life"),
    "scale": (bench_scale.measure, "a thousand Sandboxes, and a restart with them"),
    # Last: Events of its crowd are posted for minutes, which the others would measure too.
    "throughput": (bench_throughput.measure, "Executions a second, and latency under load"),
}


async def measure(trial: Trial, sections: list[str]) -> None:
    """The sections, each in an empty namespace."""
    cluster, operator, say = trial.cluster, trial.operator, trial.report.say
    operator.start()
    try:
        await cluster.prepare()
        for section in sections:
            run, title = SECTIONS[section]
            say(f"{section}: {title}")
            await run(trial)
            await cluster.empty()
        await cluster.clean()
    finally:
        await cluster.credentials.close()
        if operator.runs:
            operator.stop()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="hack/bench", description="Sections: " + ", ".join(SECTIONS)
    )
    parser.add_argument("--only", metavar="A,B", help="these sections only")
    parser.add_argument("--quick", action="store_true", help="few tries: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    sections = options.only.split(",") if options.only else list(SECTIONS)
    unknown = set(sections) - SECTIONS.keys()
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; {', '.join(SECTIONS)}")
    if shutil.which("kubectl") is None or not os.environ.get("KUBECONFIG"):
        sys.exit("bench needs a cluster: use `make bench`, or hack/up --no-operator and .local/env")
    # The operator must not outlive the bench, whatever ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {text}", flush=True)

    report = Report(say)
    with tempfile.TemporaryDirectory(prefix="soulbox-bench-") as folder:
        operator = make_operator(Path(folder))
        trial = Trial(cluster=Cluster(), operator=operator, report=report, quick=options.quick)
        try:
            asyncio.run(measure(trial, sections))
        except BaseException:
            with contextlib.suppress(OSError):
                print(operator.log.read_text()[-3000:], file=sys.stderr)
            raise
        finally:
            if operator.runs:
                operator.kill()
            print(f"\n{report.table()}\n", flush=True)
            if options.json is not None:
                report.write(options.json)


if __name__ == "__main__":
    main()
