"""Whom a class concerns: itself, and what is made from it where its spec is new."""

from collections.abc import Callable

from soulbox.kinds.base import Follower, Waker
from soulbox.kube.cache import Lookup
from soulbox.model.manifests import Manifest
from soulbox.model.states import Kind


class ClassFollower(Follower):
    """See `kinds.base.Follower`."""

    def __init__(
        self, objects: Lookup, users: Callable[[str], list[tuple[Kind, str]]], waker: Waker
    ) -> None:
        """Args:
        users: what uses the class of that name.
        """
        self._objects = objects
        self._users = users
        self._waker = waker
        # By uid the generation that its users were last woken for.
        self._told: dict[str, object] = {}

    def wake(self, manifest: Manifest) -> None:
        """A class's status, which counts Sandboxes, changes all the time and concerns none of
        them."""
        metadata = manifest["metadata"]
        uid, generation = metadata["uid"], metadata.get("generation")
        self._waker.add(Kind.SANDBOX_CLASS, uid)
        if uid in self._told and self._told[uid] == generation:
            return
        if self._objects.get(Kind.SANDBOX_CLASS, uid) is not None:
            self._told[uid] = generation
        for kind, user in self._users(metadata["name"]):
            self._waker.add(kind, user)

    def leaving(self, manifest: Manifest) -> Callable[[Manifest], None]:
        """All of its users."""
        self._told.pop(manifest["metadata"]["uid"], None)
        return self.wake
