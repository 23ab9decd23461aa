"""Pods of a class with requireEnforcement: no code before their network policy was seen to hold."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from soulbox.model.states import PolicyFinding
from tests.support.reconciling import NAMESPACE, Bench

ONE_SHOT: dict[str, Any] = {"sandboxRef": None, "className": "python"}
CONNECTED, BLOCKED, SEEN = PolicyFinding.CONNECTED, PolicyFinding.BLOCKED, PolicyFinding.SEEN


async def looks(bench: Bench, times: int) -> None:
    """Until the runner has looked so often."""
    while len(bench.runner.said("look")) < times:  # noqa: ASYNC110 - the probe's own pace
        await asyncio.sleep(0.01)
    await bench.settle()


async def begin(bench: Bench, *findings: PolicyFinding, **run: Any) -> None:
    """A pod whose runner finds these, one after the other, and an Execution that waits."""
    bench.add_class(network={"requireEnforcement": True})
    if not run:
        bench.add_sandbox()
    bench.add_execution(**run)
    await bench.settle()
    command = bench.api.get("pods", NAMESPACE, bench.pod_name)["spec"]["containers"][0]["command"]
    assert "--require-enforcement" in command
    bench.runner.findings = deque(findings)
    bench.api.run_pod(bench.pod_name)
    await bench.settle()


async def test_sandbox_runs_once_the_policy_is_seen(bench: Bench) -> None:
    await begin(bench, CONNECTED, CONNECTED, BLOCKED, SEEN)
    await looks(bench, 4)
    assert bench.sandbox()["status"]["state"] == "Running"
    assert bench.execution()["status"]["state"] == "Completed"
    said = [what for what, _ in bench.runner.calls]
    assert said.index("start") > max(at for at, what in enumerate(said) if what == "look")
    assert not bench.services.memory.unenforced


async def test_sandbox_in_vain_is_given_up_and_its_execution_waits_on(bench: Bench) -> None:
    await begin(bench, CONNECTED)
    await looks(bench, 2)
    await bench.elapse(6)
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Starting", "NetworkNotEnforced")
    await bench.elapse(25)
    status = bench.sandbox()["status"]
    assert (status["state"], status["reason"]) == ("Error", "NetworkNotEnforced")
    assert ("Warning", "NetworkNotEnforced") in bench.posted()
    assert bench.api.get("pods", NAMESPACE, bench.pod_name)["metadata"]["deletionTimestamp"]
    waits = bench.execution()["status"]
    assert waits["state"] == "Queued"
    assert "could connect to the operator" in waits["message"]
    assert bench.runner.said("start") == []


async def test_one_shot_in_vain_fails_and_its_pod_goes(bench: Bench) -> None:
    await begin(bench, CONNECTED, **ONE_SHOT)
    await looks(bench, 2)
    await bench.elapse(6)
    await bench.elapse(25)
    status = bench.execution()["status"]
    assert (status["state"], status["reason"]) == ("Failed", "NetworkNotEnforced")
    assert bench.runner.said("start") == []
    bench.records.committed.update({bench.pod_uid, bench.execution()["metadata"]["uid"]})
    await bench.elapse(15)
    assert bench.api.get("pods", NAMESPACE, bench.pod_name)["metadata"]["deletionTimestamp"]
