"""What follows from a version of any object that is watched."""

from collections.abc import Mapping
from dataclasses import dataclass

from soulbox.kinds.base import Follower, Waker
from soulbox.kinds.execution.queue import Turns
from soulbox.kinds.execution.wakes import ExecutionFollower
from soulbox.kinds.namespace.wakes import NamespaceFollower
from soulbox.kinds.objects import Objects
from soulbox.kinds.pod.wakes import PodFollower
from soulbox.kinds.sandbox.wakes import SandboxFollower
from soulbox.kinds.sandbox_class.wakes import ClassFollower
from soulbox.kube.clock import ServerClock
from soulbox.model.states import Kind


@dataclass(frozen=True, slots=True)
class Followers:
    """One for each kind."""

    execution: ExecutionFollower
    by_kind: Mapping[Kind, Follower]


def build_followers(objects: Objects, waker: Waker, turns: Turns, clock: ServerClock) -> Followers:
    """One for each kind that is watched."""
    unfinished = objects.executions.unfinished
    execution = ExecutionFollower(objects, waker, turns, clock)
    return Followers(
        execution,
        {
            Kind.NAMESPACE: NamespaceFollower(objects, waker),
            Kind.SANDBOX_CLASS: ClassFollower(objects, objects.users_of_class, waker),
            Kind.POD: PodFollower(objects, objects.pods, unfinished, waker),
            Kind.SANDBOX: SandboxFollower(objects, unfinished, waker, turns.forget),
            Kind.EXECUTION: execution,
        },
    )
