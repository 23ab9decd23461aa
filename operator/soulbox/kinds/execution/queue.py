"""Whose turn it is in each Sandbox, from the last-seen objects.

Keeps what the objects do not say: which user was served last (so that users take turns), and which
Execution is being handed over in this moment (its annotation is on its way). Both may be
lost: after a restart turns begin anew, and what was handed over has its annotation.
"""

from collections import Counter
from collections.abc import Iterator

from soulbox.kinds.execution.decide.queueing import Waiting, order_queue
from soulbox.kinds.execution.decide.seen import Turn
from soulbox.kinds.execution.index import ExecutionIndex, Name, is_call_queue
from soulbox.model.manifests import Manifest
from soulbox.model.marks import is_dispatched


class _Queue:
    """The order as of one version of the cache."""

    __slots__ = ("places", "running", "version")

    def __init__(self, version: int, order: list[str], running: int) -> None:
        self.version = version
        self.places = {uid: place for place, uid in enumerate(order, 1)}
        self.running = running


class Turns:
    """For one event loop; nothing here does I/O."""

    def __init__(self, index: ExecutionIndex) -> None:
        self._index = index
        self._queues: dict[Name, _Queue] = {}
        self._claimed: dict[str, Name] = {}
        # Those that could not run if it were their turn: they hold no place.
        self._aside: set[str] = set()
        self._served: dict[Name, dict[str, int]] = {}
        self._count = 0

    def unfinished(self, namespace: str, sandbox_name: str) -> Iterator[Manifest]:
        """See ExecutionIndex.unfinished."""
        return self._index.unfinished(namespace, sandbox_name)

    def turn(self, uid: str, sandbox: Name, room: int) -> Turn | None:
        """An Execution's place; None when it is not among those that wait."""
        queue = self._queue(sandbox)
        place = queue.places.get(uid)
        return None if place is None else Turn(position=place, running=queue.running, room=room)

    def first(self, sandbox: Name, most: int) -> list[str]:
        """Uids of the Executions that are next."""
        found: list[str] = []
        for uid in self._queue(sandbox).places:
            if len(found) >= most:
                break
            found.append(uid)
        return found

    def next_calls(self, namespace: str, function: str, most: int) -> list[str]:
        """Uids of the calls of a Function that are next, so many of each version that is named."""
        queues = self._index.call_queues(namespace, function)
        return [uid for queue in queues for uid in self.first(queue, most)]

    def set_aside(self, uid: str, sandbox: Name) -> bool:
        """It cannot run yet, for want of what it names: others do not wait for it. Whether that
        is news."""
        if uid in self._aside:
            return False
        self._aside.add(uid)
        self._queues.pop(sandbox, None)
        return True

    def take_back(self, uid: str, sandbox: Name) -> None:
        """It can run: it has the place again that its arrival gives it."""
        if uid in self._aside:
            self._aside.discard(uid)
            self._queues.pop(sandbox, None)

    def drop(self, uid: str) -> None:
        """The Execution is over, or gone."""
        self._aside.discard(uid)

    def claim(self, uid: str, sandbox: Name, user: str, queue: Name | None = None) -> None:
        """It is being handed over: from now on it counts as running.

        Args:
            queue: where it waited; None: at the Sandbox itself.
        """
        queue = queue or sandbox
        self._claimed[uid] = sandbox
        self._count += 1
        self._served.setdefault(queue, {})[user] = self._count
        self._queues.pop(sandbox, None)
        self._queues.pop(queue, None)

    def settle(self, uid: str, sandbox: Name, queue: Name | None = None) -> None:
        """It was handed over, or could not be: the annotation tells."""
        self._claimed.pop(uid, None)
        self._queues.pop(sandbox, None)
        self._queues.pop(queue or sandbox, None)

    def claimed(self, sandbox: Name) -> int:
        """How many are being handed over in this moment."""
        return sum(where == sandbox for where in self._claimed.values())

    def forget(self, sandbox: Name) -> None:
        """The Sandbox is gone."""
        self._queues.pop(sandbox, None)
        self._served.pop(sandbox, None)

    def forget_calls(self, namespace: str, function: str) -> None:
        """The Function is gone."""
        name = f"{function}@"
        for queue in [*self._served]:
            if queue[0] == namespace and queue[1].startswith(name):
                self.forget(queue)

    def _queue(self, sandbox: Name) -> _Queue:
        version = self._index.queue_version(*sandbox)
        known = self._queues.get(sandbox)
        if known is not None and known.version == version:
            return known
        waiting: list[Waiting] = []
        running: Counter[str] = Counter()
        for execution in self._index.unfinished(*sandbox):
            spec, metadata = execution.get("spec") or {}, execution["metadata"]
            uid, user = metadata["uid"], str(spec.get("user") or "")
            if uid in self._claimed or is_dispatched(execution):
                running[user] += 1
            elif not metadata.get("deletionTimestamp") and uid not in self._aside:
                priority = spec.get("priority")
                number = priority if isinstance(priority, int) else 0
                waiting.append(Waiting(uid=uid, user=user, priority=number))
        order = order_queue(waiting, running, self._served.get(sandbox, {}))
        # Calls take the room of Sandboxes, which is counted there.
        queue = _Queue(version, order, 0 if is_call_queue(sandbox) else running.total())
        if waiting or running:
            self._queues[sandbox] = queue
        else:
            self._queues.pop(sandbox, None)
            if is_call_queue(sandbox):  # nobody tells when such a queue is gone for good
                self._served.pop(sandbox, None)
        return queue
