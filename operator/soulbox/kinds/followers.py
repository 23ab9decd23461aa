"""What follows from a version of any object that is watched."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from soulbox.kinds.base import Follower, Waker
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.execution.wakes import ExecutionFollower
from soulbox.kinds.function.wakes import FunctionFollower
from soulbox.kinds.namespace.wakes import NamespaceFollower
from soulbox.kinds.objects import Objects
from soulbox.kinds.pod.wakes import PodFollower
from soulbox.kinds.sandbox.wakes import SandboxFollower
from soulbox.kinds.sandbox_class.wakes import ClassFollower
from soulbox.kube.clock import ServerClock
from soulbox.model.states import Kind

# As many as a Sandbox of a Function may take at once, with room (a guess).
_NEXT_CALLS: Final = 16


@dataclass(frozen=True, slots=True)
class Followers:
    """One for each kind."""

    execution: ExecutionFollower
    by_kind: Mapping[Kind, Follower]


def build_followers(objects: Objects, waker: Waker, turns: Turns, clock: ServerClock) -> Followers:
    """One for each kind that is watched."""
    unfinished = objects.executions.unfinished

    def next_calls(namespace: str, function: str) -> list[str]:
        queues = objects.executions.call_queues(namespace, function)
        return [uid for queue in queues for uid in turns.first(queue, _NEXT_CALLS)]

    execution = ExecutionFollower(objects, objects.executions, waker, turns, clock)
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
