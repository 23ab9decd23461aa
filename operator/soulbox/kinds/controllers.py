"""What works on the objects of each kind, and what follows from a version of them, put together
once."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from soulbox.judge.judge import Judge
from soulbox.judge.verdicts import Verdict
from soulbox.kinds.base import Follower, Waker
from soulbox.kinds.execution.calls import Calls
from soulbox.kinds.execution.collect import OutputCollector
from soulbox.kinds.execution.farewell import Farewell
from soulbox.kinds.execution.meet import RunMeeter
from soulbox.kinds.execution.memory import ExecutionMemory
from soulbox.kinds.execution.observe import ExecutionObserver
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.execution.reconcile import ExecutionReconciler
from soulbox.kinds.execution.rooms import Rooms
from soulbox.kinds.execution.runs import RunFollower
from soulbox.kinds.execution.wakes import ExecutionFollower
from soulbox.kinds.function.boxes import FunctionBoxes
from soulbox.kinds.function.reconcile import FunctionReconciler
from soulbox.kinds.function.revisions import Revisions
from soulbox.kinds.function.wakes import FunctionFollower
from soulbox.kinds.namespace.wakes import NamespaceFollower
from soulbox.kinds.objects import Objects
from soulbox.kinds.pod.wakes import PodFollower
from soulbox.kinds.sandbox.reconcile import SandboxReconciler
from soulbox.kinds.sandbox.wakes import SandboxFollower
from soulbox.kinds.sandbox_class.reconcile import ClassReconciler
from soulbox.kinds.sandbox_class.wakes import ClassFollower
from soulbox.kube.clock import ServerClock
from soulbox.model.states import Kind
from soulbox.reconcile.aside import Aside
from soulbox.reconcile.failing import Failing
from soulbox.reconcile.probe import RunnerProbe
from soulbox.reconcile.services import Services

# As many as a Sandbox of a Function may take at once, with room (a guess).
_NEXT_CALLS: Final = 16
# One pass over the object of that uid; seconds after which to look again, or None.
Reconcile = Callable[[str], Awaitable[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controllers:
    """For one event loop.

    Attributes:
        reconcile: a pass over an object, by kind.
        failing: the kinds whose objects say that their passes fail.
        executions: what is known of Executions beyond the objects.
    """

    reconcile: Mapping[Kind, Reconcile]
    failing: Mapping[Kind, Failing]
    executions: ExecutionMemory
    probe: RunnerProbe
    runs: RunFollower
    meeter: RunMeeter
    farewell: Farewell


def build_controllers(
    services: Services, objects: Objects, turns: Turns, judge: Judge, *, counts_users: bool
) -> Controllers:
    """Args:
    counts_users: every namespace is served, so that what uses a class can be counted.
    """
    runs = RunFollower(
        services.runner,
        wake=services.enqueue,
        spawn=services.spawn,
        poll_seconds=services.run_poll_seconds,
        health=services.health,
    )
    meeter = RunMeeter(services, runs)
    probe = RunnerProbe(
        services,
        meet=meeter.meet,
        on_answered={Kind.SANDBOX: lambda uid: sandbox.runner_answered(uid)},  # noqa: PLW0108 - below
    )
    sandbox = SandboxReconciler(services, probe, objects.executions, turns.claimed)
    judging = Aside[Verdict](services.spawn, lambda uid: services.enqueue(Kind.EXECUTION, uid))
    memory = ExecutionMemory(turns=turns, judging=judging)
    revisions = Revisions(services.kube)
    calls = Calls(services, memory, revisions, judge)
    rooms = Rooms(services, turns, objects.function_sandboxes)
    observer = ExecutionObserver(services, memory, runs, calls, rooms)
    execution = ExecutionReconciler(services, memory, observer, runs, probe)
    boxes = FunctionBoxes(
        services, objects.function_sandboxes, objects.executions, turns.claimed, revisions
    )
    function = FunctionReconciler(services, objects.executions, boxes, revisions, judge)
    sandbox_class = ClassReconciler(services, objects.users_of_class if counts_users else None)
    return Controllers(
        reconcile={
            Kind.SANDBOX: sandbox.reconcile,
            Kind.EXECUTION: execution.reconcile,
            Kind.FUNCTION: function.reconcile,
            Kind.SANDBOX_CLASS: sandbox_class.reconcile,
        },
        failing={Kind.SANDBOX: sandbox, Kind.EXECUTION: execution, Kind.FUNCTION: function},
        executions=memory,
        probe=probe,
        runs=runs,
        meeter=meeter,
        farewell=Farewell(services, observer, OutputCollector(services, memory)),
    )


@dataclass(frozen=True, slots=True)
class Followers:
    """What is woken by a version of an object."""

    execution: ExecutionFollower
    by_kind: Mapping[Kind, Follower]


def build_followers(objects: Objects, waker: Waker, turns: Turns, clock: ServerClock) -> Followers:
    """One for each kind that is watched."""
    unfinished = objects.executions.unfinished

    def next_calls(namespace: str, function: str) -> list[str]:
        return turns.next_calls(namespace, function, _NEXT_CALLS)

    drains = objects.function_sandboxes.drains
    execution = ExecutionFollower(objects, waker, turns, clock, drains)
    return Followers(
        execution,
        {
            Kind.NAMESPACE: NamespaceFollower(objects, waker),
            Kind.SANDBOX_CLASS: ClassFollower(objects, objects.users_of_class, waker),
            Kind.POD: PodFollower(objects, objects.pods, unfinished, waker),
            Kind.SANDBOX: SandboxFollower(objects, unfinished, waker, turns.forget, next_calls),
            Kind.FUNCTION: FunctionFollower(waker, next_calls),
            Kind.EXECUTION: execution,
        },
    )
