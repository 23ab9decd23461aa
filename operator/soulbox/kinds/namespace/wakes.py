"""Whom a Namespace concerns: all that lies in it, once it is being deleted."""

from typing import Final

from soulbox.kinds.base import Follower, Waker
from soulbox.kube.cache import ObjectCache
from soulbox.model.kinds import TENANTS
from soulbox.model.manifests import Manifest, is_deleting

_KINDS: Final = frozenset(info.kind for info in TENANTS)


class NamespaceFollower(Follower):
    """See `kinds.base.Follower`."""

    def __init__(self, objects: ObjectCache, waker: Waker) -> None:
        self._objects = objects
        self._waker = waker

    def wake(self, manifest: Manifest) -> None:
        """Nothing, until its deletion is asked for."""
        if is_deleting(manifest):
            for kind, uid in self._objects.within(manifest["metadata"]["name"]):
                if kind in _KINDS:
                    self._waker.add(kind, uid)
