"""Whom a Sandbox concerns: itself, the Executions that name it, and its class."""

from collections.abc import Callable, Iterable

from soulbox.kinds.base import COUNT_SECONDS, OwnFollower, Unfinished, Waker
from soulbox.kube.cache import ObjectCache
from soulbox.model.keys import FUNCTION_LABEL, FUNCTION_UID_LABEL
from soulbox.model.manifests import Manifest, class_name
from soulbox.model.specs import DEFAULT_CLASS
from soulbox.model.states import Kind


class SandboxFollower(OwnFollower):
    """See `kinds.base.Follower`."""

    def __init__(
        self,
        objects: ObjectCache,
        unfinished: Unfinished,
        waker: Waker,
        forget_turns: Callable[[tuple[str, str]], None],
        next_calls: Callable[[str, str], Iterable[str]] = lambda _namespace, _function: (),
    ) -> None:
        """Args:
        next_calls: of the Function of that namespace and name, UIDs of the calls that are next.
        forget_turns: told of a Sandbox that is gone, by namespace and name.
        """
        super().__init__(Kind.SANDBOX, waker)
        self._objects = objects
        self._unfinished = unfinished
        self._forget_turns = forget_turns
        self._next_calls = next_calls

    def wake(self, manifest: Manifest) -> None:
        """Itself and its queue; later its class, which counts it."""
        metadata = manifest["metadata"]
        super().wake(manifest)
        for execution in self._unfinished(metadata["namespace"], metadata["name"]):
            self._waker.add(Kind.EXECUTION, execution["metadata"]["uid"])
        labels = metadata.get("labels") or {}
        if FUNCTION_UID_LABEL in labels:  # the operator's own, for calls
            self._waker.add(Kind.FUNCTION, str(labels[FUNCTION_UID_LABEL]))
            function = str(labels.get(FUNCTION_LABEL))
            for call in self._next_calls(metadata["namespace"], function):
                self._waker.add(Kind.EXECUTION, call)
        name = class_name(manifest) or DEFAULT_CLASS
        sandbox_class = self._objects.by_name(Kind.SANDBOX_CLASS, "", name)
        if sandbox_class is not None:
            uid = sandbox_class["metadata"]["uid"]
            self._waker.add_later(Kind.SANDBOX_CLASS, uid, COUNT_SECONDS)

    def last_version(self, manifest: Manifest, *, was_known: bool) -> Manifest | None:
        """As it was; nobody takes turns in it any more."""
        del was_known
        self._forget_turns((manifest["metadata"]["namespace"], manifest["metadata"]["name"]))
        return manifest
