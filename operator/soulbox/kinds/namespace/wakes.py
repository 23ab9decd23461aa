"""Whom a Namespace concerns: all that lies in it, once it is being deleted."""

from collections.abc import Callable
from typing import Final

from soulbox.kinds.base import Manifest, Waker
from soulbox.kube.cache import ObjectCache
from soulbox.model.kinds import TENANTS

_KINDS: Final = frozenset(info.kind for info in TENANTS)


class NamespaceFollower:
    """See `kinds.base.Follower`."""

    def __init__(self, objects: ObjectCache, waker: Waker) -> None:
        self._objects = objects
        self._waker = waker

    def wake(self, manifest: Manifest) -> None:
        """Nothing, until its deletion is asked for."""
        metadata = manifest["metadata"]
        if metadata.get("deletionTimestamp"):
            for kind, uid in self._objects.within(metadata["name"]):
                if kind in _KINDS:
                    self._waker.add(kind, uid)

    def leaving(self, manifest: Manifest) -> Callable[[Manifest], None]:
        """The same."""
        del manifest
        return self.wake

    def last_version(self, manifest: Manifest, *, was_known: bool) -> Manifest | None:
        """As it was."""
        del was_known
        return manifest
