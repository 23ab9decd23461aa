"""Whom a Function concerns: itself, and the calls that wait for it."""

from collections.abc import Callable, Iterable

from soulbox.kinds.base import OwnFollower, Waker
from soulbox.model.manifests import Manifest
from soulbox.model.states import Kind


class FunctionFollower(OwnFollower):
    """See `kinds.base.Follower`."""

    def __init__(
        self,
        waker: Waker,
        next_calls: Callable[[str, str], Iterable[str]],
        forget_turns: Callable[[str, str], None],
    ) -> None:
        """Args:
        next_calls: of the Function of that namespace and name, UIDs of the calls that are next.
        forget_turns: told of a Function that is gone, by namespace and name.
        """
        super().__init__(Kind.FUNCTION, waker)
        self._next_calls = next_calls
        self._forget_turns = forget_turns

    def wake(self, manifest: Manifest) -> None:
        """Itself; and its calls, which wait for a version or for the end of its rest."""
        metadata = manifest["metadata"]
        super().wake(manifest)
        for call in self._next_calls(metadata["namespace"], metadata["name"]):
            self._waker.add(Kind.EXECUTION, call)

    def last_version(self, manifest: Manifest, *, was_known: bool) -> Manifest | None:
        """As it was; nobody takes turns at it any more."""
        del was_known
        self._forget_turns(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        return manifest
