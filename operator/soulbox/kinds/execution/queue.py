"""Whose turn it is in each Sandbox, from the last-seen objects.

Keeps what the objects do not say: which user was served last (so that users take turns), and which
Execution is being handed over in this moment (its annotation is on its way). Both may be
lost: after a restart turns begin anew, and what was handed over has its annotation.
"""

from collections.abc import Iterator

from soulbox.kinds.execution.decide.queueing import Line
from soulbox.kinds.execution.decide.seen import Turn
from soulbox.kinds.execution.index import ExecutionIndex, Name, is_call_queue
from soulbox.model.manifests import Manifest, is_deleting
from soulbox.model.marks import is_dispatched


class Turns:
    """For one event loop; nothing here does I/O."""

    def __init__(self, index: ExecutionIndex) -> None:
        self._index = index
        self._lines: dict[Name, Line] = {}
        self._claimed: dict[str, Name] = {}
        # Those that could not run if it were their turn: they hold no place.
        self._aside: dict[str, Name] = {}
        self._count = 0
        index.follow(self._look)

    def unfinished(self, namespace: str, sandbox_name: str) -> Iterator[Manifest]:
        """See ExecutionIndex.unfinished."""
        return self._index.unfinished(namespace, sandbox_name)

    def turn(self, uid: str, sandbox: Name, room: int) -> Turn | None:
        """An Execution's place; None when it is not among those that wait."""
        line = self._lines.get(sandbox)
        place = None if line is None else line.place(uid)
        if line is None or place is None:
            return None
        # Calls take the room of Sandboxes, which is counted there.
        running = 0 if is_call_queue(sandbox) else line.running
        return Turn(position=place, running=running, room=room)

    def first(self, sandbox: Name, most: int) -> list[str]:
        """Uids of the Executions that are next."""
        line = self._lines.get(sandbox)
        return [] if line is None else line.first(most)

    def next_calls(self, namespace: str, function: str, most: int) -> list[str]:
        """Uids of the calls of a Function that are next, so many of each version that is named."""
        queues = self._index.call_queues(namespace, function)
        return [uid for queue in queues for uid in self.first(queue, most)]

    def set_aside(self, uid: str, sandbox: Name) -> bool:
        """It cannot run yet, for want of what it names: others do not wait for it. Whether that
        is news."""
        if uid in self._aside:
            return False
        self._aside[uid] = sandbox
        self._look(sandbox, uid)
        return True

    def take_back(self, uid: str, sandbox: Name) -> bool:
        """It can run: it has the place again that its arrival gives it. Whether that is news."""
        if self._aside.pop(uid, None) is None:
            return False
        self._look(sandbox, uid)
        return True

    def drop(self, uid: str) -> None:
        """The Execution is over, or gone."""
        sandbox = self._aside.pop(uid, None)
        if sandbox is not None:
            self._look(sandbox, uid)

    def claim(self, uid: str, sandbox: Name, user: str, queue: Name | None = None) -> None:
        """It is being handed over: from now on it counts as running.

        Args:
            queue: where it waited; None: at the Sandbox itself.
        """
        queue = queue or sandbox
        self._claimed[uid] = sandbox
        self._count += 1
        self._lines.setdefault(queue, Line()).serve(user, self._count)
        self._look(queue, uid)

    def settle(self, uid: str, sandbox: Name, queue: Name | None = None) -> None:
        """It was handed over, or could not be: the annotation tells."""
        self._claimed.pop(uid, None)
        self._look(queue or sandbox, uid)

    def claimed(self, sandbox: Name) -> int:
        """How many are being handed over in this moment."""
        return sum(where == sandbox for where in self._claimed.values())

    def forget(self, sandbox: Name) -> None:
        """The Sandbox is gone."""
        line = self._lines.get(sandbox)
        if line:
            line.forget_turns()
        else:
            self._lines.pop(sandbox, None)

    def _look(self, queue: Name, uid: str) -> None:
        """Take in what an Execution does in a queue now."""
        found = self._index.unfinished_at(queue, uid)
        line = self._lines.get(queue)
        if found is None:
            if line is None:
                return
            line.drop(uid)
            # Nobody tells when a queue of calls, or a Sandbox that never was, is gone for good.
            if not line and (is_call_queue(queue) or not line.has_served):
                del self._lines[queue]
            return
        if line is None:
            line = self._lines[queue] = Line()
        execution, arrival = found
        spec = execution.get("spec") or {}
        user, priority = str(spec.get("user") or ""), spec.get("priority")
        if uid in self._claimed or is_dispatched(execution):
            line.runs(uid, user)
        elif is_deleting(execution) or uid in self._aside:
            line.drop(uid)
        else:
            line.waits(uid, user, priority if isinstance(priority, int) else 0, arrival)
