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
    ) -> None:
        """Args:
        next_calls: of the Function of that namespace and name, UIDs of the calls that are next.
        """
        super().__init__(Kind.FUNCTION, waker)
        self._next_calls = next_calls

    def wake(self, manifest: Manifest) -> None:
        """Itself; and its calls, which wait for a version or for the end of its rest."""
        metadata = manifest["metadata"]
        super().wake(manifest)
        for call in self._next_calls(metadata["namespace"], metadata["name"]):
            self._waker.add(Kind.EXECUTION, call)
