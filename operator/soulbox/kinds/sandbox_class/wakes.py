"""Whom a class concerns: itself, and what is made from it where its spec is new."""

from collections.abc import Callable

from soulbox.kinds.base import OwnFollower, Waker
from soulbox.kube.cache import Lookup
from soulbox.model.manifests import Manifest
from soulbox.model.states import Kind


class ClassFollower(OwnFollower):
    """See `kinds.base.Follower`."""

    def __init__(
        self, objects: Lookup, users: Callable[[str], list[tuple[Kind, str]]], waker: Waker
    ) -> None:
        """Args:
        users: what uses the class of that name.
        """
        super().__init__(Kind.SANDBOX_CLASS, waker)
        self._objects = objects
        self._users = users
        # By uid the generation that its users were last woken for.
        self._told: dict[str, object] = {}

    def wake(self, manifest: Manifest) -> None:
        """A class's status, which counts Sandboxes, changes all the time and concerns none of
        them."""
        metadata = manifest["metadata"]
        uid, generation = metadata["uid"], metadata.get("generation")
        super().wake(manifest)
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
