"""Executions by the Sandbox they name: those that wait, in order, and all of them."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from soulbox.kinds.base import discard
from soulbox.kube.cache import Lookup
from soulbox.model.manifests import Manifest, function_ref, is_finished, sandbox_ref
from soulbox.model.marks import dispatch_mark
from soulbox.model.states import Kind

Name = tuple[str, str]  # (namespace, name of the Sandbox, or of a queue of calls)


class ExecutionIndex:
    """An index of the cache."""

    def __init__(self, objects: Lookup) -> None:
        self._objects = objects
        # Unfinished Executions by the sandbox they name, in order of arrival, with a growing
        # count: creationTimestamp has whole seconds and cannot order them.
        self._waiting: defaultdict[Name, dict[str, int]] = defaultdict(dict)
        self._arrivals = 0
        self._unsorted: set[Name] = set()
        # Told of each change of what a queue's order depends on: the queue, and whose.
        self._follower: Callable[[Name, str], None] = lambda _queue, _uid: None
        # By the Function that is called, the queues of its calls.
        self._calls: defaultdict[Name, set[Name]] = defaultdict(set)
        # All Executions by the sandbox they name, finished ones too, for its counters.
        self._naming: defaultdict[Name, set[str]] = defaultdict(set)

    def put(self, uid: str, manifest: Manifest, before: Manifest | None) -> None:
        """Place it in its queue, or take it out of it."""
        sandbox = queue_of(manifest)
        left = None if before is None else queue_of(before)
        if before is not None and left is not None and left != sandbox:
            self.remove(uid, before)  # a call was handed to a Sandbox
        if sandbox is None:
            return
        called = function_ref(manifest)
        if called is not None:
            self._calls[sandbox[0], called[0]].add(sandbox)
        self._naming[sandbox].add(uid)
        if is_finished(manifest):
            self._forget_waiting(uid, sandbox)
        else:
            self._append(uid, sandbox)
        if before is None or _queue_facts(before) != _queue_facts(manifest):
            self._follower(sandbox, uid)

    def remove(self, uid: str, manifest: Manifest) -> None:
        """Forget it."""
        sandbox = queue_of(manifest)
        if sandbox is None:
            return
        self._forget_waiting(uid, sandbox)
        self._follower(sandbox, uid)
        discard(self._naming, sandbox, uid)
        called = function_ref(manifest)
        if called is not None and sandbox not in self._naming:
            discard(self._calls, (sandbox[0], called[0]), sandbox)

    def unfinished(self, namespace: str, sandbox_name: str) -> Iterator[Manifest]:
        """Unfinished Executions that name the sandbox, first come first. Do not change the
        cache while going through them."""
        key = (namespace, sandbox_name)
        if key in self._unsorted:
            self._unsorted.discard(key)
            queue = self._waiting.get(key, {})
            self._waiting[key] = {uid: queue[uid] for uid in sorted(queue, key=self._created)}
        for uid in self._waiting.get(key, ()):
            manifest = self._objects.get(Kind.EXECUTION, uid)
            if manifest is not None:
                yield manifest

    def call_queues(self, namespace: str, function_name: str) -> list[Name]:
        """Queues in which calls of a Function may wait, one for each version that is named. Those
        of Sandboxes that calls were handed to are among them."""
        return sorted(self._calls.get((namespace, function_name), ()))

    def follow(self, follower: Callable[[Name, str], None]) -> None:
        """Tell it from now on, by queue and uid, of each Execution that comes into a queue, is
        handed over, is to be deleted, ends, or leaves it."""
        self._follower = follower

    def unfinished_at(self, queue: Name, uid: str) -> tuple[Manifest, tuple[str, int]] | None:
        """An unfinished Execution of a queue, and when it came: a moment, and a growing count.
        None: it is none of these."""
        number = self._waiting[queue].get(uid) if queue in self._waiting else None
        manifest = None if number is None else self._objects.get(Kind.EXECUTION, uid)
        if manifest is None or number is None:
            return None
        return manifest, (str(manifest["metadata"]["creationTimestamp"]), number)

    def naming(self, namespace: str, sandbox_name: str) -> Iterator[Manifest]:
        """All Executions that name the sandbox, in no particular order."""
        for uid in self._naming.get((namespace, sandbox_name), ()):
            manifest = self._objects.get(Kind.EXECUTION, uid)
            if manifest is not None:
                yield manifest

    def _append(self, uid: str, sandbox: Name) -> None:
        """Put an Execution at the end of its queue, to be sorted when next looked at if an
        older one comes late: a list comes in order of names."""
        queue = self._waiting[sandbox]
        if uid in queue:
            return
        last = next(reversed(queue), None)
        self._arrivals += 1
        queue[uid] = self._arrivals
        if last is not None and self._created(uid) < self._created(last):
            self._unsorted.add(sandbox)

    def _created(self, uid: str) -> str:
        execution = self._objects.get(Kind.EXECUTION, uid)
        return "" if execution is None else str(execution["metadata"]["creationTimestamp"])

    def _forget_waiting(self, uid: str, sandbox: Name) -> None:
        queue = self._waiting.get(sandbox)
        if queue is not None:
            queue.pop(uid, None)
            if not queue:
                del self._waiting[sandbox]
                self._unsorted.discard(sandbox)


def is_call_queue(queue: Name) -> bool:
    """Whether calls of a Function wait there, and no Sandbox has the name."""
    return "@" in queue[1]


def queue_of(execution: Manifest) -> Name | None:
    """Where it waits, or runs: its Sandbox; for a call that was handed to none yet, the version of
    the Function that it names, with an @, which no Sandbox's name holds. None: a pod of its own."""
    name = sandbox_ref(execution)
    if name is None:
        called = function_ref(execution)
        if called is None:
            return None
        name = f"{called[0]}@{called[1] or ''}"
    return execution["metadata"].get("namespace", ""), name


def _queue_facts(execution: Manifest) -> tuple[Any, ...]:
    """What an Execution's place in its queue depends on beside its immutable spec."""
    metadata = execution["metadata"]
    return dispatch_mark(metadata), "deletionTimestamp" in metadata, is_finished(execution)
