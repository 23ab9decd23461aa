"""Whom an Execution concerns: itself, the next in its queue, and its Sandbox."""

import math
from collections.abc import Callable
from typing import Final

from soulbox.kinds.base import COUNT_SECONDS, OwnFollower, Waker
from soulbox.kinds.execution.decide.status import cancelled_by_deletion
from soulbox.kinds.execution.queue import Turns
from soulbox.kube.cache import ObjectCache
from soulbox.kube.clock import ServerClock
from soulbox.model.keys import FUNCTION_LABEL, FUNCTION_UID_LABEL
from soulbox.model.manifests import Manifest, function_ref, is_deleting, is_finished, sandbox_ref
from soulbox.model.marks import is_dispatched
from soulbox.model.states import Kind

# Calls that one end wakes: two, as another may have ended a moment ago, for which the same one
# was woken.
_NEXT_CALLS: Final = 2


class ExecutionFollower(OwnFollower):
    """See `kinds.base.Follower`."""

    def __init__(
        self,
        objects: ObjectCache,
        waker: Waker,
        turns: Turns,
        clock: ServerClock,
        drains: Callable[[Manifest], bool],
    ) -> None:
        """Args:
        drains: whether a Sandbox is a Function's, which deletes it when what runs in it ends.
        """
        super().__init__(Kind.EXECUTION, waker)
        # Told of an Execution that went while its code may have run; to be set.
        self.on_unfinished: Callable[[Manifest], object] = lambda _: None
        self._objects = objects
        self._turns = turns
        self._clock = clock
        self._drains = drains

    def wake(self, manifest: Manifest) -> None:
        """Itself; once it has ended its neighbours; its Sandbox's counters later."""
        super().wake(manifest)
        reference, called = sandbox_ref(manifest), function_ref(manifest)
        namespace = manifest["metadata"]["namespace"]
        # One that got a pod of its own took no room of those that were woken with it.
        has_own_pod = reference is None and is_dispatched(manifest)
        if called is not None and (has_own_pod or is_finished(manifest)):
            self._wake_calls(namespace, called[0])
        if reference is None:
            return
        sandbox = self._objects.by_name(Kind.SANDBOX, namespace, reference)
        if is_finished(manifest):
            self._wake_neighbours((namespace, reference), sandbox)
            function = _function_of(sandbox)
            if called is None and function is not None:
                self._wake_calls(namespace, function)
        if sandbox is not None:
            uid = sandbox["metadata"]["uid"]
            self._waker.add_later(Kind.SANDBOX, uid, min(COUNT_SECONDS, _idle_seconds(sandbox)))

    def last_version(self, manifest: Manifest, *, was_known: bool) -> Manifest | None:
        """Cancelled, if it had not ended. One whose code may run still is recorded once that is
        ended: told once, as the watch may tell what a refused write told."""
        if not is_finished(manifest) and is_dispatched(manifest):
            if was_known:
                self.on_unfinished(manifest)
            return None
        return cancelled_by_deletion(manifest, self._clock.now())

    def _wake_calls(self, namespace: str, function: str) -> None:
        """The next of each version. What ended may have run in a pod of its own, and they may wait
        since the Function had Sandboxes."""
        for uid in self._turns.next_calls(namespace, function, _NEXT_CALLS):
            self._waker.add(Kind.EXECUTION, uid)

    def _wake_neighbours(self, name: tuple[str, str], sandbox: Manifest | None) -> None:
        """Its end makes room for the next, and lets a Sandbox go on ending."""
        # As many as may run at once: another may have ended a moment ago, for which the same
        # one was woken.
        room = 1 if sandbox is None else _concurrency(sandbox)
        for uid in self._turns.first(name, room):
            self._waker.add(Kind.EXECUTION, uid)
        if sandbox is not None and self._drains(sandbox):
            labels = sandbox["metadata"].get("labels") or {}
            self._waker.add(Kind.FUNCTION, str(labels.get(FUNCTION_UID_LABEL)))
        if sandbox is not None and (_is_ending(sandbox) or _is_suspended(sandbox)):
            self._waker.add(Kind.SANDBOX, sandbox["metadata"]["uid"])


def _function_of(sandbox: Manifest | None) -> str | None:
    """Name of the Function whose Sandbox it is: what else ran there leaves room for calls."""
    labels = {} if sandbox is None else sandbox["metadata"].get("labels") or {}
    name = labels.get(FUNCTION_LABEL)
    return None if name is None else str(name)


def _concurrency(sandbox: Manifest) -> int:
    asked = (sandbox.get("spec") or {}).get("maxConcurrentExecutions")
    return asked if isinstance(asked, int) else 1


def _is_ending(sandbox: Manifest) -> bool:
    terminated = (sandbox.get("status") or {}).get("state") == "Terminated"
    return terminated or is_deleting(sandbox)


def _is_suspended(sandbox: Manifest) -> bool:
    """Whether the end of an Execution is what the Sandbox waits for."""
    return bool((sandbox.get("spec") or {}).get("suspend"))


def _idle_seconds(sandbox: Manifest) -> float:
    """How soon it may have been idle for too long: not looked at with each end, as it counts all
    its Executions then."""
    asked = (sandbox.get("spec") or {}).get("idleTimeoutSeconds")
    return asked if isinstance(asked, int) else math.inf
