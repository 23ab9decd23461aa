"""A whole life, with the operator killed around every write of it: the end is the same.

The operator dies with each write once: in one case the API server carried the write out and
the reply never came, in the other it did not. What the next process finds is what is stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from soulbox.model.errors import KubeUnavailable
from soulbox.model.states import Kind
from tests.support.reconciling import NAMESPACE, Bench, uid_of, working
from tests.support.seen import make_finished

BOX, RUN = Kind.SANDBOX, Kind.EXECUTION


class Life:
    """Drives a bench through restarts, and notes what must happen once."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.crashes = 0
        self.ends: dict[str, set[str]] = {}
        self.pods: set[str] = set()
        deliver = bench.api.watcher
        assert deliver is not None

        def watch(event_type: str, kind: Kind, manifest: dict[str, Any]) -> None:
            self._note(kind, manifest)
            assert bench.api.watcher is not None
            deliver(event_type, kind, manifest)

        bench.api.watcher = watch

    def _note(self, kind: Kind, manifest: dict[str, Any]) -> None:
        if kind is Kind.POD:
            self.pods.add(uid_of(manifest))
        status = manifest.get("status") or {}
        if kind is RUN and "completionTime" in status:
            end = f"{status['state']} {status['reason']} {status['completionTime']}"
            self.ends.setdefault(manifest["metadata"]["name"], set()).add(end)

    async def calm(self) -> None:
        """Until nothing is left to do; a process that died is started again."""
        for _ in range(10):
            try:
                await self.bench.settle()
            except KubeUnavailable:
                self.crashes += 1
                await self.bench.restart()
            else:
                if not self.bench.keys.ready:
                    return
        raise AssertionError("it never becomes calm")

    async def all_recorded(self) -> None:
        """The mirror catches up."""
        for (plural, _, _), manifest in list(self.bench.api.objects.items()):
            if plural in ("pods", "executions", "sandboxes"):
                self.bench.records.committed.add(uid_of(manifest))
                kind = {"executions": RUN, "sandboxes": BOX}.get(plural)
                if kind is not None:
                    self.bench.keys.add(kind, uid_of(manifest))
        for kind, uid in ((BOX, "box"), (RUN, "run")):
            manifest = self.bench.cache.by_name(kind, NAMESPACE, uid)
            if manifest is not None:
                self.bench.keys.add(kind, uid_of(manifest))
        await self.calm()

    async def pods_run(self) -> None:
        """The kubelet starts what it was given."""
        for name in self.bench.api.named("pods"):
            self.bench.api.run_pod(name)
        await self.calm()

    async def pods_end(self) -> None:
        """The kubelet ends what is being deleted, and what has served its one run."""
        for name in self.bench.api.named("pods"):
            self.bench.api.end_pod(name)
        await self.calm()


async def in_a_sandbox(life: Life) -> None:
    """A Sandbox, an Execution in it, and the deletion of both."""
    bench = life.bench
    bench.add_class()
    bench.add_sandbox()
    await life.calm()
    await life.pods_run()
    bench.runner.outcome = make_finished(stdout=b"\xff")
    bench.runner.outputs = {"stdout": [b"\xff"]}
    bench.add_execution()
    await life.calm()
    assert bench.execution()["status"]["state"] == "Completed"
    await life.all_recorded()
    bench.api.delete("executions", NAMESPACE, "run")
    await life.calm()
    await life.all_recorded()
    assert bench.api.named("executions") == []
    bench.api.delete("sandboxes", NAMESPACE, "box")
    await life.calm()
    await life.pods_end()
    await life.all_recorded()
    await life.all_recorded()


async def one_shot(life: Life) -> None:
    """A one-shot Execution and its deletion."""
    bench = life.bench
    bench.add_class()
    bench.runner.outcome = make_finished(stdout=b"\xff")
    bench.runner.outputs = {"stdout": [b"\xff"]}
    bench.add_execution(sandboxRef=None, className="python")
    await life.calm()
    await life.pods_run()
    assert bench.execution()["status"]["state"] == "Completed"
    await life.all_recorded()
    await life.pods_end()
    await life.all_recorded()
    bench.api.delete("executions", NAMESPACE, "run")
    await life.calm()
    await life.all_recorded()


Story = Callable[[Life], Awaitable[None]]
STORIES: dict[str, tuple[Story, int]] = {
    # With the number of writes it takes when nobody dies.
    "in a sandbox": (in_a_sandbox, 10),
    "one-shot": (one_shot, 8),
}
MOMENTS = [
    (story, moment, number)
    for story, (_, writes) in STORIES.items()
    for moment in ("reply lost", "write lost")
    for number in range(1, writes + 1)
]


@pytest.mark.parametrize("name", STORIES)
async def test_story_takes_as_many_writes_as_the_crashes_below_are_tried_at(
    tmp_path: Path, name: str
) -> None:
    story, want_writes = STORIES[name]
    async with working(tmp_path) as bench:
        life = Life(bench)
        await story(life)
        assert bench.api.write_count == want_writes
        assert life.crashes == 0


@pytest.mark.parametrize(("name", "moment", "number"), MOMENTS)
async def test_operator_that_dies_at_a_write_loses_and_doubles_nothing(
    tmp_path: Path, name: str, moment: str, number: int
) -> None:
    story, _ = STORIES[name]
    async with working(tmp_path) as bench:
        life = Life(bench)
        if moment == "reply lost":
            bench.api.lost_reply = number
        else:
            bench.api.lost_write = number
        await story(life)

        assert life.crashes == 1
        assert len(bench.runner.begun) == 1, "the code ran once"
        assert bench.runner.runs == {}, "the runner holds nothing any more"
        assert len(life.pods) == 1, "one pod was paid for"
        assert len(life.ends["run"]) == 1, "its end was written once"
        assert next(iter(life.ends["run"])).startswith("Completed Completed")
        assert list(bench.records.outputs.values()) == [b"\xff"]
        assert bench.records.complete == set(bench.runner.begun)
        for plural in ("pods", "executions", "sandboxes"):
            assert bench.api.named(plural) == []
